"""ColorJitter: brightness, contrast, saturation and hue in an order of each sample's own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from torch import Tensor

from ..errors import OptionError
from . import colour_ops
from .boxes import F64, I64, U64
from .colour import ColourTransform
from .memory import blank_like, copy_of
from .options import Pair, as_probability
from .rows import change

Strength = float | Sequence[float]

OPERATIONS = (colour_ops.brightness, colour_ops.contrast, colour_ops.saturation, colour_ops.hue)
NEUTRAL = np.array([1.0, 1.0, 1.0, 0.0])
"""The factors that change nothing."""


class ColorJitter(ColourTransform):
    """torchvision's ColorJitter: four factors, each uniform in its range, applied in a random order of each sample.

    A number v means ``max(0, 1 - v)..1 + v`` (hue: ``-v..v``, at most 0.5), 0 that nothing changes; or give (low,
    high). ``p`` is the share of samples that change at all. uint8 (B, 3, H, W) or ragged; grey images only where
    neither saturation nor hue is asked for. Between two steps values are whole numbers, as torchvision's are.
    """

    def __init__(
        self,
        brightness: Strength = 0.0,
        contrast: Strength = 0.0,
        saturation: Strength = 0.0,
        hue: Strength = 0.0,
        p: float = 1.0,
    ) -> None:
        super().__init__()
        given = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        self.ranges = [_factors(value, name, self.name) for name, value in given.items()]
        self.ranges.append(_turns(hue, self.name))
        self.p = as_probability(p, self.name)
        self.needs_colour = any(self.ranges[op] != (NEUTRAL[op],) * 2 for op in (2, 3))

    def draw(self, sizes: I64, seeds: U64) -> F64:  # noqa: ARG002 - every size alike
        """(B, 8): which of the four comes first, second, third and last (0 brightness, 1 contrast, 2 saturation,
        3 hue), then the four factors; neutral ones where a row stays as it is.
        """
        u = self.uniforms(seeds, 9)
        low, high = np.array(self.ranges).T
        factors = np.where(u[:, 8:] < self.p, low + u[:, 4:8] * (high - low), NEUTRAL)
        return np.concatenate([np.argsort(u[:, :4], axis=1), factors], axis=1)

    def recolour(self, images: Tensor, params: F64) -> Tensor:
        order, factors = params[:, :4].astype(np.int64), params[:, 4:]
        acts = np.take_along_axis(factors != NEUTRAL, order, axis=1)  # (B, 4): whether the step changes anything
        same = np.where(acts, order + 1, 0) @ 5 ** np.arange(4)  # equal where the same steps follow each other
        out = blank_like(images) if same.all() else copy_of(images)
        for code in np.unique(same[same != 0]):
            rows = np.flatnonzero(same == code)
            steps = order[rows[0]][acts[rows[0]]].tolist()
            change(out, images, rows, factors[rows], partial(_apply, steps))
        return out

    def extra_repr(self) -> str:
        names = ("brightness", "contrast", "saturation", "hue")
        used = [
            f"{name}={pair}"
            for name, pair, none in zip(names, self.ranges, NEUTRAL, strict=True)
            if pair != (none,) * 2
        ]
        return ", ".join([*used, f"p={self.p}"])


def _apply(steps: Sequence[int], images: Tensor, factors: F64) -> Tensor:
    """The steps, one after another; fractions are cut off in between as they are at the end."""
    pixels = images.float()
    for number, step in enumerate(steps):
        pixels = OPERATIONS[step](pixels.floor_() if number else pixels, factors[:, step])
    return pixels


def _factors(value: Strength, name: str, who: str) -> Pair:
    """The range of a factor, which is never below 0."""
    if isinstance(value, Sequence):
        low, high = _pair(value, name, who)
    else:
        low, high = max(0.0, 1.0 - value), 1.0 + value
    if not 0 <= low <= high:
        raise OptionError(f"{who}: {name} is {value!r}; give a number of 0 or more, or (low, high) of 0 or more")
    return float(low), float(high)


def _turns(value: Strength, who: str) -> Pair:
    """The range of a turn of the hue circle."""
    low, high = _pair(value, "hue", who) if isinstance(value, Sequence) else (-float(value), float(value))
    if not -0.5 <= low <= high <= 0.5:
        raise OptionError(f"{who}: hue is {value!r}; give a number in 0..0.5, or (low, high) in -0.5..0.5")
    return float(low), float(high)


def _pair(value: Sequence[float], name: str, who: str) -> Pair:
    if len(value) != 2:
        raise OptionError(f"{who}: {name} is {value!r}; give a number, or (low, high)")
    return value[0], value[1]
