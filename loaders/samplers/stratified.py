"""Copies where every class comes as often as its weight says, to within one copy: systematic sampling twice.

    1. classes    T_k  copies of class k: systematic.py's formula over the classes, each of weight n_k * W_k
    2. items      copies_j = floor(((j + 1) T_k + u_k) / n_k) - floor((j T_k + u_k) / n_k)      j: number in the class

T_k is E_k = n_k W_k M / W rounded down or up, so an item of class k comes floor or ceil of W_k M / W times: whole
multiples of n_k bound E_k, and T_k with it. Unbiased, for U and u_k are uniform.

What an item needs is its number in its class: how many a class has in the shards before it is a table, made once.

    shard       0    1    2              before  k=0  k=1       Inside a shard, items of a class are numbered anew in
    class 0     3    1    4                 0     0    0        each epoch, so that other ones come.
    class 1     0    2    1                 1     3    0
                                            2     4    2
                                            end   8    3
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from ...counted import mix, text_word
from ..rows import Recent
from .base import Classed, Rule
from .systematic import F64, I64, offset

if TYPE_CHECKING:
    from ..views import Items

_CLASSES, _ITEMS = text_word("stratified/classes"), text_word("stratified/items")
_BLOCK = 1 << 18
CELLS = 1 << 22
"""The most numbers in the table of a split: 16 MB. ImageNet needs a quarter of it."""


@dataclass(frozen=True, slots=True)
class Allotment:
    """An epoch's copies of each class."""

    items: I64
    """(K,) items of each class: n."""
    copies: I64
    """(K,) T."""
    start: I64
    """(K,) u, in [0, n)."""

    def before(self, number: I64, of: I64) -> I64:
        """Copies of items of class ``of`` before the item with that number in it; they broadcast."""
        return (number * self.copies[of] + self.start[of]) // np.maximum(self.items[of], 1)

    def of(self, number: I64, of: I64) -> I64:
        """Copies of items by their number in their class, (n,) each."""
        return self.before(number + 1, of) - self.before(number, of)


@dataclass(frozen=True, slots=True)
class Weights:
    """Classes and the weight of their items, in whole numbers."""

    items: I64
    """(K,) items of each class."""
    each: I64
    """(K,) weight of one of them."""

    @property
    def total(self) -> int:
        return int((self.items * self.each).sum())

    def allot(self, size: int, *words: int) -> Allotment:
        """``size`` copies for the classes; ``words`` (seed, epoch, ...) decide the roundings."""
        if size == 0:
            return Allotment(self.items, np.zeros_like(self.items), np.zeros_like(self.items))
        ends = np.cumsum(self.items * self.each).astype(object)  # Python integers: times ``size`` they pass 64 bits
        copies = np.diff((ends * size + offset(self.total, *words)) // self.total, prepend=0).astype(np.int64)
        drawn = mix(*words, _CLASSES, np.arange(len(copies), dtype=np.uint64))
        return Allotment(self.items, copies, (drawn % np.maximum(self.items, 1).astype(np.uint64)).astype(np.int64))

    def expected(self, size: int) -> F64:
        """(K,) mean copies of an item of each class."""
        return self.each.astype(np.float64) * (size / max(self.total, 1))


@dataclass(frozen=True, slots=True)
class Part:
    """One dataset's items by class."""

    items: Items
    rule: Classed
    before: NDArray[np.integer[Any]] = field(repr=False)
    """(S + 1, K) items of each class in the shards before each."""
    first: int
    """Number of its first class among those of all parts."""

    @classmethod
    def of(cls, items: Items, rule: Classed, first: int, digest: xxhash.xxh3_128) -> Part:
        """Count classes shard by shard, in one pass over the index; the digest takes those of all items."""
        count = len(rule.table)
        rows = [np.zeros((1, count), dtype=np.int64)]
        for chunk in items.scan(rule.column):
            shards = np.repeat(np.arange(len(chunk.counts)), chunk.counts)
            classes = rule.classes(chunk.values, chunk.first)
            digest.update(classes.tobytes())
            cells = np.bincount(shards * count + classes, minlength=len(chunk.counts) * count)
            rows.append(cells.reshape(-1, count))
        kind = np.int32 if len(items) < 2**31 else np.int64
        return cls(items, rule, np.cumsum(np.concatenate(rows), axis=0, dtype=kind), first)

    def totals(self, allotment: Allotment) -> I64:
        """(S,) copies in each shard, some rows of the table after another: nothing of its size is made."""
        classes = np.arange(self.before.shape[1]) + self.first
        step = max(1, _BLOCK // len(classes))
        found = [
            np.diff(allotment.before(self.before[row : row + step + 1].astype(np.int64), classes), axis=0).sum(1)
            for row in range(0, len(self.before) - 1, step)
        ]
        return np.asarray(np.concatenate(found))

    def classes_of(self, shard: int) -> I64:
        """(items,) class of each item of a shard."""
        first = int(self.items.counts[:shard].sum())
        return self.rule.classes(self.items.values(shard, self.rule.column), first) + self.first

    def numbered(self, shard: int, *words: int) -> tuple[I64, I64]:
        """Number in their class and class of a shard's items, (items,) each, in an order that the words decide."""
        classes = self.classes_of(shard)
        order = np.lexsort((mix(*words, _ITEMS, shard, np.arange(len(classes), dtype=np.uint64)), classes))
        ordered = classes[order]
        number = np.empty_like(classes)
        number[order] = np.arange(len(order)) - np.searchsorted(ordered, ordered)
        return number + self.before[shard][classes - self.first], classes


@dataclass(frozen=True, slots=True)
class Stratified:
    """Copies by classes of items that weigh the same."""

    size: int
    seed: int
    weights: Weights = field(repr=False)
    parts: Sequence[Part] = field(repr=False)
    _recent: Recent[Allotment] = field(default_factory=lambda: Recent(2), init=False, repr=False, compare=False)

    def totals(self, epoch: int) -> I64:
        return np.concatenate([part.totals(self._allotment(epoch)) for part in self.parts])

    def of(self, epoch: int, shard: int) -> I64:
        part, own = self._part(shard)
        return self._allotment(epoch).of(*part.numbered(own, self.seed, epoch))

    def expected(self, shard: int) -> F64:
        part, own = self._part(shard)
        return self.weights.expected(self.size)[part.classes_of(own)]

    def _allotment(self, epoch: int) -> Allotment:
        return self._recent.get(epoch, lambda number: self.weights.allot(self.size, self.seed, number))

    def _part(self, shard: int) -> tuple[Part, int]:
        for part in self.parts:
            if shard < len(part.before) - 1:
                return part, shard
            shard -= len(part.before) - 1
        raise IndexError(f"there is no shard {shard} after the last.")


@dataclass(frozen=True, slots=True)
class ByWeight:
    """Another rule's items, classed by what they weigh."""

    rule: Rule
    table: F64 = field(repr=False)
    """(K,) distinct weights, ascending."""

    @property
    def column(self) -> str | None:
        return self.rule.column

    def weights(self, values: pa.Array, first: int) -> F64:
        return self.rule.weights(values, first)

    def classes(self, values: pa.Array, first: int) -> I64:
        return np.searchsorted(self.table, self.rule.weights(values, first))


def classed(items: Items, rule: Rule, weights: F64) -> Classed | None:
    """The rule by classes; None where the table would not be small. ``weights``: the distinct ones that occur."""
    if not isinstance(rule, Classed):
        if 2 * len(weights) > len(items):
            return None
        rule = ByWeight(rule, weights)
    return rule if (len(items.counts) + 1) * len(rule.table) <= CELLS else None
