"""Labels as rows of numbers, and rows of numbers mixed: torchvision's and timm's formulas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import OptionError
from .options import as_probability


@dataclass(frozen=True, slots=True)
class MixedLabels:
    """Which fields are mixed with the pixels, and how class labels become rows of numbers."""

    field: str = "label"
    """The labels: (B,) whole numbers, or (B, classes)."""
    also: tuple[str, ...] = ()
    """Float fields (B, ...) that are averaged along, as ``vad``; their NaN stay NaN."""
    smoothing: float = 0.0
    """s of label smoothing: 1 - s + s / C in a label's column and s / C elsewhere, as if 1 of C were drawn."""
    multi_label: bool = False
    """Each column is a yes or no of its own: smoothed towards 1/2 instead of 1 / C. Needs labels (B, classes)."""

    def __post_init__(self) -> None:
        as_probability(self.smoothing, "label smoothing")

    def dense(self, label: Any, rows: int, classes: int | None, who: str) -> Tensor:
        """(B, C) float32, smoothed; the rows of negative labels, fillers, are all 0."""
        if not isinstance(label, Tensor) or label.ndim not in (1, 2) or len(label) != rows:
            shape = tuple(label.shape) if isinstance(label, Tensor) else type(label).__name__
            raise OptionError(
                f"{who}: {self.field!r} is {shape} for {rows} images; give a tensor ({rows},) or ({rows}, classes)"
            )
        if label.ndim == 1:
            return _one_hot(label, self._classes(label, classes, who), self.smoothing)
        if classes is not None and label.shape[1] != classes:
            raise OptionError(
                f"{who}: {self.field!r} has {label.shape[1]} columns, num_classes is {classes}; make them equal"
            )
        return label.float() * (1 - self.smoothing) + self.smoothing * (0.5 if self.multi_label else 1 / label.shape[1])

    def _classes(self, label: Tensor, classes: int | None, who: str) -> int:
        if label.is_floating_point() or label.is_complex() or label.dtype == torch.bool:
            raise OptionError(f"{who}: {self.field!r} is {label.dtype} ({len(label)},); class labels are whole numbers")
        if self.multi_label:
            raise OptionError(f"{who}: multi_label needs {self.field!r} of (B, classes); it is ({len(label)},)")
        if classes is None:
            raise OptionError(
                f"{who}: class labels (B,) need num_classes; give it, or bind the transform to a dataset whose "
                "statistics count its classes (ss.Loader does)"
            )
        if label.device.type == "cpu" and len(label) and int(label.max()) >= classes:  # elsewhere scatter_ raises
            raise OptionError(f"{who}: a label is {int(label.max())}, num_classes {classes}; labels end one below it")
        return classes


def _one_hot(label: Tensor, classes: int, smoothing: float) -> Tensor:
    index, off = label.long()[:, None], smoothing / classes
    made = torch.full((len(label), classes), off, device=label.device)
    made.scatter_(1, index.clamp(min=0), 1 - smoothing + off)
    return made.mul_(index >= 0)


def mixed_rows(values: Tensor, partner: Tensor, share: Tensor) -> Tensor:
    """``share`` (B,) of each row of (B, ...) and the rest of its partner's: lam y + (1 - lam) y[partner]."""
    weight = share.to(values.dtype).reshape(-1, *[1] * (values.ndim - 1))
    return values * weight + values.index_select(0, partner) * (1 - weight)


def classes_of(histogram: Mapping[str, int] | None) -> int | None:
    """How many classes a label histogram names; None where it has only the numbers of those that occur, with gaps."""
    if not histogram:
        return None
    if all(name.isdecimal() for name in histogram) and {int(name) for name in histogram} != set(range(len(histogram))):
        return None
    return len(histogram)
