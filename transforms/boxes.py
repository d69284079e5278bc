"""Box arithmetic of crops and resizes: numpy, float64 or int64, one row per image. The rules are torchvision's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]

TRIES = 10


def require_pixels(sizes: I64, who: str) -> None:
    """Refuse sizes that hold no pixel: no box fits in them."""
    if sizes.size and sizes.min() < 1:
        row = int(np.flatnonzero((sizes < 1).any(axis=1))[0])
        raise OptionError(f"{who}: row {row} has size {tuple(sizes[row].tolist())} (h, w); every image needs a pixel")


def random_resized_boxes(sizes: I64, u: F64, scale: tuple[float, float], ratio: tuple[float, float]) -> F64:
    """RandomResizedCrop's boxes (B, 4) x0 y0 x1 y1, whole numbers, from uniforms ``u`` (B, TRIES, 4).

    torchvision's algorithm (v2.RandomResizedCrop.make_params), all tries at once: area uniform in ``scale``,
    log-ratio uniform, the first try that fits wins, else the largest central crop with a clamped ratio.
    """
    height, width = sizes[:, :1], sizes[:, 1:]
    area = height * width * (scale[0] + u[..., 0] * (scale[1] - scale[0]))
    low, high = np.log(ratio)
    aspect = np.exp(low + u[..., 1] * (high - low))
    w, h = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))  # (B, TRIES), rounded half to even
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    rows, first = np.arange(len(sizes)), fits.argmax(axis=1)
    w, h, room = w[rows, first], h[rows, first], sizes - np.stack((h[rows, first], w[rows, first]), axis=1)
    y, x = np.floor(u[rows, first, 2:] * (room + 1)).T  # a corner uniform over 0..room, both ends included
    drawn = np.stack((x, y, x + w, y + h), axis=1)
    return np.where(fits.any(axis=1)[:, None], drawn, _central_boxes(sizes, ratio))


def _central_boxes(sizes: I64, ratio: tuple[float, float]) -> F64:
    """The fallback: the whole image, or its largest central part whose ratio lies in ``ratio``; at least 1 pixel."""
    height, width = sizes.T
    too_tall, too_wide = width / height < ratio[0], width / height > ratio[1]
    h = np.clip(np.where(too_tall, np.rint(width / ratio[0]), height), 1, height)
    w = np.clip(np.where(too_wide, np.rint(height * ratio[1]), width), 1, width)
    y, x = (height - h) // 2, (width - w) // 2
    return np.stack((x, y, x + w, y + h), axis=1)


def resized_sizes(sizes: I64, shorter: int | None, longest: int | None = None) -> I64:
    """Sizes (B, 2) with the shorter side ``shorter`` and the longer cut to a whole pixel: 375x500 -> 256x341.

    Where that is longer than ``longest``, the longer side is ``longest`` and the shorter cut (torchvision's max_size).
    """
    small, big = sizes.min(axis=1, keepdims=True), sizes.max(axis=1, keepdims=True)
    bound = np.iinfo(np.int32).max if longest is None else longest
    short = bound * small // big if shorter is None else np.full_like(small, shorter)
    long = np.full_like(big, bound) if shorter is None else shorter * big // small
    too_long = long > bound
    short, long = np.where(too_long, bound * short // long, short), np.minimum(long, bound)
    made: I64 = np.maximum(np.where(sizes == small, short, long), 1)
    return made


def detr_sizes(sizes: I64, shorter: int, longest: int) -> I64:
    """As ``resized_sizes``, by DETR's rule: where the longer side is bounded, the shorter is rounded, not cut, and the
    longer made from its value before rounding (transformers' get_size_with_aspect_ratio).
    """
    small, big = sizes.min(axis=1, keepdims=True).astype(float), sizes.max(axis=1, keepdims=True).astype(float)
    bounded = big / small * shorter > longest
    raw = np.where(bounded, longest * small / big, shorter)
    short = np.rint(raw).astype(np.int64)
    long = np.trunc(np.where(bounded, raw, short) * big / small).astype(np.int64)
    made: I64 = np.where(small == short, sizes, np.where(sizes == small, short, long))
    return made


def fitted_sizes(sizes: I64, out_hw: tuple[int, int]) -> I64:
    """Sizes (B, 2) scaled to fit into ``out_hw``, aspect kept, rounded half to even, at least 1 pixel."""
    scale = (np.array(out_hw) / sizes).min(axis=1, keepdims=True)
    made: I64 = np.clip(np.rint(sizes * scale), 1, out_hw).astype(np.int64)
    return made


def center_corners(sizes: I64, crop_hw: tuple[int, int], rounding: str = "even") -> I64:
    """Top and left (B, 2) of a central crop, rounded half to even: a room of 33 starts at 16, of 35 at 18.

    ``rounding="floor"``: 35 starts at 17, as transformers cuts. Negative where the image is smaller than the crop:
    that many rows or columns are zero padding, the smaller half of an odd number before the image.
    """
    room = sizes - np.array(crop_hw, dtype=np.int64)
    half = np.rint(room / 2) if rounding == "even" else room // 2
    return np.where(room < 0, -(-room // 2), half).astype(np.int64)


def window_boxes(sizes: I64, resized: I64, corners: I64, crop_hw: tuple[int, int]) -> F64:
    """The source boxes (B, 4) x0 y0 x1 y1 of windows ``corners`` (B, 2) top, left in images scaled to ``resized``."""
    step = sizes / resized
    start = corners * step
    end = np.minimum((corners + np.array(crop_hw)) * step, sizes)
    return np.concatenate((start[:, ::-1], end[:, ::-1]), axis=1)
