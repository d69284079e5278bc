"""Back from a batch's image to the original picture: what ``moving`` did, undone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...moving import FLIPPED_KEYPOINTS
from ..targets import image_sizes


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of the original an image shows: ``crop`` x0 y0 x1 y1, resized to ``size`` h, w, then mirrored."""

    crop: tuple[float, float, float, float]
    size: tuple[int, int]
    flipped: bool
    original: tuple[int, int]

    def boxes(self, xyxy: np.ndarray) -> list[list[float]]:
        """(n, 4) XYXY in the image -> XYWH in the original."""
        made = xyxy.astype(np.float64).reshape(-1, 4)
        if self.flipped:
            made = np.stack([self.size[1] - made[:, 2], made[:, 1], self.size[1] - made[:, 0], made[:, 3]], 1)
        made = made * np.tile(self._step(), 2) + np.tile(self.crop[:2], 2)
        made[:, 2:] -= made[:, :2]
        return [[float(v) for v in row] for row in made]

    def keypoints(self, points: np.ndarray) -> list[list[float]]:
        """(n, 17, 3) pixel indices in the image -> flat lists of 51 in the original."""
        made = points.astype(np.float64)
        if self.flipped:
            made = made[:, list(FLIPPED_KEYPOINTS)]
            made[..., 0] = self.size[1] - 1 - made[..., 0]
        made[..., :2] = (made[..., :2] + 0.5) * self._step() + np.array(self.crop[:2]) - 0.5
        return [[float(v) for v in row.ravel()] for row in made]

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """(h, w) bool in the image -> (H, W) in the original: each pixel takes what lies at its centre."""
        height, width = self.original
        step_x, step_y = self._step()
        y = np.floor((np.arange(height) + 0.5 - self.crop[1]) / step_y).astype(np.int64)
        x = np.floor((np.arange(width) + 0.5 - self.crop[0]) / step_x).astype(np.int64)
        if self.flipped:
            x = self.size[1] - 1 - x
        rows, columns = (y >= 0) & (y < self.size[0]), (x >= 0) & (x < self.size[1])
        whole = np.zeros((height, width), dtype=np.bool_)
        whole[np.ix_(rows, columns)] = mask[np.ix_(y[rows], x[columns])]
        return whole

    def _step(self) -> np.ndarray:
        """Original pixels per image pixel: x, y."""
        return np.array([self.crop[2] - self.crop[0], self.crop[3] - self.crop[1]]) / (self.size[1], self.size[0])


def windows(batch: Mapping[str, Any]) -> Iterator[Window]:
    """One per row; raises OptionError where images were resized and nothing tells how."""
    sizes = image_sizes(batch)
    for row, (height, width) in enumerate(batch["orig_size"].tolist()):
        crop = batch["crop"][row].tolist() if "crop" in batch else (0.0, 0.0, float(width), float(height))
        flipped = bool(batch["flipped"][row]) if "flipped" in batch else False
        yield Window(tuple(crop), sizes[row], flipped, (height, width))
