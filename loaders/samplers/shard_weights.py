"""Weights of items shard by shard, for rules whose items weigh too differently for classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import xxhash
from numpy.typing import NDArray

from ...errors import OptionError
from .base import F64, I64, Rule
from .fill import Filling
from .systematic import Systematic

if TYPE_CHECKING:
    from ..views import Items


@dataclass(frozen=True, slots=True)
class ShardWeights:
    """Whole-number weights of one part's items, shard by shard. Picklable."""

    items: Items
    rule: Rule
    filling: Filling
    firsts: NDArray[np.int64] = field(repr=False)
    """(S,) number in the view of each shard's first item."""

    @classmethod
    def of(cls, items: Items, rule: Rule, filling: Filling) -> ShardWeights:
        return cls(items, rule, filling, np.cumsum(items.counts) - items.counts)

    def __call__(self, shard: int) -> I64:
        values = self.items.values(shard, self.rule.column)
        return self.filling.whole(self.rule.weights(values, int(self.firsts[shard])))


@dataclass(frozen=True, slots=True)
class PartWeights:
    """The weights of a mixture: each shard asks the part that it belongs to."""

    parts: Sequence[ShardWeights]
    firsts: Sequence[int]
    """(D + 1,) first shard of each part."""

    def __call__(self, shard: int) -> I64:
        part = int(np.searchsorted(self.firsts, shard, side="right")) - 1
        return self.parts[part](shard - self.firsts[part])


def systematic(parts: Sequence[ShardWeights], size: int, seed: int, digest: xxhash.xxh3_128) -> Systematic:
    """Sum the weights of each shard, in one pass over the index; the digest takes those of all items."""
    starts = [0]
    for part in parts:
        for weights, counts in weighed(part.items, part.rule):
            whole = part.filling.whole(weights)
            digest.update(whole.tobytes())
            ends = np.concatenate([[0], np.cumsum(whole)])
            stops = np.cumsum(counts)
            for total in (ends[stops] - ends[stops - counts]).tolist():
                starts.append(starts[-1] + total)
    firsts = np.concatenate([[0], np.cumsum([len(part.firsts) for part in parts])]).tolist()
    return Systematic(size, seed, starts, parts[0] if len(parts) == 1 else PartWeights(parts, firsts), anew=True)


def weighed(items: Items, rule: Rule) -> Iterator[tuple[F64, I64]]:
    """Weights of the items of some shards after another, and how many items each of those shards has."""
    for chunk in items.scan(rule.column):
        weights = rule.weights(chunk.values, chunk.first)
        bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
        if len(bad):
            raise OptionError(
                f"item {chunk.first + bad[0]} has weight {weights[bad[0]]}; weights are finite, 0 or more."
            )
        yield weights, chunk.counts
