"""Normal noise that a pixel's place and its sample's word decide, on any device the same: no generator, no position.

word, place ── splitmix64 ──> 64 bits ── 16 for each channel ──> a quantile of N(0, 1) from a table
"""

from __future__ import annotations

import torch
from torch import Tensor

LEVELS = 1 << 16
"""Equally likely values, from -4.3 to 4.3; a logarithm per pixel would differ in its last bit from device to device."""
_PER_WORD = 4
_GAMMA, _M1, _M2 = (value - (1 << 64) for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def normal_levels() -> Tensor:
    """(LEVELS,) float32: the middle quantiles of N(0, 1) in ascending order, scaled to a variance of exactly 1."""
    values: Tensor = torch.special.ndtri((torch.arange(LEVELS, dtype=torch.float64) + 0.5) / LEVELS)
    return values.div(values.square().mean().sqrt()).float()


def pixel_noise(levels: Tensor, words: Tensor, places: Tensor, channels: int) -> list[Tensor]:
    """``channels`` float32 tensors (n,) for pixels ``places`` (n,) of samples with ``words`` (n,), both int64.

    The n-th number of the generator SplitMix64 that starts at the sample's word, n being the place.
    """
    made: list[Tensor] = []
    for first in range(0, channels, _PER_WORD):
        bits = _splitmix((places * _GAMMA).add_(words + first))
        for part in range(min(_PER_WORD, channels - first)):
            made.append(levels.index_select(0, (bits >> 16 * part).bitwise_and_(LEVELS - 1)))
    return made


def _splitmix(x: Tensor) -> Tensor:
    """The mixer of ``counted`` in int64, which wraps as uint64 does; in place."""
    for by, factor in ((30, _M1), (27, _M2)):
        x.bitwise_xor_(_shifted(x, by)).mul_(factor)
    return x.bitwise_xor_(_shifted(x, 31))


def _shifted(x: Tensor, by: int) -> Tensor:
    return (x >> by).bitwise_and_((1 << (64 - by)) - 1)  # without the sign's copies
