"""From weights to whole numbers: scaled to an epoch of exactly the size asked for, capped, summed shard by shard."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...errors import OptionError
from .base import Rule, Sampler
from .systematic import UNIT, Copies, OneEach, Systematic

if TYPE_CHECKING:
    from ..views import Items

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ShardWeights:
    """Whole-number weights of one part's items: ``min(scale * weight, cap)`` expected copies. Picklable."""

    items: Items
    rule: Rule
    scale: float
    cap: float

    def __call__(self, shard: int) -> I64:
        return self.whole(self.rule.weights(self.items.values(shard, self.rule.column)))

    def whole(self, weights: F64) -> I64:
        """Rounded down, so that an item of exactly one copy weighs exactly one."""
        whole: I64 = np.floor(np.minimum(weights * self.scale, self.cap) * UNIT).astype(np.int64)
        return whole


@dataclass(frozen=True, slots=True)
class PartWeights:
    """The weights of a mixture: each shard asks the part that it belongs to."""

    parts: Sequence[ShardWeights]
    firsts: Sequence[int]
    """(D + 1,) first shard of each part."""

    def __call__(self, shard: int) -> I64:
        part = int(np.searchsorted(self.firsts, shard, side="right")) - 1
        return self.parts[part](shard - self.firsts[part])


@dataclass(frozen=True, slots=True)
class Fitted:
    """A sampler realised over a view."""

    copies: Copies
    parts: Sequence[ShardWeights] = ()
    """One per dataset of a mixture; none where every item comes once."""
    identity: str = "Natural()"
    """Goes into a state's fingerprint: the sampler and a digest of the weights of all shards."""


def fit(sampler: Sampler, items: Items, seed: int) -> Fitted:
    """Weights of all items of a view (of every part of a mixture by itself), scaled, capped and summed."""
    parts = items.parts
    rules = [sampler.rule(part) for part in parts]
    shares = items.shares
    size = sampler.size
    if size is None:
        size = sum(sampler.natural_size(part, rule) for part, rule in zip(parts, rules, strict=True))
    if size < 1:
        raise OptionError(f"size must be at least 1, not {size}.")
    if shares is None and size == len(items) and all(rule.column is None for rule in rules):
        return Fitted(OneEach(items.counts))
    groups = _scaled(list(zip(parts, rules, strict=True)), shares, size, sampler.max_copies)
    starts = [0]
    for group in groups:
        for total in _shard_sums(group):
            starts.append(starts[-1] + total)
    firsts = np.concatenate([[0], np.cumsum([len(part.counts) for part in parts])]).tolist()
    weights = groups[0] if len(groups) == 1 else PartWeights(groups, firsts)
    return Fitted(Systematic(size, seed, starts, weights), groups, identity(sampler, size, starts))


def identity(sampler: Sampler, size: int, starts: Sequence[int]) -> str:
    """The sampler's options, the epoch's size and a digest of the weights before each shard."""
    digest = hashlib.sha256(repr(list(starts)).encode()).hexdigest()
    return f"{sampler}, {size} items, weights {digest[:16]}"


def _scaled(
    parts: Sequence[tuple[Items, Rule]], shares: Sequence[float] | None, size: int, cap: float
) -> list[ShardWeights]:
    """Every part with the scale at which its capped weights add up to its share of the epoch."""
    found = [_distribution(items, rule) for items, rule in parts]
    if shares is None:  # one group: all parts are scaled alike
        together = np.concatenate([values for values, _ in found]), np.concatenate([times for _, times in found])
        scale = filled(*together, size, cap)
        return [ShardWeights(items, rule, scale, cap) for items, rule in parts]
    scales = [filled(values, times, size * share, cap) for (values, times), share in zip(found, shares, strict=True)]
    return [ShardWeights(items, rule, scale, cap) for (items, rule), scale in zip(parts, scales, strict=True)]


def filled(values: F64, times: I64, total: float, cap: float) -> float:
    """The scale at which ``sum(times * min(scale * values, cap)) == total``: water filling over distinct weights.

    Raises OptionError where even ``cap`` copies of every item with a weight are too few.
    """
    order = np.argsort(-values, kind="stable")
    values, times = values[order], times[order]
    held = values > 0
    if total > cap * times[held].sum():
        raise OptionError(
            f"an epoch of {total:,.0f} items needs more than max_copies={cap:g} of each of the"
            f" {int(times[held].sum()):,} items with a weight; ask for a smaller size, or raise max_copies."
        )
    # (k,) with the k largest values at the cap, what is left goes to the rest in proportion
    capped = np.concatenate([[0], np.cumsum(times)])[:-1] * cap
    rest = np.cumsum((values * times)[::-1])[::-1]
    scale = np.divide(total - capped, rest, out=np.zeros_like(rest), where=rest > 0)
    # a float's breath above the cap is not above it
    fits = np.flatnonzero(scale * values <= cap * (1 + 1e-12))
    return float(scale[fits[0]])


def _distribution(items: Items, rule: Rule) -> tuple[F64, I64]:
    """Distinct weights and how many items have each: class samplers have few, however many items there are."""
    values, times = np.zeros(0), np.zeros(0, dtype=np.int64)
    for weights, _ in _weighed(items, rule):
        found, counted = np.unique(weights, return_counts=True)
        values, of = np.unique(np.concatenate([values, found]), return_inverse=True)
        times = np.bincount(of, np.concatenate([times, counted]), minlength=len(values)).astype(np.int64)
    return values, times


def _shard_sums(part: ShardWeights) -> Iterator[int]:
    for weights, counts in _weighed(part.items, part.rule):
        ends = np.concatenate([[0], np.cumsum(part.whole(weights))])
        stops = np.cumsum(counts)
        yield from (ends[stops] - ends[stops - counts]).tolist()


def _weighed(items: Items, rule: Rule) -> Iterator[tuple[F64, I64]]:
    """Weights of the items of some shards after another, and how many items each of those shards has."""
    for chunk in items.scan(rule.column):
        weights = rule.weights(chunk.values)
        bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
        if len(bad):
            raise OptionError(
                f"item {chunk.first + bad[0]} has weight {weights[bad[0]]}; weights are finite, 0 or more."
            )
        yield weights, chunk.counts
