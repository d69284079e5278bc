"""tests/golden/v1 is a dataset packed by format version 1. It must open, and pack the same, for ever."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import shardstream as ss
from shardstream import counted
from shardstream.shard_writer.storage import open_store
from shardstream.shard_writer.types import About, Record, Sample, SplitInfo
from shardstream.shard_writer.write import WriteOptions, write_dataset

GOLDEN = Path(__file__).parent / "golden" / "v1"
LONG = "folder/" + "k" * 120  # needs a pax header
KEYS = ("plain", "Grüße", LONG, "potter's_wheel", "a/b/c", "six", "seven")


def pixels(number: int) -> np.ndarray:
    return np.arange(number, number + 4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)


@dataclass(frozen=True)
class GoldenSplit:
    info: SplitInfo

    def records(self) -> Sequence[Record]:
        return [Record(key, 300, number) for number, key in enumerate(KEYS)]

    def read(self, record: Record) -> Sample:
        buffer = io.BytesIO()
        np.save(buffer, pixels(record.where), allow_pickle=False)
        annotations = {"number": record.where, "name": None, "boxes": [[1, 2.5, 3, 4]] * record.where}
        return Sample(record.key, buffer.getvalue(), annotations, record.where % 2, {"label": record.where % 2})


class GoldenSource:
    def about(self) -> About:
        return About(name="golden", licence="CC0-1.0", classes={"label": ("even", "odd")}, identity={"files": "none"})

    def splits(self) -> tuple[str, ...]:
        return ("train",)

    def split(self, name: str) -> GoldenSplit:
        info = SplitInfo(
            name=name,
            image_field="npy",
            columns={"label": "int64"},
            label_column="label",
            shuffle=True,
            pixel_stats=True,
        )
        return GoldenSplit(info)


def pack(out: Path) -> None:
    write_dataset(GoldenSource(), open_store(out), WriteOptions(shard_size=1000))


def test_the_committed_set_opens_with_every_value() -> None:
    """Keys, pixels, labels, JSON, statistics."""
    ds = ss.open(GOLDEN)
    items = {item["key"]: item for item in ds}
    assert set(items) == set(KEYS)
    for number, key in enumerate(KEYS):
        assert np.array_equal(np.asarray(items[key]["image"]), pixels(number))
        assert items[key]["label"] == number % 2
        assert items[key]["boxes"] == [[1, 2.5, 3, 4]] * number
        assert items[key]["name"] is None
    assert ds.statistics["histograms"]["label"] == {"even": 4, "odd": 3}
    assert ds.digest == "3e4cde1fcd8c2be0914a2c32a778c2b7a115be42793e6bb49e04f095fef79f1b"


def test_packing_the_same_input_gives_the_same_shards(tmp_path: Path) -> None:
    """Byte for byte; the Parquet index may differ by its writer's version, the manifest's split digest may not."""
    pack(tmp_path / "out")
    shards = sorted(path.name for path in (GOLDEN / "train").glob("*.tar"))
    assert shards == ["train-000000.tar", "train-000001.tar", "train-000002.tar"]
    for name in shards:
        assert (tmp_path / "out/train" / name).read_bytes() == (GOLDEN / "train" / name).read_bytes()
    assert ss.open(tmp_path / "out").digest == ss.open(GOLDEN).digest
    assert ss.open(tmp_path / "out").info.json_types == ss.open(GOLDEN).info.json_types


def test_the_order_of_an_epoch_over_it_is_pinned() -> None:
    """Saved states of any version rely on it."""
    loader = ss.Loader(ss.open(GOLDEN), batch_size=7, shuffle=True, seed=1)
    assert [KEYS.index(key) for key in next(iter(loader))["key"]] == [4, 1, 6, 2, 3, 5, 0]


def test_counted_randomness_is_pinned() -> None:
    """The mixer's values, a permutation and a key's word."""
    assert counted.mix_one(1, 2, 3) == 15020427595393229491
    assert counted.permutation(8, 5, 6).tolist() == [6, 4, 5, 0, 1, 3, 2, 7]
    assert counted.text_word("train-00000") == 3328329739583551008
