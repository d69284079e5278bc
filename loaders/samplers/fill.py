"""Water filling: the scale at which capped weights add up to an epoch of exactly the size asked for.

cap ┤■■■ . . . . . . .           sum(times * min(scale * value, cap)) == total
    │■■■■■■
    │■■■■■■■■■■■■               what the capped ones lose, the others get in proportion
    └───────────────── items by falling weight
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import OptionError
from .systematic import UNIT, UNIT_BITS

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Distribution:
    """Distinct weights and how many items have each: class samplers have few, however many items there are."""

    values: F64
    """(k,)"""
    times: I64
    """(k,)"""

    @classmethod
    def of(cls, weights: F64) -> Distribution:
        return cls(*np.unique(weights, return_counts=True))

    @classmethod
    def joined(cls, parts: Sequence[Distribution]) -> Distribution:
        """Of the items of all parts together."""
        times = np.concatenate([part.times for part in parts])
        values, place = np.unique(np.concatenate([part.values for part in parts]), return_inverse=True)
        return cls(values, np.bincount(place, times, minlength=len(values)).astype(np.int64))


@dataclass(frozen=True, slots=True)
class Filling:
    """How weights become expected copies: ``min(scale * weight, cap)``."""

    scale: float
    cap: float
    capped: int = 0
    """Items whose weight was cut."""
    asked: float = 0.0
    """The expected copies of the heaviest item without a cap."""

    def expected(self, weights: F64) -> F64:
        """Copies as floats."""
        return np.minimum(weights * self.scale, self.cap)

    def whole(self, weights: F64) -> I64:
        """The same in whole units, rounded down, so that an item of exactly one copy weighs exactly one."""
        rounded: I64 = np.floor(self.expected(weights) * UNIT).astype(np.int64)
        return rounded


def filled(found: Distribution, total: float, cap: float) -> Filling:
    """Fill up to ``total`` copies. Raises OptionError where even ``cap`` copies of every item with a weight are too few."""
    held = np.flatnonzero((found.values > 0) & (found.times > 0))
    heaviest_first = held[np.argsort(-found.values[held], kind="stable")]
    values, times = found.values[heaviest_first], found.times[heaviest_first]
    if not len(values) or total > cap * times.sum():
        raise OptionError(
            f"an epoch of {total:,.0f} items needs more than max_copies={cap:g} of each of the {int(times.sum()):,}"
            " items with a weight; ask for a smaller size, or raise max_copies."
        )
    brim = _brim(int(times.sum()), total, cap)
    scales = _scales(values, times, total, brim)
    fits = np.flatnonzero(scales * values <= brim * (1 + 1e-12))  # a float's breath above the brim is not above it
    scale = _settled(float(scales[fits[0]] if len(fits) else brim / values[-1]))  # nothing fits: all are at the cap
    cut = times[scale * values > cap * (1 + 1e-9)]
    return Filling(scale, brim, int(cut.sum()), float(scales[0] * values[0]))


def _brim(items: int, total: float, cap: float) -> float:
    """The cap less a hair, so that rounding all others down to whole units cannot lift anybody above it.

    Rounding takes less than a unit from an item, and settling the scale less than a unit from a copy. No item asks for
    more than the whole epoch, so that a cap of infinity works.
    """
    hair = (items / total + 1) / UNIT + 2.0**-38  # the last for sums of floats
    return min(cap, total) * (1 - min(hair, 0.5))


def _scales(values: F64, times: I64, total: float, brim: float) -> F64:
    """(k,) the scale of the others where the j largest values stand at the brim."""
    with np.errstate(over="ignore"):
        full = np.concatenate([[0], np.cumsum(times)])[:-1] * brim
        rest = np.cumsum((values * times)[::-1])[::-1]
        scales: F64 = (total - full) / rest
    if not (np.isfinite(rest).all() and np.isfinite(scales).all()):
        raise OptionError(
            f"weights from {values[-1]:g} to {values[0]:g} cannot be added up in floats; give weights nearer to each other."
        )
    return scales


def _settled(scale: float) -> float:
    """One, where a sum of floats missed it: items of exactly one copy keep it."""
    return 1.0 if abs(scale - 1) < 2.0**-UNIT_BITS else scale


def own_size(found: Distribution, cap: float) -> int:
    """Items of an epoch whose weights are copies as they stand: their sum, rounded up to a whole item.

    Exact, so that filling up to it never takes from an item. Rounded weights add up to at most this many units:
    then an item of weight 1 or more has at least one copy in every epoch.
    """
    each = np.ceil(np.minimum(found.values, cap) * UNIT).astype(np.int64)
    units = sum(time * unit for time, unit in zip(found.times.tolist(), each.tolist(), strict=True))
    return int(-(-units // UNIT))
