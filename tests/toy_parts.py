"""A source made of records that lie in memory: what the toy sets of persons and of questions share."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import shardstream as ss
from shardstream.shard_writer.storage import open_store
from shardstream.shard_writer.types import About, Record, Sample, SplitInfo
from shardstream.shard_writer.write import WriteOptions, write_dataset

HEIGHT, WIDTH = 40, 60
ToyRecord = dict[str, Any]


def toy_part_pixels(image: int) -> np.ndarray:
    return np.random.default_rng(image).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


@dataclass(frozen=True)
class ToyPartsSplit:
    """Record i is packed as ``keys[i]`` with the index columns that ``columns_of`` makes of it."""

    info: SplitInfo
    keys: Sequence[str]
    annotations: Sequence[ToyRecord]
    columns_of: Callable[[ToyRecord], dict[str, Any]]

    def records(self) -> Sequence[Record]:
        return [Record(key, 9000 if self.info.image_field else 2000, i) for i, key in enumerate(self.keys)]

    def read(self, record: Record) -> Sample:
        buffer = io.BytesIO()
        if self.info.image_field:
            Image.fromarray(toy_part_pixels(record.where)).save(buffer, "png")
        annotations = self.annotations[record.where]
        image = buffer.getvalue() if self.info.image_field else None
        return Sample(record.key, image, annotations, None, self.columns_of(annotations))


@dataclass(frozen=True)
class ToyPartsSource:
    meta: About
    made: Mapping[str, ToyPartsSplit]

    def about(self) -> About:
        return self.meta

    def splits(self) -> tuple[str, ...]:
        return tuple(self.made)

    def split(self, name: str) -> ToyPartsSplit:
        return self.made[name]

    def pack(self, out: Path, split: str, shard_size: int = 60_000) -> ss.ShardDataset:
        """Pack every split, open one: about seven images to a shard."""
        write_dataset(self, open_store(out), WriteOptions(shard_size=shard_size))
        return ss.open(out, split)
