"""The fast path of decoding: a window of a JPEG by libturbojpeg, resized by torch's antialiasing byte kernel.

Decoded pixels are Pillow's, bit for bit. Resized ones are torchvision's for uint8 tensors, bit for bit, and so within
a grey level of Pillow's (of 62 million values of 230 ImageNet photos at 256 pixels nine differ by two).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from .resized_window import WindowAxis
from .turbo import decode_placed, decode_whole, decode_window, picture_size

if TYPE_CHECKING:
    from ..decode import Geometry

U8 = NDArray[np.uint8]
Placed = Callable[[int, int, int, int], U8 | None]
"""Left, top, right, bottom of a window -> the picture (bottom, right, 3) from its corner on, right inside the window."""
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
        size = picture_size(data)
        return None if size is None else _window_of_resized(size, partial(decode_placed, data), geometry)
    pixels = decode_window(data, *_corners(geometry))
    return None if pixels is None else resized(pixels, geometry.out_hw, geometry.interpolation)


def part_of(pixels: U8, geometry: Geometry) -> U8 | None:
    """The same part of a picture (H, W, 3) that is decoded already, not flipped; None as ``fast_pixels``."""
    if geometry.interpolation not in _KERNELS:
        return None
    height, width, _ = pixels.shape
    if not geometry.isolated:
        return _window_of_resized((height, width), lambda _, __, right, bottom: pixels[:bottom, :right], geometry)
    left, top, right, bottom = _corners(geometry)
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        return None
    return resized(pixels[top:bottom, left:right], geometry.out_hw, geometry.interpolation)


def _corners(geometry: Geometry) -> tuple[int, int, int, int]:
    left, top, right, bottom = (round(value) for value in geometry.crop)
    return left, top, right, bottom


def _window_of_resized(size: tuple[int, int], placed: Placed, geometry: Geometry) -> U8 | None:
    """A window of the resized whole picture, bit for bit as Resize and CenterCrop give it; None where Pillow would pad it.

    ``placed`` gives the picture's pixels from its corner on, of which only a window need be decoded.
    """
    y = _axis(size[0], geometry, 0)
    x = _axis(size[1], geometry, 1)
    if y is None or x is None:
        return None
    pixels = placed(x.first, y.first, x.last, y.last)
    if pixels is None:
        return None
    return resized(pixels, (y.made, x.made), geometry.interpolation, y.zoom, x.zoom)[y.start : y.stop, x.start : x.stop]


def _axis(have: int, geometry: Geometry, axis: int) -> WindowAxis | None:
    """Where the window lies on one axis (0 is y); ``crop`` and ``out_hw`` say how the whole is resized."""
    first, last = geometry.crop[1 - axis], geometry.crop[3 - axis]
    side = geometry.out_hw[axis]
    zoom = side / (last - first)
    start = round(first * zoom)
    return WindowAxis.of(have, round(have * zoom), start, start + side, geometry.interpolation)


def resized(
    pixels: U8, out_hw: tuple[int, int], interpolation: str, zoom_y: float | None = None, zoom_x: float | None = None
) -> U8:
    """(h, w, 3) to (*out_hw, 3), antialiased, in integers; zooms are those of the sizes where they are not given."""
    if pixels.shape[:2] == out_hw:
        return pixels
    if not pixels.flags.writeable:  # torch would warn, once per process
        pixels = pixels.copy()
    # What functional.interpolate(antialias=True) calls; its own checks take as long as a tenth of the kernel. Views are
    # numpy's, since each of torch's gives up the interpreter lock and waits for it.
    image = torch.from_numpy(pixels.transpose(2, 0, 1)[None])
    found: U8 = _KERNELS[interpolation](image, out_hw, False, zoom_y, zoom_x).numpy()[0]
    return found.transpose(1, 2, 0)
