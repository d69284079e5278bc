"""Crops, resizes and flips of a batch. The first three can be planned before decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..errors import OptionError
from ..moving import mirror_annotations, refuse_to_move
from .base import RandomTransform, Transform, decoded_to_plan
from .batch import Batch, Images, images_of, require_uint8, seeds_of, sizes_of, stacked, with_images
from .boxes import F64, I64, TRIES, center_corners, random_resized_boxes, require_pixels, resized_sizes, window_boxes
from .options import Size, as_hw, as_interpolation, as_probability, as_range
from .plan import DecodePlan, unflipped
from .resample import cut, resize_all, resize_crops

U64 = NDArray[np.uint64]


class RandomResizedCrop(RandomTransform):
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

    def forward(self, batch: Batch) -> Batch:
        if decoded_to_plan(batch, self.size, self.name):
            return batch
        refuse_to_move(batch, self.name)
        return super().forward(batch)

    def decode_plan(self, keys: Sequence[str], sizes: I64, seeds: U64) -> DecodePlan:  # noqa: ARG002 - seeds hold keys
        """The boxes that ``forward`` would draw for images of these sizes."""
        require_pixels(sizes, self.name)
        return unflipped(self.draw(sizes, seeds), self.size, self.interpolation, isolated=True)

    def extra_repr(self) -> str:
        ratio = tuple(round(side, 4) for side in self.ratio)
        return f"{self.size}, scale={self.scale}, ratio={ratio}, interpolation={self.interpolation!r}"


class Resize(Transform):
    """The whole image resized: to (h, w), or with one number so that the shorter side becomes ``size``.

    uint8 in and out; ragged where results differ in size. Planned alone only for (h, w), else with a CenterCrop.
    """

    def __init__(self, size: Size, interpolation: str = "bilinear") -> None:
        super().__init__()
        self.hw = as_hw(size, self.name)
        self.shorter = size if isinstance(size, int) else None
        self.interpolation = as_interpolation(interpolation, self.name)

    def output_sizes(self, sizes: I64) -> I64:
        """What ``sizes`` (B, 2) h, w become."""
        if self.shorter is not None:
            return resized_sizes(np.maximum(sizes, 1), self.shorter)
        return np.tile(np.array(self.hw, dtype=np.int64), (len(sizes), 1))

    def forward(self, batch: Batch) -> Batch:
        if decoded_to_plan(batch, None, self.name):
            return batch
        refuse_to_move(batch, self.name)
        images = images_of(batch, self.name)
        require_uint8(images, self.name)
        return with_images(batch, resize_all(images, self.output_sizes(sizes_of(images)), self.interpolation))

    def decode_plan(self, keys: Sequence[str], sizes: I64, seeds: U64) -> DecodePlan | None:
        """Whole images at ``(h, w)``; None for a shorter side, whose results differ in size."""
        if self.shorter is not None:
            return None
        return ResizedWindow(self, CenterCrop(self.hw)).decode_plan(keys, sizes, seeds)

    def extra_repr(self) -> str:
        return f"{self.hw if self.shorter is None else self.shorter}, interpolation={self.interpolation!r}"


class CenterCrop(Transform):
    """The central ``size`` of every image, padded with zeros where the image is smaller; any dtype."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = as_hw(size, self.name)

    def forward(self, batch: Batch) -> Batch:
        if decoded_to_plan(batch, self.size, self.name):
            return batch
        refuse_to_move(batch, self.name)
        images = images_of(batch, self.name)
        corners = center_corners(sizes_of(images), self.size).tolist()
        if isinstance(images, Tensor):
            crop = cut(images, tuple(corners[0]), self.size) if corners else images.new_zeros((0, 3, *self.size))
            return with_images(batch, crop)
        rows = [cut(image, tuple(corner), self.size) for image, corner in zip(images, corners, strict=True)]
        return with_images(batch, stacked(rows))

    def decode_plan(self, keys: Sequence[str], sizes: I64, seeds: U64) -> DecodePlan | None:  # noqa: ARG002
        """The central boxes; None where an image is smaller than the crop, since a plan cannot pad."""
        require_pixels(sizes, self.name)
        if (sizes < self.size).any():
            return None
        boxes = window_boxes(sizes, sizes, center_corners(sizes, self.size), self.size)
        return unflipped(boxes, self.size, "nearest", isolated=True)  # nothing is resized: no filter touches a pixel

    def extra_repr(self) -> str:
        return f"{self.size}"


@dataclass(frozen=True, slots=True)
class ResizedWindow:
    """Resize followed by CenterCrop, planned as one window of the resized whole image."""

    resize: Resize
    crop: CenterCrop

    def decode_plan(self, keys: Sequence[str], sizes: I64, seeds: U64) -> DecodePlan | None:  # noqa: ARG002
        """The windows; None where the crop can be larger than the resized image, since a plan cannot pad.

        The answer depends on the options alone, never on the sizes: else a row's pixels (Pillow's with a plan,
        torch's without) would depend on the company it is decoded in.
        """
        require_pixels(sizes, self.resize.name)
        (height, width), (least_h, least_w) = self.crop.size, self.resize.hw
        if height > least_h or width > least_w:
            return None
        resized = self.resize.output_sizes(sizes)
        boxes = window_boxes(sizes, resized, center_corners(resized, self.crop.size), self.crop.size)
        return unflipped(boxes, self.crop.size, self.resize.interpolation, isolated=False)


class RandomCrop(RandomTransform):
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

    def forward(self, batch: Batch) -> Batch:
        refuse_to_move(batch, self.name)
        return super().forward(batch)

    def apply_to(self, images: Images, params: I64) -> Images:
        if isinstance(images, Tensor):
            return self._windows(images, params)
        return stacked([self._windows(row[None], params[[b]])[0] for b, row in enumerate(images)])

    def _windows(self, images: Tensor, corners: I64) -> Tensor:
        height, width = self.size
        padded = functional.pad(images, (self.padding,) * 4, value=self.fill)
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # (B, C, tops, lefts, h, w), a view
        top, left = torch.from_numpy(corners).to(images.device).T
        return windows[torch.arange(len(images), device=images.device), :, top, left]  # one gather

    def extra_repr(self) -> str:
        return f"{self.size}, padding={self.padding}, fill={self.fill}"


class RandomHorizontalFlip(RandomTransform):
    """Each image mirrored left-right with probability ``p``; any dtype, batched or ragged."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = as_probability(p, self.name)

    def draw(self, sizes: I64, seeds: U64) -> NDArray[np.bool_]:  # noqa: ARG002 - every size flips alike
        """Which rows (B,) are mirrored."""
        return self.uniforms(seeds, 1)[:, 0] < self.p

    def forward(self, batch: Batch) -> Batch:
        """Boxes, keypoints and polygons are mirrored along; ``flipped`` says which rows were."""
        images = images_of(batch, self.name)
        sizes = sizes_of(images)
        mirrored = self.draw(sizes, seeds_of(batch, len(images), self.name))
        moved = mirror_annotations(batch, torch.from_numpy(mirrored), torch.from_numpy(sizes[:, 1]))
        out = with_images(batch, self.apply_to(images, mirrored))
        out.update(moved)
        return out

    def apply_to(self, images: Images, params: NDArray[np.bool_]) -> Images:
        if not isinstance(images, Tensor):
            return [row.flip(-1) if mirrored else row for row, mirrored in zip(images, params, strict=True)]
        mask = torch.from_numpy(params).to(images.device)[:, None, None, None]
        return torch.where(mask, images.flip(-1), images)

    def extra_repr(self) -> str:
        return f"p={self.p}"
