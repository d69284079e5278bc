"""Writing refuses what could not come back: keys, samples and images that break the split's promise, each named."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import shardstream as ss
from shardstream.shard_writer.storage import open_store
from shardstream.shard_writer.types import About, Record, Sample
from shardstream.shard_writer.write import WriteOptions, write_dataset

from .toy import ToySource, ToySplit, toy_pixels

SMALL = WriteOptions(shard_size=9_000)


@dataclass(frozen=True)
class Odd(ToySource):
    """A toy source whose records or samples are bent by a function."""

    keys: Callable[[int], str] = str
    bend: Callable[[Sample], Sample] = lambda sample: sample
    name: str = "toy"
    classes: tuple[str, ...] = tuple("abcdefg")

    def about(self) -> About:
        return About(name=self.name, licence="CC0-1.0", classes={"label": self.classes})

    def split(self, name: str) -> Any:
        return OddSplit(self, super().split(name))


@dataclass(frozen=True)
class OddSplit:
    odd: Odd
    toy: ToySplit

    @property
    def info(self) -> Any:
        return replace(self.toy.info, shuffle=False)

    def records(self) -> list[Record]:
        return [replace(record, key=self.odd.keys(record.where)) for record in self.toy.records()]

    def read(self, record: Record) -> Sample:
        return self.odd.bend(replace(self.toy.read(record), key=record.key))


def write_odd(out: Path, **odd: Any) -> None:
    write_dataset(Odd(count=5, **odd), open_store(out), SMALL)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (lambda i: f"a.{i}", r"key 'a\.0' cannot name a tar member"),
        (lambda _: "same", "key 'same' stands twice"),
        (lambda i: f"a\n{i}", "control characters"),
        (lambda i: f"a\x85{i}", "control characters"),
        (lambda i: f"\ud800{i}", "control characters"),
        (lambda i: f"../{i}", "cannot name"),
        (lambda i: f"a/../{i}", "cannot name"),
        (lambda i: f"/{i}", "cannot name"),
        (lambda i: f"a//{i}", "cannot name"),
        (lambda i: f"{i}/", "cannot name"),
        (lambda i: f"a\\{i}", "backslash"),
        (lambda i: f"__MACOSX__/{i}", "leading '__x__/'"),
        (lambda _: "", "non-empty"),
    ],
)
def test_a_key_that_could_not_come_back_is_refused(tmp_path: Path, keys: Any, message: str) -> None:
    """Before the first byte: keys become file names, and dots part them from the extension."""
    with pytest.raises(ss.SourceError, match=message):
        write_odd(tmp_path / "out", keys=keys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("split", ["", ".hidden", "a/b", "a:b", "a\nb", ".."])
def test_a_split_that_cannot_name_a_folder_is_refused(tmp_path: Path, split: str) -> None:
    """What could not be opened again is not written."""
    with pytest.raises(ss.SourceError, match="cannot name a folder"):
        write_dataset(ToySource(3, names=(split,)), open_store(tmp_path / "out"), SMALL)
    assert not (tmp_path / "out").exists()


def annotated(make: Callable[[int], Any]) -> Callable[[Sample], Sample]:
    return lambda sample: replace(sample, annotations=make(sample.annotations["number"]))


@pytest.mark.parametrize(
    ("bend", "message"),
    [
        (annotated(lambda i: {"a": i if i < 3 else str(i)}), r"3: JSON at \.a is string, in earlier samples number"),
        (annotated(lambda i: {"a": i} if i < 3 else {"b": i}), r"3: JSON at the top is object\{b\}.*object\{a\}"),
        (annotated(lambda i: {"a": [i, "x"]}), r"0: JSON at \.a\[\] is string, in earlier samples number"),
        (annotated(lambda _: {"a": float("nan")}), "0: its annotations cannot be written as JSON"),
        (annotated(lambda _: {"a": "\ud800"}), "0: its annotations cannot be written as JSON"),
        (annotated(lambda _: {"a": {1, 2}}), r"0: JSON value at \.a has type set"),
        (annotated(lambda i: {i: 1}), "0: .*JSON"),
        (lambda sample: replace(sample, key="other"), "0: the source read 'other' for it"),
        (lambda sample: replace(sample, columns={}), r"0: index columns \[\], the split declares \['label'\]"),
        (lambda sample: replace(sample, columns={"label": 2}), "0: label 0 but column 'label' holds 2"),
        (lambda sample: replace(sample, label=None), "0: label None"),
        (lambda sample: replace(sample, label=2**70, columns={"label": 2**70}), "do not fit their values"),
    ],
)
def test_a_sample_that_breaks_the_splits_promise_is_named(tmp_path: Path, bend: Any, message: str) -> None:
    """One JSON shape per split, the declared columns, the record's key; no dataset stands after the error."""
    with pytest.raises(ss.SourceError, match=message):
        write_odd(tmp_path / "out", bend=bend)
    with pytest.raises(ss.DatasetNotFound):
        ss.open(tmp_path / "out")


def test_shapes_are_compared_across_shards(tmp_path: Path) -> None:
    """A contradiction between two shards, which two workers wrote, is found at the commit."""
    bend = annotated(lambda i: {"a": i if i < 4 else str(i)})
    with pytest.raises(ss.SourceError, match=r"toy.*-000004\.tar|train-000004\.tar: JSON at \.a is string"):
        write_dataset(Odd(count=5, bend=bend), open_store(tmp_path / "out"), WriteOptions(shard_size=1))
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_an_image_that_is_none_is_named(tmp_path: Path) -> None:
    """With its key."""
    with pytest.raises(ss.UndecodableImage, match="0: 4 bytes starting b'nope' are no readable image"):
        write_odd(tmp_path / "out", bend=lambda sample: replace(sample, image=b"nope"))


def test_a_stereo_photo_is_a_jpeg(tmp_path: Path) -> None:
    """MPO, as phones write it: Pillow opens it under JPEG, and decoders take its first picture."""
    buffer = io.BytesIO()
    Image.fromarray(toy_pixels(1)).save(buffer, "MPO", save_all=True, append_images=[Image.fromarray(toy_pixels(2))])
    write_odd(tmp_path / "out", bend=lambda sample: replace(sample, image=buffer.getvalue()))
    assert set(ss.open(tmp_path / "out").index["format"].to_pylist()) == {"jpeg"}
