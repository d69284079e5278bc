"""From weights to copies: scaled to an epoch of exactly the size asked for, capped, counted shard by shard.

rule(items) ─> distinct weights ─> filling ─┬─> classes of equal weight       Stratified
                                            └─> items of their own weights    Systematic
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xxhash

from .base import Classed, Rule, Sampler
from .fill import Distribution, Filling, filled, own_size
from .natural import Alike
from .shard_weights import ShardWeights, systematic, weighed
from .stratified import Part, Stratified, Weights, classed
from .systematic import Copies, OneEach

if TYPE_CHECKING:
    from ..views import Items

log = logging.getLogger("shardstream")


@dataclass(frozen=True, slots=True)
class Fitted:
    """A sampler realised over a view."""

    copies: Copies
    rules: Sequence[Rule] = ()
    """One per dataset of a mixture."""
    fillings: Sequence[Filling] = ()
    """What was capped: of each part, or of each group that is filled by itself."""
    identity: str = "Natural()"
    """Goes into a state's fingerprint: the sampler and a digest of the weights of all items."""
    notes: Sequence[str] = ()
    """Facts of the fit that a report should tell."""


def fit(sampler: Sampler, items: Items, seed: int) -> Fitted:
    """Weights of all items of a view (of every part of a mixture by itself), scaled, capped and counted."""
    parts = items.parts
    rules = [sampler.rule(part) for part in parts]
    plain = items.shares is None and all(isinstance(rule, Alike) for rule in rules)
    if plain and sampler.size in (None, len(items)):
        return Fitted(OneEach(items.counts), rules)
    found = [_distribution(part, rule) for part, rule in zip(parts, rules, strict=True)]
    size = _size(sampler, len(items), found)
    fillings = _fillings(found, items.shares, size, sampler.max_copies)
    kept = fillings if items.shares is not None else fillings[:1]
    warn(sampler, kept)
    digest = xxhash.xxh3_128()
    by_class = [classed(part, rule, each.values) for part, rule, each in zip(parts, rules, found, strict=True)]
    whole = [rule for rule in by_class if rule is not None]
    if len(whole) == len(parts):
        copies: Copies = _stratified(parts, whole, fillings, (size, seed), digest)
    else:
        weights = [ShardWeights.of(*part) for part in zip(parts, rules, fillings, strict=True)]
        copies = systematic(weights, size, seed, digest)
    return Fitted(copies, rules, kept, identity(sampler, size, digest.hexdigest()))


def identity(sampler: Sampler, size: int, digest: str) -> str:
    """The sampler's options, the epoch's size and a digest of all weights."""
    return f"{sampler}, {size} items, weights {digest}"


def warn(sampler: Sampler, fillings: Sequence[Filling]) -> None:
    """Tell the log where the cap cut something off."""
    capped = sum(filling.capped for filling in fillings)
    if capped:
        log.warning(
            "%s: max_copies=%g cut the weights of %d items; the heaviest asked for %.1f copies",
            sampler,
            sampler.max_copies,
            capped,
            max(filling.asked for filling in fillings),
        )


def _size(sampler: Sampler, items: int, found: Sequence[Distribution]) -> int:
    """The size asked for, else that of the view, or what absolute weights add up to."""
    if sampler.size is not None:
        return sampler.size
    return own_size(Distribution.joined(found), sampler.max_copies) if sampler.absolute else items


def _fillings(
    found: Sequence[Distribution], shares: Sequence[float] | None, size: int, cap: float
) -> Sequence[Filling]:
    """Every part with the scale at which its capped weights add up to its share of the epoch."""
    if shares is not None:
        return [filled(part, size * share, cap) for part, share in zip(found, shares, strict=True)]
    # one group: all parts are scaled alike
    return [filled(Distribution.joined(found), size, cap)] * len(found)


def _distribution(items: Items, rule: Rule) -> Distribution:
    found = Distribution(np.zeros(0), np.zeros(0, dtype=np.int64))
    for weights, _ in weighed(items, rule):
        found = Distribution.joined([found, Distribution.of(weights)])
    return found


def _stratified(
    parts: Sequence[Items],
    rules: Sequence[Classed],
    fillings: Sequence[Filling],
    epoch: tuple[int, int],
    digest: xxhash.xxh3_128,
) -> Stratified:
    """Classes of all parts one after another."""
    made: list[Part] = []
    for items, rule in zip(parts, rules, strict=True):
        made.append(Part.of(items, rule, sum(len(part.rule.table) for part in made), digest))
    each = np.concatenate([filling.whole(rule.table) for rule, filling in zip(rules, fillings, strict=True)])
    digest.update(each.tobytes())
    weights = Weights(np.concatenate([part.before[-1] for part in made]).astype(np.int64), each)
    return Stratified(*epoch, weights, made)
