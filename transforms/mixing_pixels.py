"""The pixels of a mixture: rows averaged with their partner, or a box of the partner pasted in."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from .boxes import F64
from .memory import copy_of
from .mixing_draw import Mixture
from .rows import changed, column


def mixed_pixels(images: Tensor, drawn: Mixture) -> Tensor:
    """(B, C, H, W) after the mixture; rows that stay as they are keep every bit. Floats, where one is averaged."""
    images = images.contiguous()
    touched = drawn.share < 1
    blended, cut = np.flatnonzero(touched & ~drawn.cut), np.flatnonzero(touched & drawn.cut)
    params = np.stack([drawn.partner, drawn.share], axis=1)
    out = changed(images, blended, params, partial(_blend, images)) if len(blended) else images
    if not len(cut):
        return out
    if len(cut) == len(images) and (drawn.boxes == drawn.boxes[0]).all():
        return _one_box(images, drawn)
    chosen = np.concatenate([drawn.partner[:, None], drawn.boxes], axis=1).astype(np.float64)
    return changed(out, cut, chosen, partial(_choose, images))


def _one_box(images: Tensor, drawn: Mixture) -> Tensor:
    x0, y0, x1, y1 = drawn.boxes[0].tolist()
    out = copy_of(images)
    out[:, :, y0:y1, x0:x1] = images[:, :, y0:y1, x0:x1].index_select(0, _index(drawn.partner, images))
    return out


def _blend(images: Tensor, mine: Tensor, params: F64) -> Tensor:
    other, share = images.index_select(0, _index(params[:, 0], images)), column(params[:, 1], images)
    return torch.mul(mine, share).add_(torch.mul(other, 1 - share))  # half types are rounded once, from float32


def _choose(images: Tensor, mine: Tensor, params: F64) -> Tensor:
    other = images.index_select(0, _index(params[:, 0], images))
    x0, y0, x1, y1 = (column(side, images) for side in params[:, 1:].T)
    x = torch.arange(images.shape[3], device=images.device)
    y = torch.arange(images.shape[2], device=images.device)[:, None]
    return torch.where((x >= x0) & (x < x1) & (y >= y0) & (y < y1), other, mine)


def _index(rows: np.ndarray[tuple[int, ...], np.dtype[np.int64 | np.float64]], like: Tensor) -> Tensor:
    return torch.from_numpy(rows.astype(np.int64)).to(like.device)
