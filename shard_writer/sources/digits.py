"""scikit-learn's digits: 1,797 real handwritten digits of 8x8 pixels, shipped by pip; no download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...counted import mix
from ...errors import MissingExtra, OptionError, SourceError
from ..types import About, Record, Sample, SplitInfo
from .options import OVERHEAD, SourceOptions, pixel_field
from .pixels import encode_pixels

SPLITS = ("train", "test")
CLASSES = tuple("0123456789")
_SIDE = 8


def load_pixels() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pixels ``(1797,8,8)`` in 0..255 and labels. scikit-learn's 0..16 become ``round(v*255/16)``, which keeps all
    17 values apart, so that ``round(pixel*16/255)`` gives them back.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtra(
            f"digits come with an optional package: pip install 'shardstream[demo]' ({error})"
        ) from error
    found = load_digits()
    grey = found.images.astype(np.int64)
    return ((grey * 255 + 8) // 16).astype(np.uint8), found.target.astype(np.int64)


def split_rows(labels: NDArray[np.int64], split: str) -> list[int]:
    """Original row numbers of a split, ascending: of each class the fifth with the smallest ``mix(0, row)`` is test."""
    order = mix(0, np.arange(len(labels), dtype=np.uint64))
    test = np.zeros(len(labels), dtype=bool)
    for label in range(len(CLASSES)):
        rows = np.flatnonzero(labels == label)
        test[rows[np.argsort(order[rows], kind="stable")][: round(len(rows) / 5)]] = True
    return [int(row) for row in np.flatnonzero(test == (split == "test"))]


@dataclass(slots=True)
class DigitsSplit:
    """One split of the digits; every process reads scikit-learn's file once."""

    split: str
    image_field: str
    _loaded: tuple[NDArray[np.uint8], NDArray[np.int64]] | None = field(
        default=None, init=False, repr=False, compare=False
    )

    def __reduce__(self) -> tuple[Any, ...]:
        return (DigitsSplit, (self.split, self.image_field))

    @property
    def info(self) -> SplitInfo:
        return SplitInfo(
            name=self.split,
            image_field=self.image_field,
            columns={"label": "int64"},
            label_column="label",
            shuffle=self.split == "train",
            pixel_stats=True,
        )

    def loaded(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        if self._loaded is None:
            self._loaded = load_pixels()
        return self._loaded

    def records(self) -> Sequence[Record]:
        rows = split_rows(self.loaded()[1], self.split)
        return [Record(f"{self.split}-{row:04d}", _SIDE * _SIDE + OVERHEAD, row) for row in rows]

    def read(self, record: Record) -> Sample:
        pixels, labels = self.loaded()
        label = int(labels[record.where])
        return Sample(
            key=record.key,
            image=encode_pixels(pixels[record.where], self.image_field),
            annotations={"row": record.where, "target": label, "label": label, "label_name": CLASSES[label]},
            label=label,
            columns={"label": label},
        )


@dataclass(frozen=True, slots=True)
class DigitsSource:
    """``Source`` over scikit-learn's digits."""

    image_field: str

    def about(self) -> About:
        return About(
            name="digits",
            licence="CC BY 4.0 (UCI Optical Recognition of Handwritten Digits), shipped with scikit-learn",
            homepage="https://archive.ics.uci.edu/dataset/80",
            classes={"label": CLASSES},
            identity={"digits.csv": "1797 rows"},
            notes=("the split into train and test is ours: stratified, 80 to 20",),
        )

    def splits(self) -> tuple[str, ...]:
        return SPLITS

    def split(self, name: str) -> DigitsSplit:
        if name not in SPLITS:
            raise SourceError(f"digits: split {name!r} is not there; there are {', '.join(SPLITS)}.")
        return DigitsSplit(name, self.image_field)


def open_digits(source: str | None, options: SourceOptions) -> DigitsSource:
    """The digits that scikit-learn ships; takes no address."""
    if source is not None:
        raise OptionError(f"digits come with scikit-learn and take no --source, got {source!r}. Leave it out.")
    return DigitsSource(pixel_field("digits", options.encode))
