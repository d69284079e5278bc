"""What every geometric transform shares: pixels first, then every annotation the batch has, by the same move."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..moving import Move, moved
from .base import RandomTransform
from .batch import Batch, Images, images_of, seeds_of, sizes_of, with_images
from .boxes import I64
from .eager import eager


def with_moved(batch: Batch, images: Images, move: Move) -> Batch:
    """A shallow copy of the batch with other pixels and the annotations where those went."""
    out = with_images(batch, images)
    out.update(moved(batch, move))
    return out


def same_sizes(hw: tuple[int, int], count: int) -> I64:
    """(B, 2) of one size."""
    return np.tile(np.array(hw, dtype=np.int64), (count, 1))


class RandomGeometry(RandomTransform):
    """Moves pixels by drawn parameters; boxes, keypoints, polygons, masks and ``box`` move along (see ``moving``)."""

    @abstractmethod
    def move(self, sizes: I64, params: NDArray[Any]) -> Move:
        """Where ``params`` take the pixels of images of ``sizes`` (B, 2) h, w."""

    def follow(self, batch: Batch, sizes: I64, params: NDArray[Any]) -> dict[str, Any]:
        """The batch's other fields that change when its pixels, of ``sizes``, do."""
        return moved(batch, self.move(sizes, params))

    @eager
    def forward(self, batch: Batch) -> Batch:
        images = images_of(batch, self.name)
        sizes = sizes_of(images)
        params = self.draw(sizes, seeds_of(batch, len(images), self.name))
        out = with_images(batch, self.apply_to(images, params))
        out.update(self.follow(batch, sizes, params))
        return out
