"""Antialiased resizing and cropping of uint8 images, on whatever device they are.

Numbers: float32 arithmetic, rounded back; within 1 grey level of Pillow with bilinear, exact with nearest, a few
levels on sharp edges with bicubic (Pillow rounds between its two passes).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .batch import Images, stacked
from .boxes import F64, I64

CHUNK = 32
"""Images resized at a time: bounds the float32 copy of a uint8 batch."""


def resize(image: Tensor, out_hw: tuple[int, int], interpolation: str) -> Tensor:
    """(N, C, h, w) uint8 resized to (N, C, *out_hw) uint8; an image without a pixel (a filler row) becomes zeros."""
    if tuple(image.shape[-2:]) == out_hw:
        return image
    if image.numel() == 0:
        return image.new_zeros((*image.shape[:2], *out_hw))
    if interpolation == "nearest":
        rows, columns = (_nearest(image.shape[axis], out_hw[axis], image.device) for axis in (-2, -1))
        return image[..., rows[:, None], columns]
    smooth = functional.interpolate(image.float(), size=out_hw, mode=interpolation, antialias=True)
    return smooth.round_().clamp_(0, 255).to(torch.uint8)


def _nearest(source: int, target: int, device: torch.device) -> Tensor:
    """The source index of each target pixel's centre, in Pillow's arithmetic (a float64 running sum).

    torch's "nearest" takes corners, and its "nearest-exact" computes centres in float32: other pixels at ties.
    """
    steps = np.full(target, source / target)
    steps[0] /= 2
    return torch.from_numpy(np.cumsum(steps).astype(np.int64).clip(max=source - 1)).to(device)


def resize_all(images: Images, sizes: I64, interpolation: str) -> Images:
    """Row b at ``sizes[b]``; one tensor where the results are equal in size."""
    targets: list[tuple[int, int]] = [(int(h), int(w)) for h, w in sizes]
    if isinstance(images, Tensor) and targets:
        return torch.cat([resize(part, targets[0], interpolation) for part in torch.split(images, CHUNK)])
    return stacked([resize(row[None], target, interpolation)[0] for row, target in zip(images, targets, strict=True)])


def resize_crops(images: Images, boxes: F64, out_hw: tuple[int, int], interpolation: str) -> Tensor:
    """Row b's box (whole coordinates) cut out, then resized: (B, C, *out_hw). Pixels outside the box play no part."""
    rows = [
        resize(image[None, :, y0:y1, x0:x1], out_hw, interpolation)
        for image, (x0, y0, x1, y1) in zip(images, boxes.astype(int).tolist(), strict=True)
    ]
    return torch.cat(rows) if rows else torch.zeros((0, 3, *out_hw), dtype=torch.uint8)


def cut(image: Tensor, corner: tuple[int, int], out_hw: tuple[int, int]) -> Tensor:
    """The window (..., *out_hw) at ``corner`` top, left; zeros where it leaves the image."""
    (top, left), (height, width) = corner, out_hw
    inside = image[..., max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    before = max(-left, 0), max(-top, 0)
    if inside.shape[-2:] == out_hw:
        return inside
    after = width - inside.shape[-1] - before[0], height - inside.shape[-2] - before[1]
    return functional.pad(inside, (before[0], after[0], before[1], after[1]))
