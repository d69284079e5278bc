"""Affine warps of a batch, one matrix per row, exact: the same bits on every device and in every batch.

    output pixel centre ── inverse matrix ──> a place in the source ── nearest, or its four neighbours ──> a byte

torchvision's affine(): coordinates from the image's middle, zeros beyond the edge, and with bilinear the fill blended
in by how much of the neighbourhood lies inside. With bilinear, places are rounded to 1/256 pixel: within one grey
level, and weights of 16 bits times values of 8 are exact in float32, whatever order a device adds them in.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..errors import OptionError
from .boxes import F64
from .memory import blank_like
from .rows import chunks

ONE = 256  # places in a pixel's side


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


def warp(images: Tensor, to_source: F64, interpolation: str, fill: int | None = 0) -> Tensor:
    """(B, C, H, W) uint8 -> the same shape: each pixel from where ``to_source`` (B, 2, 3) leads, from middle to middle.

    ``interpolation``: "nearest" or "bilinear". ``fill`` where nothing comes from; None is 0 too, but with bilinear
    the rim fades once, by the zeros beyond it, and not once more by the fill (as torchvision's ``fill=None``).
    Rows are independent; raises OptionError for another interpolation.
    """
    if interpolation not in ("nearest", "bilinear"):
        raise OptionError(f"interpolation is {interpolation!r}; an affine warp has 'nearest' and 'bilinear'")
    matrices = torch.from_numpy(to_source).float().to(images.device)
    sample = _nearest if interpolation == "nearest" else _bilinear
    out = blank_like(images)
    for part in chunks(np.arange(len(images)), images):
        rows = slice(int(part[0]), int(part[-1]) + 1)
        out[rows] = sample(images[rows], matrices[rows], fill)
    return out


def _places(matrix: Tensor, hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """X and y (B, H, W) float32 in the source, 0 at the first pixel's centre."""
    height, width = hw
    x = torch.arange(width, device=matrix.device) - (width - 1) / 2
    y = torch.arange(height, device=matrix.device)[:, None] - (height - 1) / 2
    a, b, c = matrix[:, :, :, None, None].unbind(2)  # each (B, 2, 1, 1)
    place = a * x + (b * y + c)
    return place[:, 0] + (width - 1) / 2, place[:, 1] + (height - 1) / 2


def _nearest(images: Tensor, matrix: Tensor, fill: int | None) -> Tensor:
    height, width = images.shape[2:]
    framed = functional.pad(images, (1, 1, 1, 1), value=fill or 0).flatten(2)  # a place outside lies on the frame
    x, y = _places(matrix, (height, width))
    row = y.round_().clamp_(-1, height).add_(1).to(torch.int32).mul_(width + 2)
    index = row.add_(x.round_().clamp_(-1, width).add_(1).to(torch.int32)).long()
    return framed.gather(2, index.flatten(1)[:, None].expand(-1, images.shape[1], -1)).view_as(images)


def _bilinear(images: Tensor, matrix: Tensor, fill: int | None) -> Tensor:
    """Torch's grid_sample on a canvas whose sides are powers of two, where its coordinates are exact as well."""
    count, channels, height, width = images.shape
    sides = [1 << (side - 1).bit_length() for side in (width, height)]
    canvas = torch.zeros(count, channels + (fill is not None), sides[1], sides[0], device=images.device)
    canvas[:, :channels, :height, :width] = images
    canvas[:, channels:, :height, :width] = 1  # how much of a neighbourhood lies inside
    places = zip(_places(matrix, (height, width)), sides, strict=True)
    # In 1/256 pixel, at most one pixel outside; then -1..1 from edge to edge: (2 x + 1) / side - 1.
    grid = [p.mul_(ONE).round_().clamp_(-ONE, s * ONE).mul_(2 / (s * ONE)).add_(1 / s - 1) for p, s in places]
    pairs = torch.view_as_real(torch.complex(*grid))  # x and y side by side, nine times as fast as a stack
    made = functional.grid_sample(canvas, pairs, "bilinear", "zeros", align_corners=False)
    if fill is not None:  # zeros were sampled beyond the edge, so that the rim fades twice, as torchvision's does
        made = made[:, :channels].sub_(fill).mul_(made[:, channels:]).add_(fill)
    return made.round_()
