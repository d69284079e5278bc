"""Back from a batch's image to the original picture: what ``moving`` did, undone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...moving import FLIPPED_KEYPOINTS, inverse, nearest_index, source_matrices
from ..targets import image_sizes


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Which part of the original an image shows: ``to_source`` (2, 3) leads from the image's coordinates there."""

    to_source: NDArray[np.float64]
    original: tuple[int, int]

    def boxes(self, xyxy: np.ndarray) -> list[list[float]]:
        """(n, 4) XYXY in the image -> XYWH in the original; of a rotated image the upright boxes around them."""
        given = xyxy.astype(np.float64).reshape(-1, 4)
        x, y = given[:, None, 0::2] * self.to_source[:, :1], given[:, None, 1::2] * self.to_source[:, 1:2]
        low = x.min(-1) + y.min(-1) + self.to_source[:, 2]
        high = x.max(-1) + y.max(-1) + self.to_source[:, 2]
        return [[float(v) for v in row] for row in np.concatenate([low, high - low], 1)]

    def keypoints(self, points: np.ndarray) -> list[list[float]]:
        """(n, 17, 3) pixel indices in the image -> flat lists of 51 in the original."""
        made = points.astype(np.float64)
        if np.linalg.det(self.to_source[:, :2]) < 0:
            made = made[:, list(FLIPPED_KEYPOINTS)]
        made[..., :2] = (made[..., :2] + 0.5) @ self.to_source[:, :2].T + self.to_source[:, 2] - 0.5
        return [[float(v) for v in row.ravel()] for row in made]

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """(h, w) bool in the image -> (H, W) in the original: each pixel takes what lies at its centre."""
        to_image = inverse(self.to_source[None])[0]
        rows, columns, outside = nearest_index(to_image, self.original, (mask.shape[0], mask.shape[1]))
        whole: np.ndarray = mask[rows, columns] & ~outside
        return whole


def windows(batch: Mapping[str, Any]) -> Iterator[Window]:
    """One per row; raises OptionError where images were resized and nothing tells how."""
    matrices = source_matrices(batch, image_sizes(batch)).cpu().numpy()
    for matrix, (height, width) in zip(matrices, batch["orig_size"].tolist(), strict=False):
        yield Window(matrix, (height, width))
