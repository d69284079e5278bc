"""CIFAR-10 and CIFAR-100 in every form they are published in; the same rows come out of each.

Facts: https://www.cs.toronto.edu/~kriz/cifar.html and the files themselves.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import SourceError
from ..types import About, Record, Sample, SplitInfo
from .cifar_layout import CIFAR10, CIFAR100, CifarSpec
from .cifar_read import PLANES, Batch
from .cifar_readers import CifarReader, open_reader
from .options import OVERHEAD, SourceOptions, need_source, pixel_field, some
from .pixels import decode_rgb, encode_pixels


@dataclass(slots=True)
class CifarSplit:
    """One split of CIFAR. Pixels are read once per process and are not part of the pickle."""

    reader: CifarReader
    spec: CifarSpec
    names: Mapping[str, tuple[str, ...]]
    split: str
    image_field: str
    _batches: tuple[Batch, ...] | None = field(default=None, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return (CifarSplit, (self.reader, self.spec, self.names, self.split, self.image_field))

    @property
    def info(self) -> SplitInfo:
        return SplitInfo(
            name=self.split,
            image_field=self.image_field,
            columns=dict.fromkeys(self.spec.classes, "int64"),
            label_column="label",
            shuffle=self.split == "train",
            pixel_stats=True,
        )

    def batches(self) -> tuple[Batch, ...]:
        if self._batches is None:
            self._batches = self.reader.batches(self.split)
        return self._batches

    def records(self) -> Sequence[Record]:
        count = sum(map(len, self.batches()))
        return [Record(f"{self.split}-{row:05d}", PLANES + OVERHEAD, row) for row in range(count)]

    def read(self, record: Record) -> Sample:
        batch, row = self._locate(record.where)
        labels = {column: values[row] for column, values in batch.labels.items()}
        named: dict[str, Any] = {}
        for column, label in labels.items():
            named |= {column: label, f"{column}_name": self.names[column][label]}
        return Sample(
            key=record.key,
            image=self._image(batch, row),
            annotations={
                "index": record.where,
                **named,
                "filename": batch.filenames[row] if batch.filenames else None,
                "batch": batch.file,
                "row": row,
            },
            label=labels["label"],
            columns=labels,
        )

    def _locate(self, index: int) -> tuple[Batch, int]:
        batches = self.batches()
        ends = list(itertools.accumulate(map(len, batches)))
        number = bisect.bisect_right(ends, index)
        return batches[number], index - (ends[number - 1] if number else 0)

    def _image(self, batch: Batch, row: int) -> bytes:
        if batch.pixels is not None:
            # (3072,) -> planes (3,32,32) -> (32,32,3)
            return encode_pixels(
                np.ascontiguousarray(batch.pixels[row].reshape(3, 32, 32).transpose(1, 2, 0)), self.image_field
            )
        if batch.encoded is None:
            raise SourceError(f"{batch.file}: row {row} has neither pixels nor an encoded image.")
        data = batch.encoded[row]
        return data if self.image_field == "png" else encode_pixels(decode_rgb(data), self.image_field)


@dataclass(slots=True)
class CifarSource:
    """``Source`` over one copy of CIFAR."""

    reader: CifarReader
    spec: CifarSpec
    image_field: str
    _names: Mapping[str, tuple[str, ...]] | None = field(default=None, init=False, repr=False, compare=False)
    _about: About | None = field(default=None, init=False, repr=False, compare=False)
    _opened: dict[str, CifarSplit] = field(default_factory=dict, init=False, repr=False, compare=False)

    def about(self) -> About:
        if self._about is None:
            self._about = About(
                name=self.spec.name,
                licence="none stated",
                homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
                classes=self.names(),
                identity=self.reader.identity(),
                notes=self._notes(),
            )
        return self._about

    def names(self) -> Mapping[str, tuple[str, ...]]:
        if self._names is None:
            self._names = self.reader.class_names()
        return self._names

    def splits(self) -> tuple[str, ...]:
        return self.reader.splits()

    def split(self, name: str) -> CifarSplit:
        if name not in self.splits():
            raise SourceError(f"{self.spec.title}: split {name!r} is not there; there are {some(self.splits())}.")
        if name not in self._opened:
            opened = CifarSplit(self.reader, self.spec, self.names(), name, self.image_field)
            opened.batches()
            self._opened[name] = opened
        return self._opened[name]

    def _notes(self) -> tuple[str, ...]:
        counts = {name: sum(map(len, self.split(name).batches())) for name in self.splits()}
        partial = [
            f"partial: {name} holds {count:,} of {self.spec.full[name]:,} images"
            for name, count in counts.items()
            if count != self.spec.full[name]
        ]
        absent = [f"split {name} is absent" for name in self.spec.full if name not in counts]
        near = f"{self.spec.duplicates} of the full test images have near-duplicates in the full train set (ciFAIR)"
        return (*partial, *absent, near)


def open_cifar10(source: str | None, options: SourceOptions) -> CifarSource:
    """CIFAR-10: folder of official pickles, .bin files or parquet, the official ``.tar.gz``, a folder that holds
    exactly one of these, or ``hf:uoft-cs/cifar10``.
    """
    return _open(CIFAR10, source, options)


def open_cifar100(source: str | None, options: SourceOptions) -> CifarSource:
    """CIFAR-100 in the same forms; ``label`` is the fine label, ``coarse_label`` the superclass."""
    return _open(CIFAR100, source, options)


def _open(spec: CifarSpec, source: str | None, options: SourceOptions) -> CifarSource:
    url = need_source(spec.name, source, f"the folder or .tar.gz of {spec.title}, or hf:owner/name")
    image_field = pixel_field(spec.name, options.encode)
    return CifarSource(open_reader(spec, url, options), spec, image_field)
