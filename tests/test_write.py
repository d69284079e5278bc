"""Writing: the same bytes however the work is cut, nothing half done, nothing overwritten."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import shardstream as ss
from shardstream.shard_writer import manifest as manifests
from shardstream.shard_writer.storage import Store, open_store
from shardstream.shard_writer.write import WriteOptions, write_dataset

from .helpers import picture_folder, tree
from .test_write_refuses import Odd
from .toy import ToySource, pack_toy

SMALL = WriteOptions(shard_size=9_000)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return picture_folder(tmp_path_factory.mktemp("pictures"), 40)


@pytest.fixture(scope="module")
def reference(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The undisturbed output of one worker."""
    out = tmp_path_factory.mktemp("reference") / "out"
    ss.write("folder", pictures, out=out, shard_size="12KB")
    return tree(out)


def test_any_number_of_workers_writes_the_same_bytes(pictures: Path, reference: dict[str, str], tmp_path: Path) -> None:
    """Shards, index and manifest of two and three processes are those of one."""
    assert sum(name.endswith(".tar") for name in reference) > 5
    for workers in (2, 3):
        out = tmp_path / str(workers)
        ss.write("folder", pictures, out=out, shard_size="12KB", workers=workers)
        assert tree(out) == reference


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_parts_in_any_order_write_the_same_bytes_and_the_last_commits(
    pictures: Path, reference: dict[str, str], tmp_path: Path, order: Sequence[int]
) -> None:
    """Before the last part is done there is no dataset to open."""
    for part in order[:-1]:
        assert ss.write("folder", pictures, out=tmp_path / "out", shard_size="12KB", part=(part, 3)) is None
        with pytest.raises(ss.DatasetNotFound, match="repeat it with --resume"):
            ss.open(tmp_path / "out")
    assert ss.write("folder", pictures, out=tmp_path / "out", shard_size="12KB", part=(order[-1], 3)) is not None
    assert tree(tmp_path / "out") == reference


def test_a_killed_parts_leftovers_are_gone_after_the_commit(
    pictures: Path, reference: dict[str, str], tmp_path: Path
) -> None:
    """A shard's temporary file of a killed part does not stay in the dataset."""
    out = tmp_path / "out"
    ss.write("folder", pictures, out=out, shard_size="12KB", part=(0, 2))
    (out / "train" / ".train-000001.tar.0123.tmp").write_bytes(b"half a shard")
    ss.write("folder", pictures, out=out, shard_size="12KB", part=(1, 2))
    assert tree(out) == reference


def test_headers_carry_no_time_and_no_owner(tmp_path: Path) -> None:
    """Mode, owner and time are constants, whoever packs and when."""
    ds = pack_toy(tmp_path / "out", 12)
    for url in ds.urls:
        with tarfile.open(url) as tar:
            for member in tar:
                assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
                assert (member.mode, member.isreg()) == (0o644, True)


def test_nothing_of_the_machine_is_in_the_output(tmp_path: Path) -> None:
    """Two folders, two times, two umasks: the same bytes."""
    before = os.umask(0o077)
    try:
        pack_toy(tmp_path / "one" / "deep", 20)
    finally:
        os.umask(before)
    pack_toy(tmp_path / "two", 20)
    assert tree(tmp_path / "one" / "deep") == tree(tmp_path / "two")
    assert str(tmp_path) not in (tmp_path / "two" / "dataset.json").read_text()


def test_an_output_that_holds_other_files_is_left_alone(tmp_path: Path) -> None:
    """With and without --resume: nothing of ours is there to resume."""
    (tmp_path / "notes.txt").write_text("mine")
    for options in (SMALL, replace(SMALL, resume=True), replace(SMALL, part=(0, 2))):
        with pytest.raises(ss.OutputExists, match=r"not empty \(1 files, notes\.txt .* choose an empty --out"):
            write_dataset(ToySource(5), open_store(tmp_path), options)
    assert tree(tmp_path).keys() == {"notes.txt"}


def test_an_output_that_is_a_file_is_left_alone(tmp_path: Path) -> None:
    """A file is no folder to write into."""
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ss.ShardstreamError):
        write_dataset(ToySource(5), open_store(tmp_path / "out"), SMALL)
    assert (tmp_path / "out").read_text() == "mine"


def test_a_committed_dataset_is_not_written_again(tmp_path: Path) -> None:
    """Only --resume may touch it, and then only to add what is missing."""
    pack_toy(tmp_path / "out", 20)
    before = tree(tmp_path / "out")
    with pytest.raises(ss.OutputExists, match="holds a dataset already"):
        write_dataset(ToySource(30), open_store(tmp_path / "out"), SMALL)
    again = write_dataset(ToySource(30), open_store(tmp_path / "out"), replace(SMALL, resume=True))
    assert again is not None
    assert again.splits["train"].samples == 20
    assert tree(tmp_path / "out") == before


def test_resuming_a_committed_dataset_adds_only_missing_splits(tmp_path: Path) -> None:
    """The first split's files are not even opened for writing; the result is that of one run."""
    source = ToySource(20, names=("train", "test"))
    out = tmp_path / "out"
    write_dataset(source, open_store(out), replace(SMALL, splits=("train",)))
    stamps = {path: path.stat().st_mtime_ns for path in (out / "train").iterdir()}
    assert list(manifests.load(open_store(out)).splits) == ["train"]
    write_dataset(source, open_store(out), replace(SMALL, resume=True))
    assert {path: path.stat().st_mtime_ns for path in (out / "train").iterdir()} == stamps
    write_dataset(source, open_store(tmp_path / "once"), SMALL)
    assert tree(out) == tree(tmp_path / "once")


def test_a_split_of_another_dataset_is_refused_before_the_first_byte(tmp_path: Path) -> None:
    """Other class names or another name: nothing is left behind."""
    write_dataset(ToySource(10), open_store(tmp_path), SMALL)
    before = tree(tmp_path)
    for other in (Odd(5, names=("val",), name="other"), Odd(5, names=("val",), classes=("x", "y"))):
        with pytest.raises(ss.ManifestError, match="cannot add splits"):
            write_dataset(other, open_store(tmp_path), replace(SMALL, resume=True))
        assert tree(tmp_path) == before


def test_an_unknown_or_repeated_split_is_told(tmp_path: Path) -> None:
    """Unknown ones are named with those that exist; a repeated one is written once."""
    with pytest.raises(ss.OptionError, match="split val is not in the source, which has train"):
        write_dataset(ToySource(5), open_store(tmp_path / "out"), replace(SMALL, splits=("val",)))
    result = write_dataset(ToySource(5), open_store(tmp_path / "out"), replace(SMALL, splits=("train", "train")))
    assert result is not None
    assert result.splits["train"].samples == 5


class Killed(BaseException):
    """What a kill looks like from inside: nothing that was planned happens any more."""


@pytest.fixture
def dies_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Die before the n-th file appears under its name; temporary files stay, as after a kill."""
    replaced, unlinked = os.replace, Path.unlink
    left = [10**9]

    def step(*arguments: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        replaced(*arguments)

    monkeypatch.setattr(os, "replace", step)
    monkeypatch.setattr(Path, "unlink", lambda self, **options: unlinked(self, **options) if left[0] >= 0 else None)

    def at(number: int) -> None:
        left[0] = number

    yield at
    monkeypatch.undo()


def test_dying_before_any_file_leaves_no_dataset_and_resumes_to_the_same_bytes(
    tmp_path: Path, dies_at: Callable[[int], None]
) -> None:
    """At each of the 16 files in turn; the manifest is the last, so before it nothing can be opened."""
    source = ToySource(20, names=("train", "test"))
    write_dataset(source, open_store(tmp_path / "once"), SMALL)
    expected = tree(tmp_path / "once")
    steps = 0
    while True:
        out = tmp_path / f"{steps}"
        dies_at(steps)
        try:
            write_dataset(source, open_store(out), SMALL)
            break
        except Killed:
            dies_at(10**9)
        assert any(name.endswith(".tmp") for name in tree(out))
        with pytest.raises(ss.DatasetNotFound, match="repeat it with --resume"):
            ss.open(out, split="train")
        with pytest.raises(ss.OutputExists, match="an interrupted write: add --resume"):
            write_dataset(source, open_store(out), SMALL)
        write_dataset(source, open_store(out), replace(SMALL, resume=True))
        assert tree(out) == expected
        steps += 1
    # per split: the plan, a tar and a fragment per shard, the index; and one manifest
    tars = sum(name.endswith(".tar") for name in expected)
    assert steps == 2 * 2 + 2 * tars + 1


def test_dying_while_tidying_up_leaves_a_whole_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the manifest the dataset exists; --resume only removes what is left of the work."""

    def die(self: Store, path: str) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Store, "delete", die)
        with pytest.raises(Killed):
            write_dataset(ToySource(20), open_store(tmp_path / "out"), SMALL)
    assert len(ss.open(tmp_path / "out")) == 20
    write_dataset(ToySource(20), open_store(tmp_path / "out"), replace(SMALL, resume=True))
    write_dataset(ToySource(20), open_store(tmp_path / "once"), SMALL)
    assert tree(tmp_path / "out") == tree(tmp_path / "once")


def interrupted(out: Path, source: Any, dies_at: Callable[[int], None], options: WriteOptions = SMALL) -> str:
    """Begin a write, die after the first shard; the fingerprint that stands there."""
    dies_at(3)
    with pytest.raises(Killed):
        write_dataset(source, open_store(out), options)
    dies_at(10**9)
    return (out / ".packing" / "train.plan").read_text()


@pytest.mark.parametrize(
    ("source", "options"),
    [
        (ToySource(30), replace(SMALL, shard_size=8_000)),
        (ToySource(30), replace(SMALL, seed=1)),
        (ToySource(29), SMALL),
    ],
)
def test_resuming_another_plan_is_refused_with_both_fingerprints(
    tmp_path: Path, dies_at: Callable[[int], None], source: ToySource, options: WriteOptions
) -> None:
    """Another shard size, seed or source; what is there stays as it is."""
    staged = interrupted(tmp_path / "out", ToySource(30), dies_at)
    before = tree(tmp_path / "out")
    with pytest.raises(
        ss.OptionError, match=rf"begun with plan {staged[:12]}\.\.\., this command gives [0-9a-f]{{12}}"
    ) as caught:
        write_dataset(source, open_store(tmp_path / "out"), replace(options, resume=True))
    assert str(caught.value).count(staged[:12]) == 1
    assert tree(tmp_path / "out") == before


def test_resuming_with_another_encoding_or_pixel_statistics_is_refused(
    tmp_path: Path, dies_at: Callable[[int], None], pictures: Path
) -> None:
    """Half the images as PNG and half raw, or statistics of half of the images, would be no dataset."""
    dies_at(3)
    with pytest.raises(Killed):
        ss.write("digits", out=tmp_path / "digits", split="test", shard_size="100KB")
    dies_at(3)
    with pytest.raises(Killed):
        ss.write("folder", pictures, out=tmp_path / "pictures", shard_size="12KB")
    dies_at(10**9)
    with pytest.raises(ss.OptionError, match="this command gives"):
        ss.write("digits", out=tmp_path / "digits", split="test", shard_size="100KB", encode="raw", resume=True)
    with pytest.raises(ss.OptionError, match="this command gives"):
        ss.write("folder", pictures, out=tmp_path / "pictures", shard_size="12KB", pixel_stats=True, resume=True)


def test_resuming_writes_only_what_is_missing(tmp_path: Path, dies_at: Callable[[int], None]) -> None:
    """A finished shard keeps its file; one that was cut, or lost its fragment, is written again."""
    source = ToySource(60)
    dies_at(9)
    with pytest.raises(Killed):
        write_dataset(source, open_store(tmp_path / "out"), SMALL)
    dies_at(10**9)
    train = tmp_path / "out" / "train"
    stamp = (train / "train-000000.tar").stat().st_mtime_ns
    (train / "train-000001.tar").write_bytes((train / "train-000001.tar").read_bytes()[:-512])
    (tmp_path / "out" / ".packing" / "train" / "train-000002.parquet").write_bytes(b"PAR1 damaged")
    write_dataset(source, open_store(tmp_path / "out"), replace(SMALL, resume=True))
    assert (train / "train-000000.tar").stat().st_mtime_ns == stamp
    write_dataset(source, open_store(tmp_path / "once"), SMALL)
    assert tree(tmp_path / "out") == tree(tmp_path / "once")


def test_only_the_dataset_stands_after_success(tmp_path: Path) -> None:
    """No staging folder, no temporary file."""
    pack_toy(tmp_path / "out", 20)
    names = tree(tmp_path / "out")
    assert sorted(names) == [
        "dataset.json", "train/index-00000.parquet", *(f"train/train-{i:06d}.tar" for i in range(len(names) - 2)),
    ]  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["dataset.json", "train"]


def test_shards_that_vanish_during_the_write_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without parts nobody else can be meant to finish the work."""
    monkeypatch.setattr(Store, "size", lambda *_: -1)
    with pytest.raises(ss.StorageError, match="vanished while they were written"):
        write_dataset(ToySource(20), open_store(tmp_path / "out"), SMALL)


def test_the_manifest_says_what_the_shards_hold(tmp_path: Path) -> None:
    """Sizes and counts of the files themselves."""
    ds = pack_toy(tmp_path / "out", 33)
    body = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert (body["format"], body["version"], body["name"], body["licence"]) == ("shardstream", 1, "toy", "CC0-1.0")
    split = body["splits"]["train"]
    assert split["samples"] == sum(shard["samples"] for shard in split["shards"]) == 33
    for url, shard in zip(ds.urls, split["shards"], strict=True):
        assert shard["bytes"] == Path(url).stat().st_size
        with tarfile.open(url) as tar:
            assert len(tar.getnames()) == 3 * shard["samples"]
