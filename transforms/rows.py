"""Some rows of a batch changed, a few at a time: what a kernel computes stays in a CPU's cache, or fills a GPU.

    images (B, C, H, W)  ── rows with this operation, a chunk of them ──> kernel ──> the same rows of the result

A kernel sees one row or many and must give every row the same bits in any company: arithmetic element by element, each
step rounded as IEEE 754 says (a product and a sum apart, where a fused one would round once), sums of whole numbers
only. That also makes CPU and GPU agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .batch import Images, stacked
from .boxes import F64, I64
from .memory import blank_like, copy_of

Kernel = Callable[[Tensor, F64], Tensor]
"""(n, C, H, W) uint8 and each row's parameters (n, ...) -> (n, C, H, W) in 0..255; a fraction is cut off."""

CPU_CHUNK, DEVICE_CHUNK = 2**19, 2**25
"""Values at a time: 2 MB of float32 on a CPU; a whole group of rows elsewhere, its temporaries bounded."""


def column(values: NDArray[np.generic], like: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """One number for each row, (n,) -> (n, 1, 1, 1) on the device of ``like``."""
    return torch.from_numpy(np.ascontiguousarray(values)).to(like.device, dtype)[:, None, None, None]


def chunks(rows: I64, images: Tensor) -> Iterator[I64]:
    """``rows`` a few at a time, by how many values an image has and where it is."""
    limit = CPU_CHUNK if images.device.type == "cpu" else DEVICE_CHUNK
    step = max(1, limit // max(1, images[0].numel())) if len(images) else 1
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def change(out: Tensor, source: Tensor, rows: I64, params: F64, kernel: Kernel) -> None:
    """``out[rows] = kernel(source[rows], params)`` where ``params`` has one row for each of ``rows``; in place."""
    place = 0
    for part in chunks(rows, source):
        mine, place = params[place : place + len(part)], place + len(part)
        if part[-1] - part[0] == len(part) - 1:  # neighbours: views, no gather
            out[part[0] : part[-1] + 1] = kernel(source[part[0] : part[-1] + 1], mine)
        else:
            index = torch.from_numpy(part).to(source.device)
            made = kernel(source.index_select(0, index), mine).to(out.dtype)
            _words(out).index_copy_(0, index, _words(made.contiguous()))


def _words(rows: Tensor) -> Tensor:
    """(n, C, H, W) as (n, k) words of 8 bytes where they fit: a copy by index moves one element at a time."""
    flat = rows.view(len(rows), -1)
    return flat.view(torch.int64) if flat.numel() and flat.shape[1] * flat.element_size() % 8 == 0 else flat


def changed(images: Tensor, rows: I64, params: F64, kernel: Kernel) -> Tensor:
    """A copy of ``images`` in which ``rows`` (sorted) went through ``kernel`` with their row of ``params`` (B, ...)."""
    out = blank_like(images) if len(rows) == len(images) else copy_of(images)
    change(out, images, rows, params[rows], kernel)
    return out


def each(images: Images, params: F64, apply: Callable[[Tensor, F64], Tensor]) -> Images:
    """``apply`` to the batch at once, or to a ragged one row by row; filler rows without a pixel stay."""
    if isinstance(images, Tensor):
        return apply(images.contiguous(), params) if images.numel() else images
    return stacked(
        [apply(row[None], params[[b]])[0] if row.numel() else row for b, row in enumerate(images)],
    )
