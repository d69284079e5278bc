"""Colour arithmetic, one parameter per row, every result in 0..255 with a fraction that the caller cuts off.

The first four work in place on whole numbers in float32 (n, C, H, W), so that several may follow each other, each
after a ``floor_``; the others are ``rows.Kernel``s, from bytes.

The definitions are torchvision's (v2.functional on uint8 tensors), and so are the numbers: equal bit for bit, but for
single pixels one level apart in grey, contrast and saturation (torchvision rounds a product and a sum at once, which
not every device does) and in hue.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .boxes import F64
from .rows import column

GREY = (2989, 5870, 1140)
"""Parts of red, green and blue in 10,000: ITU-R BT.601 luma. Whole numbers, since their sums are exact in float32."""
LEVEL = 255.999 / 255
"""torchvision turns a float of 0..1 back into a byte by ``floor(x * 255.999)``."""


def brightness(pixels: Tensor, factor: F64) -> Tensor:
    """Every value times ``factor`` (n,)."""
    return pixels.mul_(column(factor, pixels)).clamp_(0, 255)


def contrast(pixels: Tensor, factor: F64) -> Tensor:
    """``factor`` (n,) times the distance from the image's mean grey level."""
    level = luma(pixels) if pixels.shape[1] == 3 else pixels[:, 0]
    sums = level.sum(-1).double().sum(-1)  # of whole numbers below 2**24: exact in any order
    mean = (sums / level[0].numel()).float()[:, None, None, None]
    return pixels.mul_(column(factor, pixels)).add_(mean * column(1 - factor, pixels)).clamp_(0, 255)


def saturation(pixels: Tensor, factor: F64) -> Tensor:
    """``factor`` (n,) times the distance from each pixel's grey level; images of one channel stay as they are."""
    if pixels.shape[1] == 1:
        return pixels
    level = luma(pixels)[:, None].mul_(column(1 - factor, pixels))
    return pixels.mul_(column(factor, pixels)).add_(level).clamp_(0, 255)


def hue(pixels: Tensor, turn: F64) -> Tensor:
    """Every colour moved round the hue circle by ``turn`` (n,) in -0.5..0.5; images of one channel stay as they are.

    HSV, Smith 1978, written without saturation: a channel is the pixel's lowest value plus its range times a
    trapezoid of the hue (0..6; red is 0, green 2, blue 4).
    """
    if pixels.shape[1] == 1:
        return pixels
    red, green, blue = pixels.unbind(1)
    high, low = torch.maximum(torch.maximum(red, green), blue), torch.minimum(torch.minimum(red, green), blue)
    from_red, from_green = high == red, high == green
    angle = torch.where(from_red, green - blue, torch.where(from_green, blue - red, red - green))
    span = high.sub_(low)
    start = column(turn * 6, pixels)[:, 0]
    angle.div_(span.clamp(min=1)).add_(torch.where(from_red, start, torch.where(from_green, start + 2, start + 4)))
    angle.sub_((angle * (1 / 6)).floor_().mul_(6))
    low.mul_(LEVEL)
    span.mul_(LEVEL)
    torch.sub(angle, 3, out=red).abs_().sub_(1).clamp_(0, 1).mul_(span).add_(low)
    torch.sub(angle, 2, out=green).abs_().neg_().add_(2).clamp_(0, 1).mul_(span).add_(low)
    torch.sub(angle, 4, out=blue).abs_().neg_().add_(2).clamp_(0, 1).mul_(span).add_(low)
    return pixels


def luma(pixels: Tensor) -> Tensor:
    """Grey levels (n, H, W), whole numbers, of float pixels (n, 3, H, W): the exact weighted sum, rounded down."""
    red, green, blue = pixels.unbind(1)
    parts = red.mul(GREY[0]).add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2])  # below 2**24: no rounding
    return parts.mul_(1e-4).floor_()


def grey(images: Tensor, params: F64) -> Tensor:  # noqa: ARG001 - a kernel without parameters
    """The grey level in all three channels."""
    return luma(images.float()).to(torch.uint8)[:, None].expand_as(images)


def solarize(images: Tensor, threshold: F64) -> Tensor:
    """Values of ``threshold`` (n,) and above inverted."""
    bright = torch.ge(images, column(threshold, images))
    return bright.view(torch.uint8).neg_().bitwise_xor_(images)  # 0 or 255: which bits to turn over


def posterize(images: Tensor, bits: F64) -> Tensor:
    """The highest ``bits`` (n,), whole numbers in 0..8, of every value."""
    return images & column(256 - 2 ** (8 - bits), images, torch.uint8)


def invert(images: Tensor, params: F64) -> Tensor:  # noqa: ARG001
    """255 - x."""
    return images.bitwise_not()


def autocontrast(images: Tensor, params: F64) -> Tensor:  # noqa: ARG001
    """Each channel stretched to 0..255; one of a single level stays as it is."""
    low, high = images.amin((2, 3), keepdim=True).float(), images.amax((2, 3), keepdim=True).float()
    flat = high == low
    step = torch.where(flat, 1, (high - low).mul_(1 / 255))
    return images.float().sub_(torch.where(flat, 0, low)).div_(step).clamp_(0, 255)


def equalize(images: Tensor, params: F64) -> Tensor:  # noqa: ARG001
    """Each channel mapped so that its histogram is as flat as it can be: Pillow's ImageOps.equalize."""
    flat = images.reshape(-1, images.shape[2] * images.shape[3]).long()  # (n * C, H * W)
    counts = torch.zeros(len(flat), 256, dtype=torch.int32, device=flat.device)
    counts.scatter_add_(1, flat, counts.new_ones(1).expand_as(flat))
    below = counts.cumsum(1)
    highest = counts.gather(1, below.argmax(1, keepdim=True))  # how many have the highest level that occurs
    step = (flat.shape[1] - highest) // 255
    table = (below[:, :-1] + step // 2).div_(step.clamp(min=1), rounding_mode="floor").clamp_(0, 255)
    table = torch.cat([table.new_zeros(len(table), 1), table], 1)
    levels = torch.arange(256, device=flat.device)
    table = torch.where(step > 0, table, levels).to(torch.uint8)
    return table.gather(1, flat).view_as(images)


def sharpness(images: Tensor, factor: F64) -> Tensor:
    """``factor`` (n,) times the distance from a blurred copy (3 x 3, 5/13 in the middle); the rim stays."""
    if min(images.shape[2:]) <= 2:
        return images
    pixels = images.float()
    rows = pixels[:, :, :-2] + pixels[:, :, 1:-1]
    rows.add_(pixels[:, :, 2:])
    blurred = rows[..., :-2] + rows[..., 1:-1]
    blurred.add_(rows[..., 2:])
    inner = pixels[:, :, 1:-1, 1:-1]
    blurred.add_(inner, alpha=4).mul_(1 / 13).round_()  # of whole numbers below 2**24; k/13 is never halfway
    away = blurred.sub_(inner)
    # inner + away * (1 - factor), as if rounded once: first the weight's high bits, where nothing is rounded.
    weight = (1 - factor).astype("float32")
    high = ((weight * 4096).round() / 4096).astype("float32")
    inner.add_(away * column(high, images))
    inner.add_(away.mul_(column(weight - high, images)))
    return pixels.clamp_(0, 255)
