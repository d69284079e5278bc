"""A toy source whose pictures are large beside what a tar adds to them, as photos are."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from shardstream.shard_writer.types import Record, Sample

from .toy import CLASSES, ToySource, ToySplit

PHOTO = 49_000
"""Bytes of a picture, nearly; the tar adds 5 %."""


class PhotoSplit(ToySplit):
    """Pictures of one size, each of its own bytes."""

    def records(self) -> Sequence[Record]:
        return [Record(f"{self.info.name}-{i:05d}", PHOTO, i) for i in range(self.count)]

    def read(self, record: Record) -> Sample:
        pixels = np.random.default_rng(record.where).integers(0, 256, (128, 128, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "png", compress_level=0)
        label = record.where % len(CLASSES)
        return Sample(record.key, buffer.getvalue(), {"number": record.where}, label, {"label": label})


@dataclass(frozen=True)
class Photos(ToySource):
    """A split of ``count`` photos."""

    def split(self, name: str) -> PhotoSplit:
        return PhotoSplit(self.count, False, super().split(name).info)
