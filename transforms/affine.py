"""Affine warps of a batch, one matrix per row, in integers: the same bits on every device and in every batch.

    output pixel centre ── inverse matrix ──> a place in the source ── nearest, or its four neighbours ──> a byte

torchvision's affine(): coordinates from the image's middle, zeros beyond the edge, and with bilinear the fill blended
in by how much of the neighbourhood lies inside. Places are rounded to 1/1024 pixel, which is less than a quarter of a
grey level. The three channels travel as one 32-bit word, so each neighbour is fetched once.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..errors import OptionError
from .boxes import F64

STEP = 10
ONE = 1 << STEP  # of a pixel's side
INSIDE = 1 << 24  # the word's fourth byte: 1 inside the image, 0 in the frame around it
CHUNK = 4
"""Images at a time: their words and places stay in a CPU's cache."""


def affine_matrices(angle: F64, translate: F64, scale: F64, shear: F64) -> F64:
    """(B, 2, 3): where points go, from the image's middle, for degrees (B,), pixels (B, 2), factors, degrees (B, 2).

    torchvision's convention: translate after rotate, scale, y shear, x shear (its _get_inverse_affine_matrix, not
    inverted); angles turn clockwise as one looks at the image.
    """
    turn, (x, y) = np.radians(angle), np.radians(shear).T
    a, c = np.cos(turn - y) / np.cos(y), np.sin(turn - y) / np.cos(y)
    b, d = -(a * np.tan(x) + np.sin(turn)), np.cos(turn) - c * np.tan(x)
    zoomed = np.array([[a * scale, b * scale, translate[:, 0]], [c * scale, d * scale, translate[:, 1]]])
    return zoomed.transpose(2, 0, 1)


def warp(images: Tensor, to_source: F64, interpolation: str, fill: int = 0) -> Tensor:
    """(B, C, H, W) uint8 -> the same shape: each pixel from where ``to_source`` (B, 2, 3) leads, from middle to middle.

    ``interpolation``: "nearest" or "bilinear". Rows are independent; raises OptionError for anything else.
    """
    if interpolation not in ("nearest", "bilinear"):
        raise OptionError(f"interpolation is {interpolation!r}; an affine warp has 'nearest' and 'bilinear'")
    matrices = torch.from_numpy(to_source).float().to(images.device)
    sample = _nearest if interpolation == "nearest" else _bilinear
    rows = [
        torch.cat([sample(group, matrix, fill) for group in torch.split(part, 3, dim=1)], dim=1)
        for part, matrix in zip(torch.split(images, CHUNK), torch.split(matrices, CHUNK), strict=True)
    ]
    return torch.cat(rows) if len(images) else images


def _places(matrix: Tensor, hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """X and y (B, H, W) float32 in the source, 0 at the first pixel's centre."""
    height, width = hw
    x = torch.arange(width, device=matrix.device) - (width - 1) / 2
    y = torch.arange(height, device=matrix.device)[:, None] - (height - 1) / 2
    a, b, c = matrix[:, :, :, None, None].unbind(2)  # each (B, 2, 1, 1)
    place = a * x + (b * y + c)
    return place[:, 0] + (width - 1) / 2, place[:, 1] + (height - 1) / 2


def _words(images: Tensor) -> Tensor:
    """(B, C <= 3, H, W) bytes -> (B, H, W) int32, channel c in bits 8 c and up."""
    words = images[:, 0].to(torch.int32)
    for channel in range(1, images.shape[1]):
        words = words | (images[:, channel].to(torch.int32) << 8 * channel)
    return words


def _nearest(images: Tensor, matrix: Tensor, fill: int) -> Tensor:
    channels, height, width = images.shape[1:]
    x, y = (place.round() for place in _places(matrix, (height, width)))
    outside = (x < 0) | (x >= width) | (y < 0) | (y >= height)
    index = (y * width + x).masked_fill(outside, 0).long().flatten(1)
    words = _words(images).flatten(1).gather(1, index).view_as(x)
    taken = torch.stack([words >> 8 * channel & 255 for channel in range(channels)], 1)
    return taken.masked_fill(outside[:, None], fill).to(torch.uint8)


def _bilinear(images: Tensor, matrix: Tensor, fill: int) -> Tensor:
    channels, height, width = images.shape[1:]
    framed = functional.pad(_words(images) | INSIDE, (1, 1, 1, 1))  # one pixel of nothing around
    x, y = (  # in 1/1024 pixel of the framed image, beyond it on its rim
        ((place + 1) * ONE).round().clamp(0, (side + 1) * ONE - 1).to(torch.int32)
        for place, side in zip(_places(matrix, (height, width)), (width, height), strict=True)
    )
    index = ((y >> STEP) * (width + 2) + (x >> STEP)).long().flatten(1)
    flat, x, y = framed.flatten(1), x & (ONE - 1), y & (ONE - 1)
    corners = [flat.gather(1, index + step).view_as(x) for step in (0, 1, width + 2, width + 3)]
    share = _blend([corner >> 24 for corner in corners], x, y)  # 20 bits: how much lies inside
    rows = [_blend([corner >> 8 * channel & 255 for corner in corners], x, y) for channel in range(channels)]
    # torchvision samples zeros beyond the edge, then fades by the share: at the rim the image fades twice.
    faded = [((value >> 12) - (fill << 8)) * (share >> 8) for value in rows]
    return torch.stack([((value + (1 << 19)) >> 20) + fill for value in faded], 1).to(torch.uint8)


def _blend(corners: list[Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Four neighbours of 8 bits -> their weighted sum of 28 bits."""
    upper = corners[0] * ONE + (corners[1] - corners[0]) * x
    lower = corners[2] * ONE + (corners[3] - corners[2]) * x
    return upper * ONE + (lower - upper) * y
