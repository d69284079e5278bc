"""The person view: a batch has each person's ``body`` crop beside the whole picture, and the ``box`` it was cut from."""

from __future__ import annotations

from .base import Transform
from .batch import Batch, images_of, require_uint8, with_images
from .eager import eager
from .geometry_base import same_sizes
from .options import Size, as_hw, as_interpolation
from .resample import resize_all


class ResizeBody(Transform):
    """Every ``body`` crop resized to ``size``, aspect not kept; ``image`` and ``box`` stay. uint8, batched or ragged.

    A batch without ``body`` passes.
    """

    def __init__(self, size: Size, interpolation: str = "bilinear") -> None:
        super().__init__()
        self.size = as_hw(size, self.name)
        self.interpolation = as_interpolation(interpolation, self.name)

    @eager
    def forward(self, batch: Batch) -> Batch:
        if "body" not in batch:
            return batch
        bodies = images_of(batch, self.name, "body")
        require_uint8(bodies, self.name)
        return with_images(batch, resize_all(bodies, same_sizes(self.size, len(bodies)), self.interpolation), "body")

    def extra_repr(self) -> str:
        return f"{self.size}, interpolation={self.interpolation!r}"
