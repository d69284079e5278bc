"""Reading a batch: every field a transform needs, checked, with an error that says which one is wrong and why."""

from __future__ import annotations

import copy
from collections.abc import MutableMapping
from typing import Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import OptionError

Batch = MutableMapping[str, Any]
Images = Tensor | list[Tensor]
"""(B, C, H, W), or B tensors (C, h, w) where sizes differ."""


def images_of(batch: Batch, who: str, field: str = "image") -> Images:
    """The batch's pixels: a tensor (B, C, H, W), or a list of (C, h, w) read from any sequence-like container."""
    if field not in batch:
        raise OptionError(f"{who}: the batch has no {field!r} field; it has {sorted(batch)}")
    image = batch[field]
    if isinstance(image, Tensor):
        return _batched(image, who)
    if not (hasattr(image, "__len__") and hasattr(image, "__getitem__")):
        raise OptionError(
            f"{who}: {field!r} is a {type(image).__name__}; give a tensor (B, 3, H, W) or a list of tensors"
        )
    return _ragged([image[row] for row in range(len(image))], who)


def _batched(image: Tensor, who: str) -> Tensor:
    if image.ndim != 4:
        raise OptionError(f"{who}: 'image' has shape {tuple(image.shape)}; give (B, 3, H, W), one image as image[None]")
    return image


def _ragged(rows: list[Any], who: str) -> list[Tensor]:
    if not _tensors(rows):
        raise OptionError(
            f"{who}: ragged 'image' must hold tensors; it holds {sorted({type(r).__name__ for r in rows})}"
        )
    for number, row in enumerate(rows):
        if row.ndim != 3 or len(row) != len(rows[0]):
            shapes = f"row {number} has shape {tuple(row.shape)}, row 0 {tuple(rows[0].shape)}"
            raise OptionError(f"{who}: ragged 'image' must hold (C, h, w) with one C; {shapes}; decode all as RGB")
    return rows


def _tensors(rows: list[Any]) -> TypeGuard[list[Tensor]]:
    return all(isinstance(row, Tensor) for row in rows)


def require_rows(images: Images, rows: int, field: str, who: str) -> Images:
    """Refuse a second field of pixels that has not one for each image."""
    if len(images) != rows:
        raise OptionError(f"{who}: {field!r} has {len(images)} rows, 'image' {rows}; give one for each image")
    return images


def require_uint8(images: Images, who: str) -> None:
    """Refuse pixels that are not uint8: 0..1 floats would pass through the arithmetic and mean something else."""
    for dtype in {images.dtype} if isinstance(images, Tensor) else {row.dtype for row in images}:
        if dtype != torch.uint8:
            raise OptionError(f"{who}: 'image' is {dtype}, not torch.uint8; put {who} before Normalize and ToFloat")


def require_channels(images: Images, channels: int, who: str) -> None:
    """Refuse another number of channels than ``channels``."""
    found = images.shape[1] if isinstance(images, Tensor) else len(images[0]) if images else channels
    if found != channels:
        raise OptionError(f"{who}: 'image' has {found} channel(s), {channels} are needed; decode the images as RGB")


def sizes_of(images: Images) -> NDArray[np.int64]:
    """Sizes (B, 2) h, w of the pixels at hand."""
    if isinstance(images, Tensor):
        return np.tile(np.array(images.shape[-2:], dtype=np.int64), (len(images), 1))
    return np.array([row.shape[-2:] for row in images], dtype=np.int64).reshape(-1, 2)


def seeds_of(batch: Batch, rows: int, who: str) -> NDArray[np.uint64]:
    """The batch's per-sample seeds (B,) as uint64. Keep the field on the CPU: on a GPU reading it waits for the GPU."""
    if "seed" not in batch:
        raise OptionError(f"{who}: the batch has no 'seed' field, int64 (B,), one per sample; it has {sorted(batch)}")
    seed = torch.as_tensor(batch["seed"])
    if seed.dtype != torch.int64 or seed.shape != (rows,):
        raise OptionError(
            f"{who}: 'seed' is {seed.dtype} {tuple(seed.shape)} for {rows} images; give int64 ({rows},), one per sample"
        )
    return seed.cpu().numpy().view(np.uint64)


def with_images(batch: Batch, images: Images, field: str = "image") -> Batch:
    """A shallow copy of the batch with other pixels; the caller's batch keeps its own."""
    out = copied(batch)
    out[field] = images
    return out


def copied(batch: Batch) -> Batch:
    """A shallow copy of the same class, in a way that torch.compile can follow where the class is a plain dict."""
    if isinstance(batch, dict) and type(batch).__init__ is dict.__init__:
        return type(batch)(batch)
    return copy.copy(batch)


def stacked(rows: list[Tensor]) -> Images:
    """One tensor where all sizes are equal, the list where they are not."""
    return torch.stack(rows) if rows and len({row.shape for row in rows}) == 1 else rows
