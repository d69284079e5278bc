"""The planned part of a picture that a device has decoded, resized there in float: a level from the CPU's, at most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from ..decode import Geometry


def cut(pixels: Tensor, geometry: Geometry | None) -> Tensor:
    """The planned part of a picture (3, h, w) on its device, resized in float and rounded, mirrored as planned."""
    if geometry is None:
        return pixels
    part = _isolated(pixels, geometry) if geometry.isolated else _window(pixels, geometry)
    return part.flip(-1) if geometry.flip else part


def _isolated(pixels: Tensor, geometry: Geometry) -> Tensor:
    left, top, right, bottom = (round(value) for value in geometry.crop)
    return _resized(pixels[:, top:bottom, left:right], geometry.out_hw, geometry.interpolation)


def _window(pixels: Tensor, geometry: Geometry) -> Tensor:
    height, width = geometry.out_hw
    left, top, right, bottom = geometry.crop
    zoom_x, zoom_y = width / (right - left), height / (bottom - top)
    whole = round(pixels.shape[1] * zoom_y), round(pixels.shape[2] * zoom_x)
    x, y = round(left * zoom_x), round(top * zoom_y)
    return _resized(pixels, whole, geometry.interpolation)[:, y : y + height, x : x + width]


def _resized(pixels: Tensor, out_hw: tuple[int, int], interpolation: str) -> Tensor:
    if tuple(pixels.shape[1:]) == out_hw:
        return pixels
    found = functional.interpolate(pixels[None].float(), size=out_hw, mode=interpolation, antialias=True)
    return found[0].round().clamp(0, 255).to(torch.uint8)
