"""The fast path of decoding: a window of a JPEG by libturbojpeg, resized by torch's antialiasing byte kernel.

Decoded pixels are Pillow's, bit for bit. Resized ones are torchvision's for uint8 tensors, bit for bit, and so within
a grey level of Pillow's (of 62 million values of 230 ImageNet photos at 256 pixels nine differ by two).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from .turbo import decode_whole, decode_window

if TYPE_CHECKING:
    from ..decode import Geometry

U8 = NDArray[np.uint8]
_KERNELS = {
    "bilinear": torch.ops.aten._upsample_bilinear2d_aa.default,
    "bicubic": torch.ops.aten._upsample_bicubic2d_aa.default,
}


def fast_pixels(data: memoryview | bytes, geometry: Geometry | None) -> U8 | None:
    """(H, W, 3) pixels, cropped and resized as planned, not flipped; None where the careful decoder must do it."""
    if data[:3] != b"\xff\xd8\xff":
        return None
    if geometry is None:
        return decode_whole(data)
    if geometry.interpolation not in _KERNELS:
        return None
    if not geometry.isolated:
        whole = decode_whole(data)
        return None if whole is None else part_of(whole, geometry)
    pixels = decode_window(data, *_corners(geometry))
    return None if pixels is None else resized(pixels, geometry.out_hw, geometry.interpolation)


def part_of(pixels: U8, geometry: Geometry) -> U8 | None:
    """The same part of a picture (H, W, 3) that is decoded already, not flipped; None as ``fast_pixels``."""
    if geometry.interpolation not in _KERNELS:
        return None
    if not geometry.isolated:
        return _window_of_resized(pixels, geometry)
    left, top, right, bottom = _corners(geometry)
    if not (0 <= left < right <= pixels.shape[1] and 0 <= top < bottom <= pixels.shape[0]):
        return None
    return resized(pixels[top:bottom, left:right], geometry.out_hw, geometry.interpolation)


def _corners(geometry: Geometry) -> tuple[int, int, int, int]:
    left, top, right, bottom = (round(value) for value in geometry.crop)
    return left, top, right, bottom


def _window_of_resized(pixels: U8, geometry: Geometry) -> U8 | None:
    """A window of the resized whole picture, as Resize and CenterCrop give it; None where Pillow would pad it."""
    height, width = geometry.out_hw
    left, top, right, bottom = geometry.crop
    zoom_x, zoom_y = width / (right - left), height / (bottom - top)
    whole = round(pixels.shape[0] * zoom_y), round(pixels.shape[1] * zoom_x)
    x, y = round(left * zoom_x), round(top * zoom_y)
    if x < 0 or y < 0 or x + width > whole[1] or y + height > whole[0]:
        return None
    return resized(pixels, whole, geometry.interpolation)[y : y + height, x : x + width]


def resized(pixels: U8, out_hw: tuple[int, int], interpolation: str) -> U8:
    """(h, w, 3) to (*out_hw, 3), antialiased, in integers."""
    if pixels.shape[:2] == out_hw:
        return pixels
    if not pixels.flags.writeable:  # torch would warn, once per process
        pixels = pixels.copy()
    # what functional.interpolate(antialias=True) calls; its own checks take as long as a tenth of the kernel
    found = _KERNELS[interpolation](torch.from_numpy(pixels).permute(2, 0, 1)[None], out_hw, False)
    return np.asarray(found[0].permute(1, 2, 0))
