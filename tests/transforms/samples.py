"""Images and batches that the transform tests share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from skimage.data import astronaut
from torch import Tensor

from shardstream.counted import mix


def photo(height: int, width: int) -> Image.Image:
    """A public-domain photograph at any size."""
    return Image.fromarray(astronaut()).resize((width, height), Image.Resampling.LANCZOS)


def noise(*shape: int, seed: int = 0) -> Tensor:
    """uint8 noise, the hardest case for a resampler."""
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def tensor(image: Image.Image) -> Tensor:
    """(3, H, W) uint8 of a PIL image."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def seeds(count: int, base: int = 7) -> Tensor:
    """int64 (count,) as a loader makes them: hashes, half of them negative."""
    return torch.from_numpy(mix(base, np.arange(count, dtype=np.uint64)).view(np.int64))


def u64(seed: Tensor) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """The same seeds as a planner takes them."""
    return seed.numpy().view(np.uint64)


def batch_of(images: Tensor | Sequence[Tensor], base: int = 7, **fields: Any) -> dict[str, Any]:
    """A loader's batch around ``images``."""
    count = len(images)
    sizes = torch.tensor([list(images[row].shape[-2:]) for row in range(count)])
    keys = [f"k{row}" for row in range(count)]
    valid = torch.ones(count, dtype=torch.bool)
    return {"image": images, "seed": seeds(count, base), "orig_size": sizes, "valid": valid, "key": keys, **fields}


class Ragged:
    """A container that is no list: only a length and rows."""

    def __init__(self, rows: Sequence[Tensor]) -> None:
        self._rows = list(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> Tensor:
        return self._rows[row]


def worst(a: Tensor, b: Tensor) -> int:
    """The largest difference in grey levels."""
    assert a.shape == b.shape
    return int((a.int() - b.int()).abs().max())


def ks_distance(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    """Kolmogorov-Smirnov distance of two samples."""
    values = np.concatenate((a, b))
    below = [np.searchsorted(np.sort(sample), values, side="right") / len(sample) for sample in (a, b)]
    return float(np.abs(below[0] - below[1]).max())
