"""Scale augmentation of detectors: torchvision's RandomShortestSize and RandomZoomOut, and large-scale jitter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..moving import Move, scaled
from .batch import Images, require_uint8, stacked
from .boxes import F64, I64, U64
from .geometry_base import RandomGeometry, same_sizes
from .options import Size, as_hw, as_interpolation, as_probability, as_range
from .resample import cut, resize_all


class RandomShortestSize(RandomGeometry):
    """Shorter side to one of ``sizes``, drawn per sample, the longer at most ``max_size``: both cut to whole pixels.

    uint8 in and out, ragged where results differ in size.
    """

    def __init__(self, sizes: Sequence[int], max_size: int | None = None, interpolation: str = "bilinear") -> None:
        super().__init__()
        if not sizes:
            raise OptionError(f"{self.name}: sizes is empty; give at least one shorter side")
        self.sizes = tuple(as_hw(size, self.name)[0] for size in sizes)
        self.max_size, self.interpolation = max_size, as_interpolation(interpolation, self.name)

    def draw(self, sizes: I64, seeds: U64) -> I64:
        """Sizes (B, 2) h, w to resize to."""
        shorter = np.array(self.sizes)[np.floor(self.uniforms(seeds, 1)[:, 0] * len(self.sizes)).astype(np.int64)]
        known = np.maximum(sizes, 1)
        scale = shorter / known.min(axis=1)
        if self.max_size is not None:
            scale = np.minimum(scale, self.max_size / known.max(axis=1))
        resized: I64 = np.maximum((known * scale[:, None]).astype(np.int64), 1)
        return resized

    def move(self, sizes: I64, params: I64) -> Move:
        return scaled((params / np.maximum(sizes, 1))[:, ::-1], np.zeros((len(sizes), 2)), sizes, params)

    def apply_to(self, images: Images, params: I64) -> Images:
        require_uint8(images, self.name)
        return resize_all(images, params, self.interpolation)

    def extra_repr(self) -> str:
        return f"{self.sizes}, max_size={self.max_size}, interpolation={self.interpolation!r}"


class RandomZoomOut(RandomGeometry):
    """With probability ``p`` the image somewhere on a canvas of ``fill``, ``side_range`` times as wide and high.

    Any dtype, ragged where results differ in size (SSD's, as torchvision draws it).
    """

    def __init__(self, fill: int = 0, side_range: Sequence[float] = (1.0, 4.0), p: float = 0.5) -> None:
        super().__init__()
        self.fill, self.p = fill, as_probability(p, self.name)
        self.side_range = as_range(side_range, "side_range", self.name)
        if self.side_range[0] < 1:
            raise OptionError(f"{self.name}: side_range is {self.side_range}; a canvas is at least the image, 1.0")

    def draw(self, sizes: I64, seeds: U64) -> I64:
        """Canvas height and width, and the image's top and left on it: (B, 4)."""
        u = self.uniforms(seeds, 4)
        low, high = self.side_range
        factor = np.where(u[:, 0] < self.p, low + u[:, 1] * (high - low), 1.0)
        canvas = (sizes * factor[:, None]).astype(np.int64)
        return np.concatenate((canvas, ((canvas - sizes) * u[:, 2:]).astype(np.int64)), axis=1)

    def move(self, sizes: I64, params: I64) -> Move:
        return scaled(np.ones((len(sizes), 2)), params[:, :1:-1].astype(float), sizes, params[:, :2])

    def apply_to(self, images: Images, params: I64) -> Images:
        return stacked(
            [cut(row, (-y, -x), (h, w), self.fill) for row, (h, w, y, x) in zip(images, params.tolist(), strict=True)]
        )

    def extra_repr(self) -> str:
        return f"fill={self.fill}, side_range={self.side_range}, p={self.p}"


class LargeScaleJitter(RandomGeometry):
    """Resized by a random factor of what fits into ``size``, then a random window of ``size``, ``fill`` beyond it.

    Ghiasi et al. 2021 (Simple Copy-Paste), as torchvision's ScaleJitter and FixedSizeCrop: the image lies at the top
    left where it is smaller. uint8, (B, C, h, w) or ragged in, (B, C, *size) out.
    """

    def __init__(
        self, size: Size, scale: Sequence[float] = (0.1, 2.0), interpolation: str = "bilinear", fill: int = 0
    ) -> None:
        super().__init__()
        self.size, self.fill = as_hw(size, self.name), fill
        self.scale = as_range(scale, "scale", self.name)
        self.interpolation = as_interpolation(interpolation, self.name)

    def draw(self, sizes: I64, seeds: U64) -> I64:
        """Height and width resized to, and the window's top and left in that: (B, 4)."""
        u, known = self.uniforms(seeds, 3), np.maximum(sizes, 1)
        factor = (np.array(self.size) / known).min(axis=1) * (self.scale[0] + u[:, 0] * (self.scale[1] - self.scale[0]))
        resized = np.maximum((known * factor[:, None]).astype(np.int64), 1)
        room = np.maximum(resized - np.array(self.size), 0)
        return np.concatenate((resized, np.floor(u[:, 1:] * (room + 1)).astype(np.int64)), axis=1)

    def move(self, sizes: I64, params: I64) -> Move:
        scale: F64 = (params[:, :2] / np.maximum(sizes, 1))[:, ::-1]
        return scaled(scale, -params[:, :1:-1].astype(float), sizes, same_sizes(self.size, len(sizes)))

    def apply_to(self, images: Images, params: NDArray[np.int64]) -> Images:
        require_uint8(images, self.name)
        resized = resize_all(images, params[:, :2], self.interpolation)
        corners = params[:, 2:].tolist()
        return stacked([cut(row, (y, x), self.size, self.fill) for row, (y, x) in zip(resized, corners, strict=True)])

    def extra_repr(self) -> str:
        return f"{self.size}, scale={self.scale}, interpolation={self.interpolation!r}, fill={self.fill}"
