"""Copies where both members of a pair always come equally often: singles and pairs are drawn by themselves.

    items       q0   q1   q2   q3   q4       singles     q2                      M - 2 M_p copies
    partner     q3   q4   -    q0   q1       pairs       (q0 q3)  (q1 q4)        M_p copies, two items each

Within each, units come by kind (which answer types they hold) as items come by class in stratified.py. Members of a
pair lie on different images, so in different shards, and a shard must know a pair's number in its kind without visiting
the other shard: a table of 5 bytes an item is made once. Numbers are permuted in each epoch, so that other units come.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from ...counted import text_word
from ...errors import CorruptData, OptionError
from ..rows import Recent
from ..windows import permuted
from .base import F64, I64
from .fill import Distribution, Filling, filled
from .stratified import Allotment, Weights

_BLOCK = 1 << 16
_NUMBERS = text_word("pairs/numbers")


@dataclass(frozen=True, slots=True)
class Kinds:
    """Kinds of units, those of one item first, then pairs. Units of a kind weigh the same."""

    values: F64
    """(K,) weight of a member."""
    units: I64
    """(K,) how many there are."""
    singles: int
    """So many kinds are singles."""

    def group(self, number: int) -> Distribution:
        """The singles (0) or the pairs (1): a unit of group g has g + 1 items."""
        here = slice(None, self.singles) if number == 0 else slice(self.singles, None)
        return Distribution(self.values[here], self.units[here])

    def held(self, number: int) -> int:
        """Units of a group that weigh something."""
        group = self.group(number)
        return int(group.times[group.values > 0].sum())

    def pair_copies(self, size: int, cap: float) -> int:
        """Copies of pairs in an epoch: the whole number nearest to what weights ask for, the same in all epochs.

        So pairs weigh up to half a pair, altogether, more or less than asked; singles fill up the rest.
        """
        cap = min(cap, size)
        singles, pairs = self.held(0), self.held(1)
        least, most = max(0, math.ceil((size - cap * singles) / 2)), min(size // 2, math.floor(cap * pairs))
        if least > most:
            raise OptionError(
                f"an epoch of {size:,} items cannot be made of {pairs:,} pairs, which count for two, and {singles:,} items"
                f" without a partner, each at most {cap:g} times; choose another size (even, if all have partners), a"
                " larger max_copies, or keep_pairs=False."
            )
        both = np.repeat([1, 2], [self.singles, len(self.units) - self.singles])
        filling = filled(Distribution(self.values, self.units * both), size, cap)
        asked = float((filling.expected(self.values) * self.units)[self.singles :].sum())
        return min(max(round(asked), least), most)


@dataclass(frozen=True, slots=True)
class Groups:
    """Singles and pairs, each with its copies of an epoch and its weights."""

    sizes: tuple[int, int]
    weights: tuple[Weights, Weights]
    fillings: tuple[Filling, Filling]

    @classmethod
    def of(cls, kinds: Kinds, size: int, cap: float) -> Groups:
        """Fill ``size`` items with whole units, none more than ``cap`` times; raises OptionError where that cannot be."""
        pairs = kinds.pair_copies(size, cap)
        sizes, groups = (size - 2 * pairs, pairs), (kinds.group(0), kinds.group(1))
        one, two = (
            filled(group, total, cap) if total else Filling(0.0, cap)
            for group, total in zip(groups, sizes, strict=True)
        )
        weights = (
            Weights(groups[0].times, one.whole(groups[0].values)),
            Weights(groups[1].times, two.whole(groups[1].values)),
        )
        return cls(sizes, weights, (one, replace(two, capped=2 * two.capped)))

    def allot(self, seed: int, epoch: int) -> Allotment:
        """Copies of the units of all kinds."""
        one, two = (self.weights[group].allot(self.sizes[group], seed, epoch, group) for group in (0, 1))
        columns = ((one.items, two.items), (one.copies, two.copies), (one.start, two.start))
        return Allotment(*(np.concatenate(column) for column in columns))

    def expected(self) -> F64:
        """(K,) mean copies of a unit of each kind."""
        found = [weights.expected(size) for weights, size in zip(self.weights, self.sizes, strict=True)]
        return np.asarray(np.concatenate(found))


@dataclass(frozen=True, slots=True)
class PairedCopies:
    """The copies of items and their partners, shard by shard."""

    size: int
    seed: int
    groups: Groups = field(repr=False)
    firsts: I64 = field(repr=False)
    """(S + 1,) number of each shard's first item."""
    kind: NDArray[np.unsignedinteger[Any]] = field(repr=False)
    """(N,) kind of each item's unit."""
    number: NDArray[np.unsignedinteger[Any]] = field(repr=False)
    """(N,) number of that unit in its kind. Both in as few bytes as hold them."""
    _recent: Recent[Allotment] = field(default_factory=lambda: Recent(2), init=False, repr=False, compare=False)

    @classmethod
    def made(cls, groups: Groups, counts: I64, kind: I64, partner: I64, seed: int) -> PairedCopies:
        """``counts`` (S,): items of each shard; ``kind`` (N,) of each item's unit; ``partner`` (N,): its place, -1: none."""
        here = np.arange(len(kind))
        number = np.zeros(len(kind), dtype=np.int64)
        leading = here[(partner < 0) | (partner > here)]  # one item of every unit, in the view's order
        order = np.argsort(kind[leading], kind="stable")
        ordered = kind[leading][order]
        number[leading[order]] = np.arange(len(order)) - np.searchsorted(ordered, ordered)
        second = (partner >= 0) & (partner < here)
        number[second] = number[partner[second]]
        size = groups.sizes[0] + 2 * groups.sizes[1]
        narrow = [values.astype(np.min_scalar_type(values.max(initial=0))) for values in (kind, number)]
        return cls(size, seed, groups, np.concatenate([[0], np.cumsum(counts)]), *narrow)

    @property
    def digest(self) -> str:
        """Of the weights of all items and of which are paired."""
        digest = xxhash.xxh3_128(self.kind.tobytes() + self.number.tobytes())
        digest.update(repr(self.groups.sizes).encode())
        for weights in self.groups.weights:
            digest.update(weights.each.tobytes())
        return digest.hexdigest()

    def totals(self, epoch: int) -> I64:
        total = np.zeros(len(self.firsts) - 1, dtype=np.int64)
        for first in range(0, len(self.kind), _BLOCK):
            stop = min(first + _BLOCK, len(self.kind))
            shards = np.searchsorted(self.firsts, np.arange(first, stop), side="right") - 1
            np.add.at(total, shards, self._copies(epoch, first, stop))
        return total

    def of(self, epoch: int, shard: int) -> I64:
        return self._copies(epoch, int(self.firsts[shard]), int(self.firsts[shard + 1]))

    def expected(self, shard: int) -> F64:
        found: F64 = self.groups.expected()[self.kind[self.firsts[shard] : self.firsts[shard + 1]]]
        return found

    def _copies(self, epoch: int, first: int, stop: int) -> I64:
        allotment = self._recent.get(epoch, lambda number: self.groups.allot(self.seed, number))
        kind = self.kind[first:stop].astype(np.int64)
        number = self.number[first:stop].astype(np.int64)
        number = permuted(number, allotment.items[kind], (self.seed, epoch, _NUMBERS), (kind,))
        return allotment.of(number, kind)


def partners(ids: I64, pairs: I64) -> I64:
    """(N,) place of each item's partner among ``ids`` (N,), -1 where it has none there or the partner names another.

    Raises CorruptData where an id stands there twice.
    """
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    twice = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(twice):
        raise CorruptData(f"question {ordered[twice[0]]} stands in the index twice; pack the split again.")
    place = np.minimum(np.searchsorted(ordered, pairs), len(ids) - 1)
    found = np.where((pairs >= 0) & (ordered[place] == pairs), order[place], -1)
    here = np.arange(len(ids))
    mutual = (found >= 0) & (found[found] == here) & (found != here)
    return np.where(mutual, found, -1)
