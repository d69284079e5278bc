"""The evaluation transform of a timm checkpoint, from its ``pretrained_cfg`` (timm.data.transforms_imagenet_eval).

larger = floor(input_size / crop_pct)
center   scaled until both sides hold ``larger``   central crop of input_size
squash   each side to ``larger``                   central crop
border   scaled until it fits into ``larger``      central crop, the mean colour where nothing is
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import OptionError
from .batch import Images, require_channels
from .boxes import I64
from .compose import Compose
from .geometry import RandomHorizontalFlip, RandomResizedCrop
from .geometry_fixed import CenterCrop, Resize
from .normalize import IMAGENET_MEAN, IMAGENET_STD, Normalize

MODES = ("center", "squash", "border")


class RatioResize(Resize):
    """Aspect kept, rounded half to even: as small as covers ``target`` (h, w), or with ``fit`` as large as fits in."""

    def __init__(self, target: tuple[int, int], interpolation: str, *, fit: bool) -> None:
        super().__init__(None, interpolation, max(target))
        self.target, self.fit = target, fit
        self.hw = (1, 1) if fit else target  # what a crop may count on

    def output_sizes(self, sizes: I64) -> I64:
        known = np.maximum(sizes, 1)
        ratios = known / np.array(self.target)
        ratio = ratios.max(axis=1, keepdims=True) if self.fit else ratios.min(axis=1, keepdims=True)
        made: I64 = np.maximum(np.rint(known / ratio), 1).astype(np.int64)
        return made

    def extra_repr(self) -> str:
        return f"{self.target}, interpolation={self.interpolation!r}, fit={self.fit}"


class FilledCrop(CenterCrop):
    """CenterCrop of uint8 with a colour of three levels, not zeros, where the image is smaller."""

    def __init__(self, size: tuple[int, int], colour: Sequence[int]) -> None:
        super().__init__(size)
        self.colour = tuple(colour)

    def _cut(self, images: Images, corners: I64) -> Images:
        require_channels(images, len(self.colour), self.name)
        made = super()._cut(images, corners)
        if not isinstance(made, Tensor) or not len(made):
            return made
        inside = torch.stack(list(super()._cut([torch.ones_like(image[:1]) for image in images], corners)))
        return torch.where(inside > 0, made, made.new_tensor(self.colour)[:, None, None])

    def extra_repr(self) -> str:
        return f"{self.size}, colour={self.colour}"


def timm_transform(given: Mapping[str, Any], *, train: bool, dtype: torch.dtype) -> Compose:
    """What ``pretrained_cfg`` says, or with ``train`` RandomResizedCrop and a flip to the same size and numbers.

    Raises OptionError for another crop_mode.
    """
    _, height, width = given.get("input_size", (3, 224, 224))
    how, mean = given.get("interpolation", "bicubic"), given.get("mean", IMAGENET_MEAN)
    normalize = Normalize((mean, given.get("std", IMAGENET_STD)), dtype)
    if train:
        return Compose([RandomResizedCrop((height, width), interpolation=how), RandomHorizontalFlip(), normalize])
    pct, mode = given.get("crop_pct") or 0.875, given.get("crop_mode") or "center"
    if mode not in MODES:
        raise OptionError(f"from_processor: timm's crop_mode is {mode!r}; known are {', '.join(MODES)}")
    larger = math.floor(height / pct), math.floor(width / pct)
    crop = FilledCrop((height, width), [round(255 * level) for level in mean])
    return Compose([_resize(mode, larger, how), crop if mode == "border" else CenterCrop((height, width)), normalize])


def _resize(mode: str, larger: tuple[int, int], how: str) -> Resize:
    if mode == "squash":
        return Resize(larger, how)
    if mode == "center" and larger[0] == larger[1]:
        return Resize(larger[0], how)  # here timm cuts the longer side, as torchvision, instead of rounding it
    return RatioResize(larger, how, fit=mode == "border")
