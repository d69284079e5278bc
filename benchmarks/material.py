"""The images that both sides work on: real ones, from folders beside the repository or from pip packages."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shardstream.shard_writer.sources import open_source
from shardstream.shard_writer.sources.options import OVERHEAD
from shardstream.shard_writer.sources.pixels import decode_rgb, encode_pixels
from shardstream.shard_writer.types import About, Record, Sample, SplitInfo

ROOT = Path(__file__).parents[1]


def real_data() -> Path | None:
    """The folder of real benchmark files (``$SHARDSTREAM_TEST_DATA``), None where there is none."""
    folder = Path(os.environ.get("SHARDSTREAM_TEST_DATA") or ROOT.parent / "shared" / "data")
    return folder if folder.is_dir() else None


def photo_folder(folder: Path, count: int) -> str:
    """Fill ``folder/<class>/`` with ``count`` files, the same photographs under several names; says what they are."""
    found, what = originals()
    for number, (label, name, data) in enumerate(islice(cycle(found), count)):
        stem, _, extension = name.rpartition(".")
        target = folder / label / f"{stem.replace('.', '_')}-{number // len(found)}.{extension}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return f"{count:,} files made of {min(count, len(found))} {what}, copied under several names"


def originals() -> tuple[list[tuple[str, str, bytes]], str]:
    """(class, file name, bytes) of each photograph, and what they are."""
    data = real_data()
    files = sorted((data / "imagenet/ILSVRC/Data/CLS-LOC/train").glob("*/*.JPEG")) if data else []
    if files:
        return [(file.parent.name, file.name, file.read_bytes()) for file in files], "ImageNet photographs"
    split = open_source("photos").split("train")
    samples = [split.read(record) for record in split.records()]
    photos = [(f"class{i % 7}", str(s.annotations["path"]), s.image) for i, s in enumerate(samples)]
    return photos, "photographs that scikit-image ships"


@dataclass(frozen=True, slots=True)
class Pixels:
    """Small images as arrays, as a training set that has no image files holds them; a ``Source`` and its only split.

    Reading a record encodes it, with the encoder that both sides call.
    """

    images: NDArray[np.uint8]
    """(N, H, W, 3)"""
    labels: tuple[int, ...]
    what: str
    form: str = "png"
    """Or ``npy``: stored as they are."""

    @property
    def info(self) -> SplitInfo:
        return SplitInfo(
            name="train", image_field=self.form, columns={"label": "int64"}, label_column="label", shuffle=True
        )

    def about(self) -> About:
        return About(name="pixels", licence="of the rows it repeats")

    def splits(self) -> tuple[str, ...]:
        return ("train",)

    def split(self, name: str) -> Pixels:  # noqa: ARG002 - there is one
        return self

    def records(self) -> Sequence[Record]:
        nbytes = self.images[0].nbytes + OVERHEAD
        return [Record(self.key(row), nbytes, row) for row in range(len(self.images))]

    def read(self, record: Record) -> Sample:
        row = record.where
        image = encode_pixels(self.images[row], self.form)
        return Sample(record.key, image, self.annotations(row), self.labels[row], {"label": self.labels[row]})

    def key(self, row: int) -> str:
        """Name of a row; both sides use it."""
        return f"train-{row:06d}"

    def annotations(self, row: int) -> dict[str, int]:
        """JSON of a row; both sides write it."""
        return {"index": row, "label": self.labels[row]}


def pixel_rows(count: int) -> Pixels:
    """``count`` rows, the same images several times where there are fewer: real CIFAR-10, or scikit-learn's digits."""
    data = real_data()
    folder = data / "cifar10/cifar-10-batches-py" if data else None
    found = folder is not None and folder.is_dir()
    split = (open_source("cifar10", str(folder)) if found else open_source("digits")).split("train")
    records = list(split.records())[:count]
    samples = [split.read(record) for record in records]
    rows = [row % len(samples) for row in range(count)]
    images = np.stack([_rgb(sample.image) for sample in samples])[rows]
    labels = tuple(int(samples[row].label or 0) for row in rows)
    size = "x".join(map(str, images.shape[1:3]))
    name = "CIFAR-10 images" if found else "digits of scikit-learn"
    return Pixels(images, labels, f"{count:,} rows made of {len(samples):,} {name} ({size}), under several keys")


def _rgb(image: bytes) -> NDArray[np.uint8]:
    return decode_rgb(image).astype(np.uint8, copy=False)
