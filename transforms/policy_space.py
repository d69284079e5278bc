"""What a policy may do, and how much: torchvision's operations and the magnitudes of their bins.

bin        0 ............ num_bins - 1
magnitude  low .......... high          a signed one is negative for half of the samples
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .boxes import F64, I64

WIDTH, HEIGHT = 1, 0


@dataclass(frozen=True, slots=True)
class Op:
    """One operation of a space; ``name`` is torchvision's."""

    name: str
    low: float = 0.0
    high: float = 0.0
    signed: bool = False
    share_of: int | None = None
    """``high`` is a share of the image's WIDTH or HEIGHT."""
    whole: bool = False
    """Rounded, half to even."""


Space = tuple[Op, ...]


def space(geometry: float, angle: float, colour: float, bits: tuple[float, float], shift: float | None) -> Space:
    """The operations that RandAugment, TrivialAugment and AutoAugment share, at their strongest.

    ``shift`` is in pixels; None: 150 of 331, a share of the side (AutoAugment's 150 pixels at ImageNet's 331).
    """
    x, y = (None, None) if shift is not None else (WIDTH, HEIGHT)
    far = 150 / 331 if shift is None else shift
    return (
        Op("ShearX", 0, geometry, signed=True),
        Op("ShearY", 0, geometry, signed=True),
        Op("TranslateX", 0, far, signed=True, share_of=x),
        Op("TranslateY", 0, far, signed=True, share_of=y),
        Op("Rotate", 0, angle, signed=True),
        *(Op(name, 0, colour, signed=True) for name in ("Brightness", "Color", "Contrast", "Sharpness")),
        Op("Posterize", *bits, whole=True),
        Op("Solarize", 1, 0),
        Op("AutoContrast"),
        Op("Equalize"),
    )


RAND: Space = (Op("Identity"), *space(0.3, 30, 0.9, (8, 4), None))
"""RandAugment (Cubuk et al. 2020)."""
WIDE: Space = (Op("Identity"), *space(0.99, 135, 0.99, (8, 2), 32))
"""TrivialAugment Wide (Müller and Hutter 2021)."""
AUTO: Space = (*space(0.3, 30, 0.9, (8, 4), None), Op("Invert"))
"""AutoAugment (Cubuk et al. 2019)."""
_THIRDS = {
    "TranslateX": Op("TranslateX", 0, 1 / 3, True, WIDTH),
    "TranslateY": Op("TranslateY", 0, 1 / 3, True, HEIGHT),
}
MIX: Space = tuple(
    _THIRDS.get(op.name, Op("Posterize", 4, 0, whole=True) if op.name == "Posterize" else op) for op in RAND[1:]
)
"""AugMix (Hendrycks et al. 2020), with all operations."""
MIX_PLAIN: Space = tuple(op for op in MIX if op.name not in ("Brightness", "Color", "Contrast", "Sharpness"))
"""AugMix without those that ImageNet-C's corruptions resemble."""

NAMES = tuple(op.name for op in (*RAND, AUTO[-1]))
"""Every operation; a drawn step holds a place in this list and a magnitude."""


def codes(space: Sequence[Op]) -> I64:
    """Each operation's place in NAMES."""
    return np.array([NAMES.index(op.name) for op in space], dtype=np.int64)


def magnitudes(space: Space, ops: I64, bins: I64, count: int, negative: NDArray[np.bool_], sizes: I64) -> F64:
    """(...,) for operations (...,) of ``space``, bins (...,) of ``count``, and image sizes (..., 2) h, w.

    The arithmetic is torch.linspace's, in float32 from the nearer end: a shift is later cut to whole pixels, and one
    of 15.999999 would lose a pixel.
    """
    low, high = (np.array([getattr(op, end) for op in space], dtype=np.float64)[ops] for end in ("low", "high"))
    axis = np.array([-1 if op.share_of is None else op.share_of for op in space])[ops]
    side = np.take_along_axis(sizes, np.maximum(axis, 0)[..., None], -1)[..., 0]
    first, last = low.astype(np.float32), (high * np.where(axis < 0, 1, side)).astype(np.float32)
    step = ((last - first) / np.float32(max(1, count - 1))).astype(np.float64)
    from_first, from_last = first + step * bins, last - step * (count - 1 - bins)  # float64: rounded once, below
    value = np.where(bins < count // 2, from_first, from_last).astype(np.float32)
    whole, signed = (np.array([getattr(op, kind) for op in space])[ops] for kind in ("whole", "signed"))
    made = np.where(whole, np.rint(value), value).astype(np.float64)
    return np.where(signed & negative, -made, made)
