"""Datasets of annotations alone, with shards of any given sizes: an epoch of them takes milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import shardstream as ss
from shardstream.shard_writer.storage import open_store
from shardstream.shard_writer.types import About, Record, Sample, SplitInfo
from shardstream.shard_writer.write import WriteOptions, write_dataset

CLASSES = ("common", "usual", "rare", "rarest")
COLUMNS = {"label": "int64", "labels": "list<int64>", "n_captions": "int64", "size": "int64"}


def label_of(number: int) -> int:
    """Of 20 items 12 are common, 5 usual, 2 rare and 1 is rarest."""
    return sum(number * 7 % 20 >= bound for bound in (12, 17, 19))


def labels_of(number: int) -> list[int]:
    return sorted({label_of(number), *([0] if number % 3 == 0 else [])} if number % 11 else set())


def captions_of(number: int) -> int:
    return number * 5 % 4


@dataclass(frozen=True)
class IndexOnlySplit:
    sizes: tuple[int, ...]
    info: SplitInfo

    def records(self) -> Sequence[Record]:
        # A shard of n rows weighs exactly 1,000: its first row what the n - 1 others of weight 1 leave.
        weights = [1_000 - size + 1 if row == 0 else 1 for size in self.sizes for row in range(size)]
        return [Record(f"item-{i:05d}", weight, i) for i, weight in enumerate(weights)]

    def read(self, record: Record) -> Sample:
        number = record.where
        label = label_of(number)
        captions = [{"id": 10 * number + k, "caption": f"{k} of {number}"} for k in range(captions_of(number))]
        columns = {"label": label, "labels": labels_of(number), "n_captions": len(captions), "size": number}
        return Sample(record.key, None, {"number": number, "captions": captions}, label, columns)


@dataclass(frozen=True)
class IndexOnlySource:
    sizes: tuple[int, ...]

    def about(self) -> About:
        return About(name="index-only", licence="CC0-1.0", classes={"label": CLASSES, "labels": CLASSES})

    def splits(self) -> tuple[str, ...]:
        return ("train",)

    def split(self, name: str) -> IndexOnlySplit:
        return IndexOnlySplit(self.sizes, SplitInfo(name=name, image_field=None, columns=COLUMNS, label_column="label"))


def pack_index_only(out: Path, sizes: Sequence[int]) -> ss.ShardDataset:
    """A split without images whose shards hold exactly ``sizes`` rows, each 1 to 500, in order."""
    write_dataset(IndexOnlySource(tuple(sizes)), open_store(out), WriteOptions(shard_size=1_000))
    ds = ss.open(out)
    if ds.counts.tolist() != list(sizes):
        raise ValueError(f"packed shards of {ds.counts.tolist()} rows, wanted {list(sizes)}")
    return ds
