"""GaussianBlur with a width of each sample's own, as two passes of shifted sums."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor
from torch.nn import functional

from ..errors import OptionError
from .boxes import F64, I64, U64
from .colour import ColourTransform
from .options import Size, as_hw, as_probability, as_range
from .rows import changed, column


class GaussianBlur(ColourTransform):
    """Blurred by a Gaussian of ``kernel_size`` pixels (odd; one number, or width then height, as torchvision's).

    ``sigma``: (low, high), or one number; drawn uniformly for each sample, of which a share ``p`` is blurred. uint8,
    any number of channels, batched or ragged; mirrored at the rim. Within one level of torchvision, whose kernel is
    the same product of two. Raises OptionError for an image not larger than half the kernel.
    """

    def __init__(self, kernel_size: Size, sigma: float | Sequence[float] = (0.1, 2.0), p: float = 1.0) -> None:
        super().__init__()
        self.kernel_size = as_hw(kernel_size, self.name)
        if any(side % 2 == 0 for side in self.kernel_size):
            raise OptionError(f"{self.name}: kernel_size is {kernel_size!r}; give odd numbers")
        self.sigma = as_range(sigma if isinstance(sigma, Sequence) else (sigma, sigma), "sigma", self.name)
        self.p = as_probability(p, self.name)

    def draw(self, sizes: I64, seeds: U64) -> F64:  # noqa: ARG002 - every size alike
        """Sigma in pixels (B,); 0 where a row stays as it is."""
        u = self.uniforms(seeds, 2)
        low, high = self.sigma
        return np.where(u[:, 1] < self.p, low + u[:, 0] * (high - low), 0.0)

    def recolour(self, images: Tensor, params: F64) -> Tensor:
        width, height = self.kernel_size
        if height // 2 >= images.shape[2] or width // 2 >= images.shape[3]:
            raise OptionError(
                f"{self.name}: an image of {tuple(images.shape[2:])} (h, w) cannot be mirrored for a kernel of "
                f"{height} x {width}; use a smaller one"
            )
        return changed(images, np.flatnonzero(params), params, self._blur)

    def _blur(self, images: Tensor, sigma: F64) -> Tensor:
        width, height = self.kernel_size
        pad = (width // 2, width // 2, height // 2, height // 2)
        pixels = functional.pad(images.float(), pad, mode="reflect")
        pixels = _pass(pixels, 2, _taps(height, sigma))
        return _pass(pixels, 3, _taps(width, sigma)).round_()

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, sigma={self.sigma}, p={self.p}"


def _taps(size: int, sigma: F64) -> F64:
    """(n, size // 2 + 1) weights from the rim to the middle, their mirrored whole summing to 1.

    torchvision's Gaussian: places are divided by sqrt(2) once, so ``sigma`` is in pixels.
    """
    place = np.arange(size // 2 + 1) - size // 2
    weight = np.exp(-(place**2) / (2 * sigma[:, None] ** 2))
    whole = 2 * weight.sum(1, keepdims=True) - weight[:, -1:]
    return np.asarray(weight / whole)


def _pass(pixels: Tensor, axis: int, taps: F64) -> Tensor:
    """Along one axis: each tap with its mirror image, from the middle outwards."""
    half = taps.shape[1] - 1
    length = pixels.shape[axis] - 2 * half
    made = pixels.narrow(axis, half, length) * column(taps[:, half], pixels)
    for tap in range(half - 1, -1, -1):
        pair = pixels.narrow(axis, tap, length) + pixels.narrow(axis, 2 * half - tap, length)
        made.add_(pair.mul_(column(taps[:, tap], pixels)))
    return made
