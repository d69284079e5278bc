"""SanitizeBoxes: objects that a crop has cut away leave the batch with every field they have."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import OptionError
from ..moving import rows_of
from .base import Transform
from .batch import Batch, copied, images_of, sizes_of
from .eager import eager

OBJECT_FIELDS = ("boxes", "labels", "category_id", "ann_id", "iscrowd", "area", "keypoints", "num_keypoints")
"""The fields of a loader's batch that have one row per object."""


class SanitizeBoxes(Transform):
    """Leaves out objects whose box is narrower or lower than ``min_size``, smaller than ``min_area``, or partly outside.

    torchvision's SanitizeBoundingBoxes, except that every field of the objects goes along: labels, ids, areas, crowd
    flags, keypoints, segmentations, and those that the batch's ``object_fields`` names. ``box_offsets`` stays true.
    On a GPU the number of objects left has to be waited for. A batch without boxes passes.
    """

    def __init__(self, min_size: float = 1.0, min_area: float = 1.0) -> None:
        super().__init__()
        if min_size < 0 or min_area < 0:
            raise OptionError(f"{self.name}: min_size is {min_size}, min_area {min_area}; give numbers of 0 or more")
        self.min_size, self.min_area = min_size, min_area

    @eager
    def forward(self, batch: Batch) -> Batch:
        return batch if "boxes" not in batch else kept_objects(batch, self.usable(batch))

    def usable(self, batch: Batch) -> Tensor:
        """Which objects (M,) stay."""
        boxes: Tensor = batch["boxes"]
        sizes = torch.from_numpy(sizes_of(images_of(batch, self.name))).to(boxes.device)
        canvas = sizes[rows_of(batch["box_offsets"], len(boxes))].flip(1).repeat(1, 2)
        width, height = (boxes[:, 2:] - boxes[:, :2]).unbind(1)
        large = (width >= self.min_size) & (height >= self.min_size) & (width * height >= self.min_area)
        return large & (boxes >= 0).all(1) & (boxes <= canvas).all(1)

    def extra_repr(self) -> str:
        return f"min_size={self.min_size}, min_area={self.min_area}"


def object_fields(batch: Batch) -> tuple[str, ...]:
    """The batch's fields with one row per object: a loader's, and those of its ``object_fields``."""
    return tuple(name for name in dict.fromkeys((*OBJECT_FIELDS, *batch.get("object_fields", ()))) if name in batch)


def kept_objects(batch: Batch, keep: Tensor) -> Batch:
    """The batch with the objects ``keep`` (M,) bool alone, in their order; raises OptionError for a field of another length."""
    out = copied(batch)
    for name in object_fields(batch):
        if len(batch[name]) != len(keep):
            raise OptionError(f"{name!r} has {len(batch[name])} rows, the batch {len(keep)} objects; give one for each")
        out[name] = batch[name][keep]
    if "masks" in batch:
        counts = batch["box_offsets"].diff().tolist()
        out["masks"] = [masks[part] for masks, part in zip(batch["masks"], torch.split(keep, counts), strict=True)]
    out["box_offsets"] = _offsets(batch["box_offsets"], keep)
    out.update(_segmentations(batch, keep))
    return out


def _offsets(offsets: Tensor, keep: Tensor) -> Tensor:
    """(N + 1,) offsets of what is kept of M: [0, 2, 3] and [1, 0, 1] -> [0, 1, 2]."""
    return torch.cat([keep.new_zeros(1, dtype=torch.int64), keep.long().cumsum(0)])[offsets]


def _segmentations(batch: Batch, keep: Tensor) -> dict[str, Any]:
    """Objects (M,) -> polygons (Q,) -> points (P,), and run lengths: each kept where its object is."""
    fields: dict[str, Any] = {}
    if "polygon_xy" in batch:
        polygons = keep[rows_of(batch["object_polygons"])]
        points = polygons[rows_of(batch["polygon_offsets"])]
        fields["object_polygons"] = _offsets(batch["object_polygons"], polygons)[_ends(keep)]
        fields["polygon_offsets"] = _offsets(batch["polygon_offsets"], points)[_ends(polygons)]
        fields["polygon_xy"] = batch["polygon_xy"][points]
    if "rle_counts" in batch:
        runs = keep[rows_of(batch["rle_offsets"])]
        fields["rle_offsets"] = _offsets(batch["rle_offsets"], runs)[_ends(keep)]
        fields["rle_counts"] = batch["rle_counts"][runs]
    return fields


def _ends(keep: Tensor) -> Tensor:
    """(M + 1,) bool: 0 and the end of each kept one; what is left out ends where the one before it does."""
    return torch.cat([keep.new_ones(1), keep])
