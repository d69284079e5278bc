"""Random crops and flips of a batch. A RandomResizedCrop can be planned before decoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..errors import OptionError
from ..moving import Move, mirror_annotations, mirrored, moved, scaled, windowed
from .base import decoded_to_plan
from .batch import Batch, Images, images_of, require_uint8, stacked
from .boxes import F64, I64, TRIES, U64, random_resized_boxes, require_pixels
from .geometry_base import RandomGeometry, same_sizes
from .memory import stack
from .options import Size, as_hw, as_interpolation, as_probability, as_range
from .plan import DecodePlan, unflipped
from .resample import cut, resize_crops

SMALL = 64 * 64
"""Pixels of a crop up to which a CPU is faster with one gather than with a copy a row; four times slower at 224 x 224."""


class RandomResizedCrop(RandomGeometry):
    """A box of random area and aspect ratio, resized to ``size``: torchvision's, with one draw per sample.

    uint8 in and out, (B, C, h, w) or ragged in, (B, C, *size) out. Planned: the box is cut before it is resized.
    """

    def __init__(
        self,
        size: Size,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        interpolation: str = "bilinear",
    ) -> None:
        super().__init__()
        self.size = as_hw(size, self.name)
        self.scale = as_range(scale, "scale", self.name)
        self.ratio = as_range(ratio, "ratio", self.name)
        self.interpolation = as_interpolation(interpolation, self.name)

    def draw(self, sizes: I64, seeds: U64) -> F64:
        """Boxes (B, 4) x0 y0 x1 y1 in pixels: whole numbers, inside the image, at least 1 pixel."""
        u = self.uniforms(seeds, TRIES * 4).reshape(-1, TRIES, 4)
        return random_resized_boxes(np.maximum(sizes, 1), u, self.scale, self.ratio)  # filler rows may be empty

    def apply_to(self, images: Images, params: F64) -> Tensor:
        require_uint8(images, self.name)
        return resize_crops(images, params, self.size, self.interpolation)

    def move(self, sizes: I64, params: F64) -> Move:
        return windowed(params, sizes, same_sizes(self.size, len(sizes)))

    def forward(self, batch: Batch) -> Batch:
        return batch if decoded_to_plan(batch, self.size, self.name) else super().forward(batch)

    def decode_plan(self, keys: Sequence[str], sizes: I64, seeds: U64) -> DecodePlan:  # noqa: ARG002 - seeds hold keys
        """The boxes that ``forward`` would draw for images of these sizes."""
        require_pixels(sizes, self.name)
        return unflipped(self.draw(sizes, seeds), self.size, self.interpolation, isolated=True)

    def extra_repr(self) -> str:
        ratio = tuple(round(side, 4) for side in self.ratio)
        return f"{self.size}, scale={self.scale}, ratio={ratio}, interpolation={self.interpolation!r}"


class RandomCrop(RandomGeometry):
    """A window of ``size`` at a uniform place in the image padded by ``padding`` with ``fill``; any dtype.

    (B, C, H, W), or ragged, in; (B, C, *size) out. Raises OptionError where the padded image is smaller than ``size``.
    """

    def __init__(self, size: Size, padding: int = 4, fill: int = 0) -> None:
        super().__init__()
        if padding < 0 or not 0 <= fill <= 255:
            raise OptionError(f"{self.name}: padding is {padding}, fill {fill}; give padding >= 0 and fill in 0..255")
        self.size, self.padding, self.fill = as_hw(size, self.name), padding, fill

    def draw(self, sizes: I64, seeds: U64) -> I64:
        """Top and left (B, 2) in the padded image."""
        room = sizes + 2 * self.padding - np.array(self.size)
        if room.size and room.min() < 0:
            row = int(np.flatnonzero((room < 0).any(axis=1))[0])
            raise OptionError(
                f"{self.name}: row {row} is {tuple(sizes[row].tolist())} (h, w), with padding {self.padding} still "
                f"smaller than the crop {self.size}; resize first or pad more"
            )
        corners: I64 = np.floor(self.uniforms(seeds, 2) * (room + 1)).astype(np.int64)
        return corners

    def move(self, sizes: I64, params: I64) -> Move:
        return scaled(
            np.ones((len(sizes), 2)),
            (self.padding - params[:, ::-1]).astype(np.float64),
            sizes,
            same_sizes(self.size, len(sizes)),
        )

    def apply_to(self, images: Images, params: I64) -> Images:
        if isinstance(images, Tensor):
            return self._windows(images, params)
        return stacked([self._windows(row[None], params[[b]])[0] for b, row in enumerate(images)])

    def _windows(self, images: Tensor, corners: I64) -> Tensor:
        height, width = self.size
        if images.device.type == "cpu" and height * width > SMALL and len(images):
            places = (corners - self.padding).tolist()
            return stack([cut(row, (y, x), self.size, self.fill) for row, (y, x) in zip(images, places, strict=True)])
        padded = functional.pad(images, (self.padding,) * 4, value=self.fill)
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # (B, C, tops, lefts, h, w), a view
        top, left = torch.from_numpy(corners).to(images.device).T
        return windows[torch.arange(len(images), device=images.device), :, top, left]  # one gather

    def extra_repr(self) -> str:
        return f"{self.size}, padding={self.padding}, fill={self.fill}"


class RandomHorizontalFlip(RandomGeometry):
    """Each image mirrored left-right with probability ``p``; any dtype, batched or ragged.

    Annotations are mirrored along, keypoints with left and right exchanged, and a person's ``body`` crop.
    ``flipped`` (B,) says which rows are mirrored by now.
    """

    axis = 1

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = as_probability(p, self.name)

    def draw(self, sizes: I64, seeds: U64) -> NDArray[np.bool_]:  # noqa: ARG002 - every size flips alike
        """Which rows (B,) are mirrored."""
        return self.uniforms(seeds, 1)[:, 0] < self.p

    def move(self, sizes: I64, params: NDArray[np.bool_]) -> Move:
        return mirrored(params, sizes, self.axis)

    def follow(self, batch: Batch, sizes: I64, params: NDArray[np.bool_]) -> dict[str, Any]:
        return mirror_annotations(batch, self.move(sizes, params), params) | self.follow_body(batch, params)

    def follow_body(self, batch: Batch, params: NDArray[np.bool_]) -> dict[str, Any]:
        """A person view's ``body`` crops mirrored with their pictures."""
        return {} if "body" not in batch else {"body": self.apply_to(images_of(batch, self.name, "body"), params)}

    def apply_to(self, images: Images, params: NDArray[np.bool_]) -> Images:
        along = self.axis - 2
        if isinstance(images, Tensor) and images.device.type != "cpu":
            mask = torch.from_numpy(params).to(images.device)[:, None, None, None]
            return torch.where(mask, images.flip(along), images)
        # Row by row on a CPU: a stack of views costs a ninth of choosing between two whole batches.
        rows = [row.flip(along) if turned else row for row, turned in zip(images, params, strict=True)]
        if isinstance(images, Tensor):
            return stack(rows) if rows else images
        return rows

    def extra_repr(self) -> str:
        return f"p={self.p}"


class RandomVerticalFlip(RandomHorizontalFlip):
    """Each image mirrored upside down with probability ``p``; any dtype, batched or ragged.

    Annotations and a person's ``body`` crop are mirrored along. In any mirror a left hand is a right hand, so
    keypoints are exchanged here too (torchvision exchanges none).
    """

    axis = 0

    def follow(self, batch: Batch, sizes: I64, params: NDArray[np.bool_]) -> dict[str, Any]:
        return moved(batch, self.move(sizes, params)) | self.follow_body(batch, params)
