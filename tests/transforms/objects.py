"""Images with objects drawn on them, as torchvision writes them and as a batch, that the tests of moved targets share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors

from shardstream.transforms import from_targets

from .samples import noise, seeds

SIZES = [(60, 80), (97, 41), (50, 50), (33, 120)]


def target_of(size: tuple[int, int], count: int, seed: int) -> dict[str, Any]:
    """``count`` objects within an image of ``size``: whole boxes and their masks, visible keypoints, labels, ids."""
    rng = np.random.default_rng(seed)
    h, w = size
    x0, y0 = rng.integers(0, w - 8, count), rng.integers(0, h - 8, count)
    x1, y1 = rng.integers(x0 + 3, np.minimum(x0 + 30, w) + 1), rng.integers(y0 + 3, np.minimum(y0 + 30, h) + 1)
    boxes = torch.from_numpy(np.stack((x0, y0, x1, y1), 1)).float().reshape(-1, 4)
    masks = torch.zeros((count, h, w), dtype=torch.uint8)
    for mask, box in zip(masks, boxes.int().tolist(), strict=True):
        mask[box[1] : box[3], box[0] : box[2]] = 1
    places = np.stack((rng.integers(0, w, (count, 17)), rng.integers(0, h, (count, 17)), np.ones((count, 17))), -1)
    return {
        "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size),
        "masks": tv_tensors.Mask(masks),
        "keypoints": torch.from_numpy(places).float().reshape(-1, 17, 3),
        "labels": torch.arange(count) + 10 * seed,
        "iscrowd": torch.zeros(count, dtype=torch.int64),
    }


def images_and_targets(sizes: list[tuple[int, int]]) -> tuple[list[Tensor], list[dict[str, Any]]]:
    """One image of noise for each size; the second has no object."""
    images = [noise(3, *size, seed=row) for row, size in enumerate(sizes)]
    return images, [target_of(size, 0 if row == 1 else 2 + row % 3, row) for row, size in enumerate(sizes)]


def object_batch(sizes: list[tuple[int, int]] | None = None) -> tuple[Any, list[Tensor], list[dict[str, Any]]]:
    """The batch, its images and its targets."""
    images, targets = images_and_targets(SIZES if sizes is None else sizes)
    return from_targets(images, targets, seeds(len(images))), images, targets
