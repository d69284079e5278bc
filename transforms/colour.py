"""Colour changes with a probability: posterize, solarize, equalize and their like. uint8 in and out.

torchvision's definitions and names (see ``colour_ops`` for how close the numbers are). Place them before Normalize.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..errors import OptionError
from . import colour_ops
from .base import RandomTransform
from .batch import Images, require_channels, require_uint8
from .boxes import F64, I64, U64
from .options import as_probability
from .rows import Kernel, changed, each


class ColourTransform(RandomTransform):
    """Changes colours and moves nothing: ``image`` and, in a batch of persons, ``body`` by the same parameters."""

    fields = ("image", "body")
    needs_colour = False

    def apply_to(self, images: Images, params: F64) -> Images:
        require_uint8(images, self.name)
        if self.needs_colour:
            require_channels(images, 3, self.name)
        return each(images, params, self.recolour)

    @abstractmethod
    def recolour(self, images: Tensor, params: F64) -> Tensor:
        """A copy of (B, C, H, W) changed by ``params`` (B, ...)."""


class _Sometimes(ColourTransform):
    """One kernel with one value, on each row with probability ``p``."""

    kernel: Kernel
    value = 0.0

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = as_probability(p, self.name)

    def draw(self, sizes: I64, seeds: U64) -> F64:  # noqa: ARG002 - every size alike
        """Which rows (B,) change: 1 or 0."""
        return (self.uniforms(seeds, 1)[:, 0] < self.p).astype(np.float64)

    def recolour(self, images: Tensor, params: F64) -> Tensor:
        values: NDArray[np.float64] = np.full(len(params), self.value)
        return changed(images, np.flatnonzero(params), values, type(self).kernel)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class RandomGrayscale(_Sometimes):
    """Grey, in three channels, with probability ``p``. Raises OptionError where there are not three."""

    kernel = staticmethod(colour_ops.grey)
    needs_colour = True

    def __init__(self, p: float = 0.1) -> None:
        super().__init__(p)


class RandomInvert(_Sometimes):
    """255 - x with probability ``p``; any number of channels."""

    kernel = staticmethod(colour_ops.invert)

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)


class RandomEqualize(_Sometimes):
    """Each channel's histogram made flat (Pillow's equalize) with probability ``p``."""

    kernel = staticmethod(colour_ops.equalize)

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)


class RandomAutocontrast(_Sometimes):
    """Each channel stretched to 0..255 with probability ``p``."""

    kernel = staticmethod(colour_ops.autocontrast)

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)


class RandomPosterize(_Sometimes):
    """The highest ``bits`` (0..8) of every value kept, the others 0, with probability ``p``."""

    kernel = staticmethod(colour_ops.posterize)

    def __init__(self, bits: int, p: float = 0.5) -> None:
        super().__init__(p)
        if bits not in range(9):
            raise OptionError(f"{self.name}: bits is {bits!r}; give a whole number from 0 to 8")
        self.value = float(bits)

    def extra_repr(self) -> str:
        return f"bits={int(self.value)}, {super().extra_repr()}"


class RandomSolarize(_Sometimes):
    """Values of ``threshold`` (0..255) and above inverted, with probability ``p``."""

    kernel = staticmethod(colour_ops.solarize)

    def __init__(self, threshold: float, p: float = 0.5) -> None:
        super().__init__(p)
        if not 0 <= threshold <= 255:
            raise OptionError(f"{self.name}: threshold is {threshold!r}; give a level from 0 to 255")
        self.value = float(threshold)

    def extra_repr(self) -> str:
        return f"threshold={self.value:g}, {super().extra_repr()}"


class RandomAdjustSharpness(_Sometimes):
    """Sharpened (``sharpness_factor`` above 1) or blurred (below; 0 is the 3 x 3 blur) with probability ``p``."""

    kernel = staticmethod(colour_ops.sharpness)

    def __init__(self, sharpness_factor: float, p: float = 0.5) -> None:
        super().__init__(p)
        if not sharpness_factor >= 0:
            raise OptionError(f"{self.name}: sharpness_factor is {sharpness_factor!r}; give a number of 0 or more")
        self.value = float(sharpness_factor)

    def extra_repr(self) -> str:
        return f"sharpness_factor={self.value:g}, {super().extra_repr()}"
