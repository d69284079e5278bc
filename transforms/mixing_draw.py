"""What a mixing draws: for each row a partner, how much of the row is left, and for CutMix a box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..counted import mix, uniform
from . import distributions as dist
from .boxes import F64, I64, U64
from .mixing_partners import batch_word, key_words, partners

_UNIFORMS = 4 + 2 * dist.UNIFORMS


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a batch is mixed."""

    mixup: float | None
    """Alpha of MixUp's Beta(alpha, alpha); None: no MixUp."""
    cutmix: float | None
    """Alpha of CutMix's; None: no CutMix."""
    mode: str
    """``batch``: one lam and box; ``pair``: one for every two rows; ``elem``: each row its own."""
    p: float
    """Probability that a batch, pair or row is mixed at all."""
    cut_share: float
    """Of those mixed, how many are cut, where both are on."""


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """What was drawn for B rows; a row that stays as it is has itself as partner, or a share of 1."""

    partner: I64
    """(B,) row numbers."""
    share: F64
    """(B,) lam: how much of the row is left, after a box was clipped at the image's rim."""
    cut: NDArray[np.bool_]
    """(B,) CutMix (True) or MixUp."""
    boxes: I64
    """(B, 4) x0 y0 x1 y1 of the partner's pixels; empty for MixUp."""


def draw(recipe: Recipe, keys: Sequence[str], seeds: U64, stage: int, hw: tuple[int, int]) -> Mixture:
    """The mixture of a batch: a pure function of its keys and seeds, in their order, and of the stage."""
    names = key_words(keys)
    word = batch_word(seeds, names, stage)
    partner, shared = partners(names, word, recipe.mode)
    units, unit = np.unique(shared, return_inverse=True)
    u = uniform(mix(word, units.astype(np.uint64)[:, None], np.arange(_UNIFORMS, dtype=np.uint64)))
    cut, share = _drawn(recipe, u)
    cut, share = cut[unit], np.where(partner == np.arange(len(unit)), 1.0, share[unit])
    boxes = np.where((cut & (share < 1))[:, None], cut_boxes(share, u[unit, 2:4], hw), 0)
    left = 1 - (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / (hw[0] * hw[1])
    share = np.where(cut, left, share)
    return Mixture(np.where(share < 1, partner, np.arange(len(unit))), share, cut, boxes)


def _drawn(recipe: Recipe, u: F64) -> tuple[NDArray[np.bool_], F64]:
    """Whether each unit is cut, and its lam; 1 where it is not mixed."""
    cut = _cut(recipe, u[:, 0])
    gammas = u[:, 4:].reshape(len(u), 2, dist.UNIFORMS)
    share = np.ones(len(u))
    for alpha, rows in ((recipe.mixup, ~cut), (recipe.cutmix, cut)):
        if alpha is not None:
            share[rows] = dist.beta(alpha, gammas[rows])
    return cut, np.where(u[:, 1] < recipe.p, share, 1.0)


def _cut(recipe: Recipe, u: F64) -> NDArray[np.bool_]:
    if recipe.mixup is None or recipe.cutmix is None:
        return np.full(len(u), recipe.mixup is None)
    return u < recipe.cut_share


def cut_boxes(share: F64, u: F64, hw: tuple[int, int]) -> I64:
    """Boxes (B, 4) with ``1 - share`` of the area about a uniform pixel, from ``u`` (B, 2), clipped: torchvision's."""
    height, width = hw
    x, y = np.floor(u * (width, height)).T
    half = 0.5 * np.sqrt(1 - share)
    across, down = np.floor(half * width), np.floor(half * height)
    x0, x1 = np.maximum(x - across, 0), np.minimum(x + across, width)
    y0, y1 = np.maximum(y - down, 0), np.minimum(y + down, height)
    return np.stack([x0, y0, x1, y1], axis=1).astype(np.int64)
