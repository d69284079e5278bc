"""``ClassBalanced`` and ``RepeatFactor``: weights from how often an item's classes occur."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...errors import OptionError
from .base import Sampler
from .columns import I64, counted, inverse, label_column
from .labels import LabelSets

if TYPE_CHECKING:
    from ..views import Items

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClassRule:
    """An item belongs to the heaviest of its classes; those without any are a class of their own, the last."""

    column: str
    counts: I64 = field(repr=False)
    """(C,) items of the view that hold each class."""
    table: F64 = field(repr=False)
    """(C + 1,) weight of an item of each class, and of one without a class."""

    @classmethod
    def of(cls, column: str, counts: I64, weights: F64, empty: float = 0.0) -> ClassRule:
        return cls(column, counts, np.append(weights, empty))

    def classes(self, values: pa.Array, first: int) -> I64:  # noqa: ARG002 - wherever they are
        found = LabelSets.of(values).heaviest(self.table[:-1])
        return np.where(found >= 0, found, len(self.counts))

    def weights(self, values: pa.Array, first: int) -> F64:
        weights: F64 = self.table[self.classes(values, first)]
        return weights


@dataclass(frozen=True, slots=True)
class ClassBalanced(Sampler):
    """Items with one label: a class gets the share ``n_c ** (1 - power)`` of the epoch, spread evenly over its items.

    0 is the natural order, 0.5 square-root sampling, 1 uniform classes: the q = 1 - power of Kang et al. 2020,
    Decoupling Representation and Classifier (arXiv 1910.09217). ``effective=beta`` weighs items by Cui et al. 2019's
    effective number instead, ``(1 - beta) / (1 - beta ** n_c)`` (arXiv 1901.05555). Raises OptionError for columns of
    several labels an item, and where items have none.
    """

    power: float = 1.0
    column: str | None = None
    """Index column of the labels; default: the view's own."""
    effective: float | None = None
    """beta in [0, 1): 0.9, 0.99, 0.999, ...; ``power`` then stays at its default."""

    def check(self) -> None:
        if not 0 <= self.power < math.inf:
            raise OptionError(f"power must be 0 or more, not {self.power!r}.")
        if self.effective is not None and not (0 <= self.effective < 1 and self.power == 1):
            raise OptionError(
                f"effective={self.effective!r} with power={self.power!r}: beta lies in [0, 1) and takes power's place;"
                " give one of them."
            )

    def rule(self, items: Items) -> ClassRule:
        column = label_column(items, self.column)
        if pa.types.is_list(items.values(0, column).type):
            raise OptionError(
                f"column {column!r} holds several labels for one {items.view.kind}, ClassBalanced takes one; use"
                " MultiLabel, or the view of its parts."
            )
        counts = counted(items, column)
        need_labels(items, column, len(items) - int(counts.sum()))
        return ClassRule.of(column, counts, self._weights(counts))

    def _weights(self, counts: I64) -> F64:
        return inverse(counts, self.power) if self.effective is None else effective_number(counts, self.effective)


@dataclass(frozen=True, slots=True)
class RepeatFactor(Sampler):
    """Repeat factor sampling of LVIS (Gupta et al. 2019, arXiv 1908.03195): rare classes more often, all at least once.

    f_c is the share of items that hold class c, ``r_c = max(1, sqrt(threshold / f_c))``, an item comes ``max r_c`` times
    over its classes, one without a class once. An epoch has as many items as that adds up to, unless ``size`` is given.
    """

    threshold: float
    """Classes rarer than this share of the items are repeated: 0.001 for LVIS, 0.05 to 0.1 for EMOTIC."""
    square_root: bool = True
    """False: ``threshold / f_c``, as detectron2's REPEAT_SQRT=False."""
    column: str | None = None
    """Index column of the labels, one or several an item; default: the view's own."""

    def check(self) -> None:
        check_threshold(self.threshold)

    @property
    def absolute(self) -> bool:
        return True

    def rule(self, items: Items) -> ClassRule:
        column = label_column(items, self.column)
        counts = counted(items, column)
        return ClassRule.of(column, counts, repeats(counts, len(items), self.threshold, self.square_root), empty=1.0)


def repeats(counts: I64, items: int, threshold: float, square_root: bool = True) -> F64:
    """(C,) repeat factor of each class held by ``counts`` of ``items``; 1 for classes that nobody holds."""
    ratio = threshold * items * inverse(counts)
    return np.maximum(1.0, np.sqrt(ratio) if square_root else ratio)


def effective_number(counts: I64, beta: float) -> F64:
    """(C,) ``(1 - beta) / (1 - beta ** n)``, normalised to sum to C as the authors do; 0 for classes nobody holds."""
    weights = np.zeros(len(counts))
    held = counts > 0
    weights[held] = (1 - beta) / -np.expm1(counts[held] * np.log(beta)) if beta else 1.0
    total: F64 = weights * (len(counts) / weights.sum())
    return total


def check_threshold(threshold: float) -> None:
    """Refuse what is no share."""
    if not 0 < threshold <= 1:
        raise OptionError(f"threshold is a share of the items, above 0 and at most 1, not {threshold!r}.")


def need_labels(items: Items, column: str, without: int) -> None:
    """Refuse items that a sampler over classes could only drop."""
    if without:
        raise OptionError(
            f"{without:,} of {len(items):,} {items.view.kind}s of split {items.ds.info.name!r} have no label in column"
            f" {column!r}, so no class to draw them by; leave them out with ds.select, or use RepeatFactor, which takes"
            " them once."
        )
