"""A tiny source whose images are functions of their number, so that any test can recompute what must come out."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

import shardstream as ss
from shardstream.shard_writer.storage import open_store
from shardstream.shard_writer.types import About, Record, Sample, SplitInfo
from shardstream.shard_writer.write import WriteOptions, write_dataset

CLASSES = tuple("abcdefg")


def toy_pixels(number: int, ragged: bool = False) -> np.ndarray:
    """(H, W, 3) uint8: 12x10, or of a size of its own."""
    height, width = (8 + number % 9, 8 + number % 7) if ragged else (12, 10)
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


@dataclass(frozen=True)
class ToySplit:
    count: int
    ragged: bool
    info: SplitInfo

    def records(self) -> Sequence[Record]:
        return [Record(f"{self.info.name}-{i:05d}", 1000, i) for i in range(self.count)]

    def read(self, record: Record) -> Sample:
        buffer = io.BytesIO()
        Image.fromarray(toy_pixels(record.where, self.ragged)).save(buffer, "png")
        label = record.where % len(CLASSES)
        return Sample(record.key, buffer.getvalue(), {"number": record.where}, label, {"label": label})


@dataclass(frozen=True)
class ToySource:
    count: int = 100
    ragged: bool = False
    names: tuple[str, ...] = ("train",)

    def about(self) -> About:
        return About(name="toy", licence="CC0-1.0", classes={"label": CLASSES})

    def splits(self) -> tuple[str, ...]:
        return self.names

    def split(self, name: str) -> ToySplit:
        info = SplitInfo(
            name=name, image_field="png", columns={"label": "int64"}, label_column="label", shuffle=name == "train",
            pixel_stats=True,
        )  # fmt: skip
        return ToySplit(self.count, self.ragged, info)


def pack_toy(
    out: Path, count: int = 100, *, shard_size: int = 9_000, ragged: bool = False, resume: bool = False
) -> ss.ShardDataset:
    """A packed toy split of ``count`` samples, about nine to a shard."""
    write_dataset(ToySource(count, ragged), open_store(out), WriteOptions(shard_size=shard_size, resume=resume))
    return ss.open(out)
