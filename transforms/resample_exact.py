"""Antialiased resampling of a batch in integers: every device, batch size and matmul precision gives the same bits.

    images (B, C, H, W) uint8,  row b's box x0 y0 x1 y1 of whole pixels  ->  (B, C, h, w) uint8
    along one axis:  sums (B, h, W) = weights (B, h, H) @ pixels (B, H, W),  rounded back to a byte, then the other axis

Pillow's algorithm (ImagingResample, 8 bits per channel) with torch's int16 weights (UpSampleKernel.cpp), so what this
gives is what torch gives on a CPU, bit for bit. A box per row means that no image is a call of its own.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .boxes import I64

SUPPORT = {"bilinear": 1.0, "bicubic": 2.0}
PRECISION = 22  # bits of a weight at most: 32 - 8 of a pixel - 2 spare
CHUNK = 16
"""Images at a time: bounds the float copies."""


def resize_boxes(images: Tensor, boxes: I64, out_hw: tuple[int, int], interpolation: str) -> Tensor:
    """(B, C, H, W) uint8 and boxes (B, 4) -> (B, C, *out_hw); pixels outside a row's box play no part."""
    parts = [
        _resized(images[start : start + CHUNK], boxes[start : start + CHUNK], out_hw, interpolation)
        for start in range(0, len(images), CHUNK)
    ]
    return torch.cat(parts) if parts else images.new_zeros((0, images.shape[1], *out_hw))


def _resized(images: Tensor, boxes: I64, out_hw: tuple[int, int], interpolation: str) -> Tensor:
    """Columns first, then rows, as Pillow does; between them a byte."""
    across = _weights(boxes[:, [0, 2]], images.shape[-1], out_hw[1], interpolation, images.device)
    down = _weights(boxes[:, [1, 3]], images.shape[-2], out_hw[0], interpolation, images.device)
    columns = _weighted(images.transpose(-1, -2), *across)  # (B, C, w, H)
    return _weighted(columns.transpose(-1, -2), *down)


def _weighted(pixels: Tensor, high: Tensor, low: Tensor, bits: Tensor) -> Tensor:
    """(B, C, n, k) bytes and weights (B, m, n) -> (B, C, m, k) bytes.

    A 16-bit weight is ``256 * high + low``. Each part times a byte has 16 bits, so a float32 sum of up to 256 of
    them is exact, in TF32 too, whatever the order; the integers are put together afterwards.
    """
    batch, channels, n, k = pixels.shape
    wide = pixels.float().permute(0, 2, 1, 3).reshape(batch, n, channels * k)
    upper, lower = (torch.bmm(part, wide).to(torch.int32) for part in (high, low))
    total = (upper * 256 + lower + (1 << (bits - 1))) >> bits
    return total.clamp_(0, 255).to(torch.uint8).view(batch, -1, channels, k).transpose(1, 2)


def _weights(edges: I64, source: int, target: int, interpolation: str, device: torch.device) -> tuple[Tensor, ...]:
    """High and low parts (B, target, source) float32 of the weights, and how many bits they have (B, 1, 1).

    float64 until they are rounded, as torch's compute_index_ranges_int16_weights.
    """
    start = torch.from_numpy(edges[:, :1, None]).to(device)  # (B, 1, 1)
    length = torch.from_numpy(edges[:, 1:, None] - edges[:, :1, None]).to(device)
    scale = length.double() / target
    reach = SUPPORT[interpolation] * scale.clamp(min=1)
    centre = scale * (torch.arange(target, device=device)[:, None] + 0.5)  # (B, target, 1)
    first = (centre - reach + 0.5).long().clamp(min=0)
    last = torch.minimum((centre + reach + 0.5).long(), length)
    pixel = torch.arange(source, device=device) - start  # (B, 1, source), counted from the box
    inside = (pixel >= first) & (pixel < last)
    weight = _filter((pixel - centre + 0.5) / scale.clamp(min=1), interpolation) * inside
    weight = weight / weight.sum(-1, keepdim=True)
    bits = _bits(weight.amax((1, 2), keepdim=True))
    whole = weight * 2.0**bits
    rounded = torch.where(whole < 0, whole - 0.5, whole + 0.5).to(torch.int32)  # towards zero: half away from it
    return (rounded >> 8).float(), (rounded & 255).float(), bits


def _bits(largest: Tensor) -> Tensor:
    """The most bits with which the largest weight still is an int16."""
    steps = torch.arange(1, PRECISION + 1, device=largest.device)
    return ((0.5 + largest * 2.0**steps).long() < 2**15).sum(-1, keepdim=True).to(torch.int32)


def _filter(x: Tensor, interpolation: str) -> Tensor:
    """The triangle, or Keys' cubic with a = -0.5, as Pillow."""
    x = x.abs()
    if interpolation == "bilinear":
        return (1 - x).clamp(min=0)
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def whole_boxes(images: Tensor) -> I64:
    """(B, 4) boxes of all of every image."""
    return np.tile(np.array([0, 0, images.shape[-1], images.shape[-2]], dtype=np.int64), (len(images), 1))
