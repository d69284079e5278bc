"""Geometry that draws nothing: Resize, CenterCrop and Letterbox. The first two can be planned before decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ..errors import OptionError
from ..moving import scaled, windowed
from .base import Transform, decoded_to_plan
from .batch import Batch, Images, images_of, require_uint8, sizes_of, stacked
from .boxes import F64, I64, U64, center_corners, fitted_sizes, require_pixels, resized_sizes, window_boxes
from .eager import eager
from .geometry_base import same_sizes, with_moved
from .options import Size, as_hw, as_interpolation
from .plan import DecodePlan, unflipped
from .resample import cut, resize_all


class Resize(Transform):
    """The whole image resized: to (h, w), or with one number so that the shorter side becomes ``size``.

    ``max_size`` bounds the longer side, as in torchvision; with ``size=None`` the longer side becomes ``max_size``.
    uint8 in and out; ragged where results differ in size. Planned alone only for (h, w), else with a CenterCrop.
    """

    def __init__(self, size: Size | None, interpolation: str = "bilinear", max_size: int | None = None) -> None:
        super().__init__()
        self.shorter = size if isinstance(size, int) else None
        self.max_size = max_size
        self.hw = _least(size, max_size, self.name)
        self.interpolation = as_interpolation(interpolation, self.name)

    def output_sizes(self, sizes: I64) -> I64:
        """What ``sizes`` (B, 2) h, w become."""
        if self.shorter is None and self.max_size is None:
            return same_sizes(self.hw, len(sizes))
        return resized_sizes(np.maximum(sizes, 1), self.shorter, self.max_size)

    @eager
    def forward(self, batch: Batch) -> Batch:
        if decoded_to_plan(batch, None, self.name):
            return batch
        images = images_of(batch, self.name)
        require_uint8(images, self.name)
        before = sizes_of(images)
        after = self.output_sizes(before)
        return with_moved(batch, resize_all(images, after, self.interpolation), windowed(_whole(before), before, after))

    def decode_plan(self, keys: Sequence[str], sizes: I64, seeds: U64) -> DecodePlan | None:
        """Whole images at ``(h, w)``; None for a shorter side, whose results differ in size."""
        if self.shorter is not None or self.max_size is not None:
            return None
        return ResizedWindow(self, CenterCrop(self.hw)).decode_plan(keys, sizes, seeds)

    def extra_repr(self) -> str:
        size = self.hw if self.shorter is None and self.max_size is None else self.shorter
        longest = "" if self.max_size is None else f", max_size={self.max_size}"
        return f"{size}, interpolation={self.interpolation!r}{longest}"


def _least(size: Size | None, max_size: int | None, who: str) -> tuple[int, int]:
    """The smallest (h, w) that any image can become; raises OptionError where the two sizes contradict each other."""
    if max_size is None and size is not None:
        return as_hw(size, who)
    shorter = 0 if size is None else size
    if not isinstance(shorter, int) or isinstance(max_size, bool) or not isinstance(max_size, int) or max_size < 1:
        raise OptionError(
            f"{who}: size is {size!r}, max_size {max_size!r}; max_size is a whole number and bounds the longer side"
            " of a size that is one number, or of None"
        )
    if shorter and as_hw(shorter, who)[0] >= max_size:
        raise OptionError(f"{who}: size is {size!r}, max_size {max_size!r}; max_size must be the larger one")
    return 1, 1


def _whole(sizes: I64) -> F64:
    """(B, 4) boxes of all of every image; a filler row without a pixel counts as one."""
    boxes = np.zeros((len(sizes), 4))
    boxes[:, 2:] = np.maximum(sizes, 1)[:, ::-1]
    return boxes


class CenterCrop(Transform):
    """The central ``size`` of every image, padded with zeros where the image is smaller; any dtype.

    An odd number of pixels to cut off is split as torchvision does, or with ``rounding="floor"`` as transformers.
    """

    def __init__(self, size: Size, rounding: str = "even") -> None:
        super().__init__()
        if rounding not in ("even", "floor"):
            raise OptionError(f"{self.name}: rounding is {rounding!r}; use 'even' (torchvision) or 'floor'")
        self.size, self.rounding = as_hw(size, self.name), rounding

    def corners(self, sizes: I64) -> I64:
        """Top and left (B, 2); negative where an image is padded."""
        return center_corners(sizes, self.size, self.rounding)

    @eager
    def forward(self, batch: Batch) -> Batch:
        if decoded_to_plan(batch, self.size, self.name):
            return batch
        images = images_of(batch, self.name)
        sizes = sizes_of(images)
        corners = self.corners(sizes)
        move = scaled(
            np.ones((len(sizes), 2)), -corners[:, ::-1].astype(float), sizes, same_sizes(self.size, len(sizes))
        )
        return with_moved(batch, self._cut(images, corners), move)

    def _cut(self, images: Images, corners: I64) -> Images:
        places: list[tuple[int, int]] = [(int(top), int(left)) for top, left in corners]
        if isinstance(images, Tensor):
            return cut(images, places[0], self.size) if places else images.new_zeros((0, 3, *self.size))
        return stacked([cut(image, corner, self.size) for image, corner in zip(images, places, strict=True)])

    def decode_plan(self, keys: Sequence[str], sizes: I64, seeds: U64) -> DecodePlan | None:  # noqa: ARG002
        """The central boxes; None where an image is smaller than the crop, since a plan cannot pad."""
        require_pixels(sizes, self.name)
        if (sizes < self.size).any():
            return None
        boxes = window_boxes(sizes, sizes, self.corners(sizes), self.size)
        return unflipped(boxes, self.size, "nearest", isolated=True)  # nothing is resized: no filter touches a pixel

    def extra_repr(self) -> str:
        return f"{self.size}" if self.rounding == "even" else f"{self.size}, rounding={self.rounding!r}"


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
        boxes = window_boxes(sizes, resized, self.crop.corners(resized), self.crop.size)
        return unflipped(boxes, self.crop.size, self.resize.interpolation, isolated=False)


class Letterbox(Transform):
    """The whole image, aspect kept, as large as fits into ``size``, in the middle of ``fill``.

    uint8, (B, C, h, w) or ragged in, (B, C, *size) out. The smaller half of odd padding comes first. With
    ``enlarge=False`` smaller images keep their size.

        100 x 200 into 64 x 64:   16 rows of fill, 32 rows of image, 16 rows of fill
    """

    def __init__(self, size: Size, interpolation: str = "bilinear", fill: int = 114, *, enlarge: bool = True) -> None:
        super().__init__()
        if not 0 <= fill <= 255:
            raise OptionError(f"{self.name}: fill is {fill}; give a grey level in 0..255")
        self.size, self.fill, self.enlarge = as_hw(size, self.name), fill, enlarge
        self.interpolation = as_interpolation(interpolation, self.name)

    @eager
    def forward(self, batch: Batch) -> Batch:
        images = images_of(batch, self.name)
        require_uint8(images, self.name)
        before = np.maximum(sizes_of(images), 1)
        inner = fitted_sizes(before, self.size)
        if not self.enlarge:
            inner = np.minimum(inner, before)
        corners = (np.array(self.size) - inner) // 2
        scale = (inner / before)[:, ::-1]
        move = scaled(scale, corners[:, ::-1].astype(float), before, same_sizes(self.size, len(before)))
        return with_moved(batch, self._framed(resize_all(images, inner, self.interpolation), corners), move)

    def _framed(self, images: Images, corners: I64) -> Images:
        places: list[tuple[int, int]] = [(-int(top), -int(left)) for top, left in corners]
        if isinstance(images, Tensor):  # all of one size, so at one place
            return cut(images, places[0], self.size, self.fill) if places else images
        return stacked([cut(row, place, self.size, self.fill) for row, place in zip(images, places, strict=True)])

    def extra_repr(self) -> str:
        return f"{self.size}, interpolation={self.interpolation!r}, fill={self.fill}"
