"""Memory for the results of transforms: see ``memory`` on the ground floor, which gives out what was used before."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..memory import blank

__all__ = ["blank", "blank_like", "copy_of", "stack"]


def blank_like(images: Tensor) -> Tensor:
    """A contiguous tensor of the same shape, dtype and device, yet to be written."""
    return blank(tuple(images.shape), images.dtype, images.device)


def copy_of(images: Tensor) -> Tensor:
    """A contiguous copy."""
    return blank_like(images).copy_(images)


def stack(rows: Sequence[Tensor]) -> Tensor:
    """torch.stack of one row or more, all of one shape, dtype and device."""
    out = blank((len(rows), *rows[0].shape), rows[0].dtype, rows[0].device)
    return torch.stack(list(rows), out=out)
