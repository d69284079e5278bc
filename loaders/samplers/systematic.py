"""How many copies of each item an epoch has: seeded systematic sampling (Madow 1949) on whole numbers.

    copies_i = floor(((C_i + W_i) * M + U) / W) - floor((C_i * M + U) / W)        C_i: weights before item i

The sum is exactly M, each is less than one copy from W_i * M / W, and over epochs (over U) they are unbiased.
Only the sums at shard starts are kept; a shard's own weights are computed again when it is visited.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...counted import mix_one, permutation, text_word

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]
_OFFSET, _LINE = text_word("systematic/offset"), text_word("systematic/line")
_SAFE = 2**62
UNIT_BITS = 30
UNIT = 1 << UNIT_BITS
"""The whole-number weight of one expected copy."""


class Copies(Protocol):
    """The copies of every item in an epoch, shard by shard. Picklable; the same on every machine."""

    @property
    def size(self) -> int:
        """Items of every epoch, copies counted."""
        ...

    def totals(self, epoch: int) -> I64:
        """(S,) copies in each shard."""
        ...

    def of(self, epoch: int, shard: int) -> I64:
        """(items,) copies of each item of a shard."""
        ...

    def expected(self, shard: int) -> F64:
        """(items,) mean copies of each item of a shard over epochs: its capped weight, scaled to the size."""
        ...


@dataclass(frozen=True, slots=True)
class OneEach:
    """Natural order: every item once. There is nothing to compute."""

    counts: I64
    """(S,) items of each shard."""

    @property
    def size(self) -> int:
        return int(self.counts.sum())

    def totals(self, epoch: int) -> I64:  # noqa: ARG002 - every epoch is alike
        return self.counts

    def of(self, epoch: int, shard: int) -> I64:  # noqa: ARG002
        return np.ones(int(self.counts[shard]), dtype=np.int64)

    def expected(self, shard: int) -> F64:
        return np.ones(int(self.counts[shard]))


@dataclass(frozen=True, slots=True)
class Systematic:
    """Copies by whole-number weights."""

    size: int
    seed: int
    starts: Sequence[int]
    """(S + 1,) weights before each shard, as Python integers: times ``size`` they pass 64 bits."""
    weights: Callable[[int], I64] = field(repr=False)
    """Shard -> (items,) weights."""
    anew: bool = False
    """Line the items of a shard up in a new order each epoch: else equal weights give few different epochs."""

    def totals(self, epoch: int) -> I64:
        whole, offset = self.starts[-1], self._offset(epoch)
        # Python integers in an object array: exact, and S of them take tens of milliseconds at S = 100,000
        bounds = (np.array(self.starts, dtype=object) * self.size + offset) // whole
        return np.diff(bounds).astype(np.int64)

    def of(self, epoch: int, shard: int) -> I64:
        weights = self.weights(shard)
        lined = permutation(len(weights), self.seed, epoch, _LINE, shard) if self.anew else slice(None)
        whole = self.starts[-1]
        rest = (self.starts[shard] * self.size + self._offset(epoch)) % whole
        ends = np.concatenate([[0], np.cumsum(weights[lined])])
        copies = np.empty_like(weights)
        copies[lined] = np.diff(_floors(ends, self.size, rest, whole))
        return copies

    def expected(self, shard: int) -> F64:
        return self.weights(shard).astype(np.float64) * (self.size / self.starts[-1])

    def _offset(self, epoch: int) -> int:
        return offset(self.starts[-1], self.seed, epoch)


def offset(whole: int, seed: int, epoch: int, *stream: int) -> int:
    """U, uniform in [0, W): 128 hashed bits, since W may pass 64."""
    high, low = (mix_one(seed, epoch, _OFFSET, word, *stream) for word in (0, 1))
    return ((high << 64) | low) % whole


def _floors(ends: I64, size: int, rest: int, whole: int) -> I64:
    """(C * size + rest) // whole for each C, in 64 bits where that is exact."""
    if int(ends[-1]) * size + rest < _SAFE and whole < _SAFE:
        return (ends * size + rest) // whole
    wide: Any = (ends.astype(object) * size + rest) // whole
    exact: I64 = wide.astype(np.int64)
    return exact


def copy_major(copies: I64) -> tuple[I64, I64]:
    """Items and copy numbers of a shard's slots, (m,) each: every item's first copy, then the second ones, ...

    So copies of one item stand as far apart as the shard allows:   copies [1, 3, 2]   items 0 1 2 1 2 1   copy 0 0 0 1 1 2
    """
    items = np.repeat(np.arange(len(copies)), copies)
    number = np.arange(len(items)) - np.repeat(np.cumsum(copies) - copies, copies)
    order = np.argsort(number, kind="stable")
    return items[order], number[order]
