"""Neighbouring turns of a picture as one: their matrices are multiplied, its pixels sampled once.

    mirror ── affine ── mirror      ->  one warp      fuse=True: the pixels of the three, but for ties (72 dB and more)
    affine ── affine                ->  one warp      fuse="all": sharper, and what the first cuts off is not lost, so
                                                      another picture (19 dB from the two)

Parameters are drawn and annotations moved stage by stage as before, so only pixels can differ. A mirror alone, beside
a crop or before Normalize is left as it is: it costs 1.4 of the 67 ms that `train(224)` takes for 128 images on a core.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from torch import nn

from ..moving import inverse
from .affine_random import RandomAffine, warp_all
from .base import Transform
from .batch import Batch, copied, images_of, require_uint8, seeds_of, sizes_of, with_images
from .boxes import F64, I64
from .eager import eager
from .geometry import RandomHorizontalFlip
from .geometry_base import RandomGeometry

Fuse = bool | Literal["all"]
TURNS = (RandomHorizontalFlip, RandomAffine)


def fused(stages: Sequence[nn.Module], fuse: Fuse) -> tuple[nn.Module, ...]:
    """The stages with every run that may be one warp as one AffineChain."""
    if not fuse:
        return tuple(stages)
    out: list[nn.Module] = []
    run: list[RandomGeometry] = []
    for stage in [*stages, None]:
        if isinstance(stage, TURNS) and _fits(run, stage, fuse):
            run.append(stage)
            continue
        out += _one(run)
        run = [stage] if isinstance(stage, TURNS) else []
        out += [stage] if stage is not None and not run else []
    return tuple(out)


def _fits(run: Sequence[RandomGeometry], stage: RandomGeometry, fuse: Fuse) -> bool:
    """Whether a stage can join: one kind of sampling in a run, and one affine, unless all may be fused."""
    warps = [turn for turn in run if isinstance(turn, RandomAffine)]
    if not warps or not isinstance(stage, RandomAffine):
        return True
    return fuse == "all" and (warps[0].interpolation, warps[0].fill) == (stage.interpolation, stage.fill)


def _one(run: list[RandomGeometry]) -> list[nn.Module]:
    return [AffineChain(run)] if len(run) > 1 and any(isinstance(turn, RandomAffine) for turn in run) else [*run]


class AffineChain(Transform):
    """Mirrors and affine transforms one after another, each with its own draws, sampled once."""

    def __init__(self, turns: Sequence[RandomGeometry]) -> None:
        super().__init__()
        self.turns = tuple(turns)  # no children: the Compose has them
        affine = next(turn for turn in turns if isinstance(turn, RandomAffine))
        self.sampling = affine.interpolation, affine.fill

    @eager
    def forward(self, batch: Batch) -> Batch:
        images = images_of(batch, self.name)
        require_uint8(images, self.name)
        sizes, seeds = sizes_of(images), seeds_of(batch, len(images), self.name)
        out, matrix = copied(batch), np.tile(np.eye(3), (len(images), 1, 1))
        for turn in self.turns:
            params = turn.draw(sizes, seeds)
            out.update(turn.follow(out, sizes, params))
            matrix[:, :2] = turn.move(sizes, params).matrix @ matrix
        return with_images(out, warp_all(images, _about_middle(matrix, sizes), *self.sampling))

    def extra_repr(self) -> str:
        return ", ".join(map(repr, self.turns))


def _about_middle(matrix: F64, sizes: I64) -> F64:
    """(B, 3, 3) old to new pixels, edges -> (B, 2, 3) new to old, counted from the middle as ``warp`` does."""
    back, middle = inverse(matrix[:, :2]), sizes[:, ::-1] / 2
    back[:, :, 2] += (back[:, :, :2] @ middle[:, :, None])[:, :, 0] - middle
    return back
