"""Hugging Face sets in parquet, saved by save_to_disk, and on the hub; the oracle is pyarrow."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from shardstream.errors import OptionError, SourceError
from shardstream.shard_writer.sources import SourceOptions, hf_parquet, open_source
from shardstream.shard_writer.types import Source

from .conformance import SourceConformance

datasets = pytest.importorskip("datasets")


def encoded(number: int, kind: str = "PNG") -> bytes:
    """An image whose size and colour tell its number."""
    buffer = io.BytesIO()
    noise = np.random.default_rng(number).integers(0, 256, (20 + number % 5, 20, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, kind)
    return buffer.getvalue()


def image_table(count: int = 6, kind: str = "PNG", **columns: Any) -> pa.Table:
    """Plain parquet of the hub's shape, without feature metadata."""
    images = pa.array(
        [{"bytes": encoded(i, kind), "path": f"{i}"} for i in range(count)],
        pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    )
    return pa.table({"picture": images, **columns})


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Progress bars are not what these tests are about."""
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def saved(folder: Path) -> Path:
    """A DatasetDict on disk with most feature types."""
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["cat", "dog"]),
            "boxes": [[datasets.Value("float32")]],
            "text": datasets.Value("string"),
            "flag": datasets.Value("bool"),
        }
    )
    rows = {
        "image": [{"bytes": encoded(i, "JPEG"), "path": None} for i in range(9)],
        "label": [i % 2 for i in range(9)],
        "boxes": [[[0.5, 1.0]] * (i % 3) for i in range(9)],
        "text": [None if i == 4 else f"t{i}" for i in range(9)],
        "flag": [i > 3 for i in range(9)],
    }
    train = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict({"train": train, "validation": train.select([4, 2])}).save_to_disk(str(folder))
    return folder


class TestRealParquetConformance(SourceConformance):
    """CIFAR-100 as the hub stores it."""

    @pytest.fixture
    def source(self, real_data: Path) -> Source:
        return open_source("hf", str(real_data / "cifar100/hf-parquet"))


class TestSavedConformance(SourceConformance):
    """A folder of save_to_disk."""

    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        return open_source("hf", str(saved(tmp_path / "set")))


class TestPlainParquetConformance(SourceConformance):
    """Several files, several row groups, no feature metadata, dotted split names, hidden labels."""

    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        for number in range(2):
            table = image_table(label=[0, 1, 2, 1, 0, 2], x=[float("nan"), 1.0, 2.0, None, 4.0, 5.0])
            pq.write_table(table, tmp_path / f"train-0000{number}-of-00002.parquet", row_group_size=2)
        pq.write_table(image_table(label=[-1] * 6, x=[1.0] * 6), tmp_path / "test.en-00000-of-00001.parquet")
        return open_source("hf", str(tmp_path))


def test_every_row_of_real_parquet_comes_back_untouched(real_data: Path) -> None:
    """Bytes, labels and other columns as pyarrow reads them."""
    folder = real_data / "cifar100/hf-parquet"
    source = open_source("hf", str(folder))
    assert source.splits() == ("train", "test")
    for name in source.splits():
        rows = pq.read_table(folder / f"cifar100/{name}-00000-of-00001.parquet").to_pylist()
        split = source.split(name)
        assert len(split.records()) == len(rows)
        for number, (record, row) in enumerate(zip(split.records(), rows, strict=True)):
            sample = split.read(record)
            assert record.key == f"{name}-{number:08d}"
            assert sample.image == row["img"]["bytes"]
            assert sample.label == row["fine_label"]
            assert sample.annotations["coarse_label"] == row["coarse_label"]
    names = (real_data / "cifar100/cifar-100-binary/fine_label_names.txt").read_text().split()
    assert source.about().classes["label"] == tuple(names)


def test_a_saved_folder_gives_raw_bytes_and_all_columns(tmp_path: Path) -> None:
    """JPEG bytes are copied, never decoded and encoded again."""
    source = open_source("hf", str(saved(tmp_path / "set")))
    assert source.splits() == ("train", "validation")
    split = source.split("train")
    found = [split.read(record) for record in split.records()]
    assert [sample.image for sample in found] == [encoded(i, "JPEG") for i in range(9)]
    assert found[4].annotations == {
        "row": 4,
        "label": 0,
        "label_name": "cat",
        "boxes": [[0.5, 1.0]],
        "text": None,
        "flag": True,
    }
    assert [record.nbytes - len(sample.image) for record, sample in zip(split.records(), found, strict=True)] == [
        2048
    ] * 9
    assert (split.info.image_field, split.info.shuffle) == ("jpg", True)
    assert not source.split("validation").info.shuffle


def test_rows_of_several_files_and_row_groups_keep_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read backwards, with a cache of one row group."""
    monkeypatch.setattr(hf_parquet, "CACHE_BYTES", 1)
    for number in range(3):
        pq.write_table(
            image_table(5, n=[number * 5 + i for i in range(5)]),
            tmp_path / f"train-{number:05d}-of-00003.parquet",
            row_group_size=2,
        )
    source = open_source("hf", str(tmp_path))
    split = source.split("train")
    records = split.records()
    assert [split.read(record).annotations["n"] for record in reversed(records)] == list(reversed(range(15)))
    assert not split.info.shuffle
    assert "train: packed in the order of its parquet files" in source.about().notes


def test_labels_without_names_are_named_by_their_numbers(tmp_path: Path) -> None:
    """And -1, the hub's hidden label, is null, never a class."""
    pq.write_table(image_table(4, label=[2, 0, 2, 1]), tmp_path / "train.parquet")
    pq.write_table(image_table(4, label=[-1] * 4), tmp_path / "test.parquet")
    source = open_source("hf", str(tmp_path))
    assert source.about().classes == {"label": ("0", "1", "2")}
    test = source.split("test")
    assert (test.info.label_column, dict(test.info.columns)) == (None, {})
    assert test.read(test.records()[0]).annotations["label"] is None
    assert "test: all labels are hidden (null or -1); they are null" in source.about().notes


@pytest.mark.parametrize(
    ("files", "splits"),
    [
        (["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"], {"train": 2}),
        (["train.parquet", "test.parquet"], {"train": 1, "test": 1}),
        (["default/train/0000.parquet", "default/validation/0000.parquet"], {"train": 1, "validation": 1}),
        (["a.parquet", "b.parquet"], {"train": 2}),
        (["my_test_rows.parquet", "constrained.parquet"], {"train": 1, "test": 1}),
        (["fold_1-00000-of-00001.parquet"], {"fold_1": 1}),
    ],
)
def test_split_names_come_from_file_names(tmp_path: Path, files: list[str], splits: dict[str, int]) -> None:
    """All shapes that the hub and its converters write."""
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(image_table(1), tmp_path / file)
    source = open_source("hf", str(tmp_path))
    assert {name: len(source.split(name).records()) for name in source.splits()} == splits


def test_several_configurations_need_a_choice(tmp_path: Path) -> None:
    """Joining them would be neither."""
    for config, count in (("large", 3), ("small", 2)):
        (tmp_path / config).mkdir()
        pq.write_table(image_table(count), tmp_path / config / "train-00000-of-00001.parquet")
    with pytest.raises(OptionError, match=r"several folders: large, small\. Choose one with config"):
        open_source("hf", str(tmp_path))
    assert len(open_source("hf", str(tmp_path), SourceOptions(config="small")).split("train").records()) == 2
    with pytest.raises(OptionError, match="no sub-folder 'tiny'"):
        open_source("hf", str(tmp_path), SourceOptions(config="tiny"))


def test_several_image_columns_need_a_choice(tmp_path: Path) -> None:
    """The other one is left out and noted."""
    table = image_table(2)
    pq.write_table(table.append_column("mask", table["picture"]), tmp_path / "train.parquet")
    with pytest.raises(OptionError, match="columns picture, mask hold images"):
        open_source("hf", str(tmp_path)).about()
    source = open_source("hf", str(tmp_path), SourceOptions(image_column="mask"))
    assert source.about().notes == ("train: image column picture is left out",)
    with pytest.raises(OptionError, match="no column 'mosk'"):
        open_source("hf", str(tmp_path), SourceOptions(image_column="mosk")).about()


def test_a_plain_column_of_bytes_can_be_chosen(tmp_path: Path) -> None:
    """Nothing else says that these bytes are images."""
    pq.write_table(pa.table({"jpeg": [encoded(1, "JPEG")], "path": ["x"]}), tmp_path / "train.parquet")
    with pytest.raises(SourceError, match=r"no column holds images.*image_column"):
        open_source("hf", str(tmp_path)).about()
    split = open_source("hf", str(tmp_path), SourceOptions(image_column="jpeg")).split("train")
    assert split.read(split.records()[0]).image == encoded(1, "JPEG")


@pytest.mark.parametrize(
    ("column", "what"),
    [
        (pa.array([b"x", b"y"]), "bytes"),
        (pa.array([[b"x"], []]), "bytes"),
        (pa.array([1, 2], pa.timestamp("us")), "datetime"),
    ],
)
def test_columns_that_json_lacks_are_refused(tmp_path: Path, column: pa.Array, what: str) -> None:
    """Naming row, column and type."""
    pq.write_table(image_table(2, extra=column), tmp_path / "train.parquet")
    split = open_source("hf", str(tmp_path)).split("train")
    with pytest.raises(SourceError, match=f"row 0: column 'extra' holds {what}"):
        split.read(split.records()[0])


def test_a_row_that_only_names_a_file_of_this_machine_is_refused(tmp_path: Path) -> None:
    """A parquet file from the net must not read /etc/passwd into a shard."""
    secret = tmp_path / "secret.png"
    secret.write_bytes(encoded(1))
    image = pa.array([{"bytes": None, "path": str(secret)}], pa.struct({"bytes": pa.binary(), "path": pa.string()}))
    pq.write_table(pa.table({"image": image}), tmp_path / "train.parquet")
    with pytest.raises(SourceError, match="holds no image bytes"):
        open_source("hf", str(tmp_path)).split("train")


@pytest.mark.parametrize("cached", [True, False])
def test_a_hub_row_that_names_a_file_is_read_from_the_cache_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cached: bool
) -> None:
    """Hub sets of loose files keep names of cached files; ``cache/../secret`` and links lead out of the cache."""
    (tmp_path / "cache").mkdir()
    for name in ("cache/in.png", "out.png"):
        (tmp_path / name).write_bytes(encoded(1))
    (tmp_path / "cache/link.png").symlink_to(tmp_path / "out.png")
    monkeypatch.setattr(datasets.config, "HF_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache/datasets"))
    for name in ["cache/in.png"] if cached else ["out.png", "cache/../out.png", "cache/link.png"]:
        rows = datasets.Dataset.from_dict(
            {"image": [str(tmp_path / name)]}, features=datasets.Features({"image": datasets.Image()})
        )
        monkeypatch.setattr(datasets, "load_dataset", lambda *_, rows=rows, **__: datasets.DatasetDict({"train": rows}))
        source = open_source("hf", "hf:a/b")
        if cached:
            (record,) = source.split("train").records()
            assert source.split("train").read(record).image == encoded(1)
            assert record.nbytes == len(encoded(1)) + 2048
        else:
            with pytest.raises(SourceError, match=r"holds no image bytes \(path"):
                source.split("train")


def test_damaged_parquet_is_named(tmp_path: Path) -> None:
    """Cut in the middle of a download."""
    pq.write_table(image_table(), tmp_path / "train.parquet")
    data = (tmp_path / "train.parquet").read_bytes()
    (tmp_path / "train.parquet").write_bytes(data[:3000])
    with pytest.raises(SourceError, match=r"train\.parquet: 3,000 bytes are no whole parquet file"):
        open_source("hf", str(tmp_path)).about()


def test_files_of_different_columns_are_refused(tmp_path: Path) -> None:
    """One split has one schema."""
    pq.write_table(image_table(2), tmp_path / "a.parquet")
    pq.write_table(image_table(2, n=[1, 2]), tmp_path / "b.parquet")
    with pytest.raises(SourceError, match=r"b\.parquet has other columns than .*a\.parquet"):
        open_source("hf", str(tmp_path)).about()


def test_an_address_with_neither_parquet_nor_saved_set_is_refused(real_data: Path, tmp_path: Path) -> None:
    """The message says what is there."""
    with pytest.raises(SourceError, match=r"no parquet file, no save_to_disk folder.*found"):
        open_source("hf", str(real_data / "vqa"))
    with pytest.raises(SourceError, match="found nothing"):
        open_source("hf", str(tmp_path / "nothing.parquet"))


@pytest.mark.parametrize(("source", "name"), [("hf", "nobody/nothing"), ("cifar10", "hf:nobody/nothing")])
def test_a_hub_name_that_cannot_be_had_is_a_plain_error(source: str, name: str, tmp_path: Path) -> None:
    """No network, or no such set; a fresh process, since the library reads its offline switch once."""
    code = (
        "import sys\nfrom shardstream.errors import SourceError\n"
        "from shardstream.shard_writer.sources import open_source\n"
        "try:\n    open_source(*sys.argv[1:]).splits()\nexcept SourceError as error:\n    print(error)\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    found = subprocess.run(
        [sys.executable, "-c", code, source, name], capture_output=True, text=True, check=True, env=environment
    )
    assert "hf:nobody/nothing cannot be had from the hub" in found.stdout
    assert "Check the name and the network" in found.stdout


@pytest.mark.parametrize(
    "said",
    [
        "Dataset 'a/b' doesn't exist on the Hub or cannot be accessed.",
        "'a/b' is a gated dataset on the Hub. You must be authenticated.",
    ],
)
def test_a_set_that_does_not_exist_or_needs_a_login_says_so(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """What the hub said, and what to do; as the datasets library raises it."""

    def refused(*_: Any, **__: Any) -> Any:
        raise datasets.exceptions.DatasetNotFoundError(said)

    monkeypatch.setattr(datasets, "load_dataset", refused)
    with pytest.raises(
        SourceError, match=r"hf:a/b cannot be had from the hub: DatasetNotFoundError: .*gated sets need a login"
    ) as error:
        open_source("hf", "a/b").splits()
    assert said in str(error.value)


def test_a_hub_set_is_read_undecoded(real_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The hub's answer is played by datasets itself over the real parquet; names and options are passed on."""
    folder = real_data / "cifar10/hf-parquet/plain_text"
    parquet = {name: str(folder / f"{name}-00000-of-00001.parquet") for name in ("train", "test")}
    local = datasets.load_dataset("parquet", data_files=parquet, cache_dir=str(tmp_path))
    asked: list[Any] = []

    def hub(*names: Any, **options: Any) -> Any:
        asked.append((names, options))
        return local

    monkeypatch.setattr(datasets, "load_dataset", hub)
    options = SourceOptions(revision="abc", config="plain_text")
    files = open_source("cifar10", str(folder))
    for address, name in (("hf:uoft-cs/cifar10", "cifar10"), ("uoft-cs/cifar10", "hf"), ("hf:uoft-cs/cifar10", "hf")):
        source = open_source(name, address, options)
        assert source.splits() == ("train", "test")
        for split in source.splits():
            mine, theirs = source.split(split), files.split(split)
            pairs = list(zip(mine.records(), theirs.records(), strict=True))
            assert [mine.read(a).image for a, _ in pairs[::50]] == [theirs.read(b).image for _, b in pairs[::50]]
            assert [mine.read(a).label for a, _ in pairs[::50]] == [theirs.read(b).label for _, b in pairs[::50]]
        assert source.about().classes == files.about().classes
    assert asked == [(("uoft-cs/cifar10", "plain_text"), {"revision": "abc"})] * 3
