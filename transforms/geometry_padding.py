"""PadBatch: images of different sizes as one tensor, zeros at the right and below, and a mask of what is image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .base import Transform
from .batch import Batch, images_of, sizes_of, with_images
from .eager import eager
from .options import Size, as_hw


class PadBatch(Transform):
    """Pads every image to the largest height and width of its batch, or to ``size``; any dtype.

    Adds ``pixel_mask`` (B, H, W) int64, 1 where there is image, as DETR's and ViLT's models take it. Nothing moves, so
    boxes stay. A row's pixels do not depend on its company, the zeros around them do.
    """

    def __init__(self, size: Size | None = None) -> None:
        super().__init__()
        self.size = None if size is None else as_hw(size, self.name)

    @eager
    def forward(self, batch: Batch) -> Batch:
        images = images_of(batch, self.name)
        sizes = sizes_of(images)
        height, width = self.size or (int(sizes[:, 0].max(initial=0)), int(sizes[:, 1].max(initial=0)))
        rows = [functional.pad(row, (0, width - row.shape[-1], 0, height - row.shape[-2])) for row in images]
        out = with_images(batch, torch.stack(rows) if rows else images)
        device = rows[0].device if rows else None
        y, x = torch.arange(height, device=device)[:, None], torch.arange(width, device=device)
        ends: Tensor = torch.from_numpy(sizes).to(device)[:, :, None, None] if rows else torch.zeros((0, 2, 1, 1))
        out["pixel_mask"] = ((y < ends[:, 0]) & (x < ends[:, 1])).long()
        return out

    def extra_repr(self) -> str:
        return "" if self.size is None else f"{self.size}"
