"""A batch's objects as torchvision's detectors take them: one dict of tv_tensors per image."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors

from ..errors import OptionError
from ..moving import nearest_index, source_matrices
from .masks import runs_mask
from .polygon import polygon_mask

Labels = Literal["category_id", "contiguous", "contiguous+1"]
_PER_OBJECT = ("area", "iscrowd", "ann_id", "keypoints", "num_keypoints")


def targets(batch: Mapping[str, Any], *, labels: Labels, masks: bool, training: bool) -> list[dict[str, Any]]:
    """See ``Batch.targets``."""
    if "boxes" not in batch:
        raise OptionError("the batch has no boxes: targets() needs an object dataset (coco) and view='image'.")
    if labels not in ("category_id", "contiguous", "contiguous+1"):
        raise OptionError(f"labels={labels!r} is not one of 'category_id', 'contiguous', 'contiguous+1'.")
    if masks and "polygon_xy" not in batch:
        raise OptionError("the batch has no segmentations: give the loader masks=True.")
    sizes = image_sizes(batch)
    ends = batch["box_offsets"].tolist()
    return [
        _target(batch, row, np.arange(first, last), sizes[row], labels, masks, training)
        for row, (first, last) in enumerate(itertools.pairwise(ends))
    ]


def image_sizes(batch: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Height and width of every image as it is now; raises OptionError where the boxes did not follow the pixels."""
    image = batch["image"]
    if isinstance(image, Tensor):
        sizes = [(int(image.shape[-2]), int(image.shape[-1]))] * len(image)
    elif isinstance(image, Sequence):
        sizes = [(int(row.shape[-2]), int(row.shape[-1])) for row in image if row is not None]
    else:
        sizes = [(int(h), int(w)) for h, w in image.sizes.tolist()]
    for row, (size, original) in enumerate(zip(sizes, batch["orig_size"].tolist(), strict=False)):
        followed = "crop" in batch or "to_source" in batch
        if not followed and batch["valid"][row] and size != tuple(original):
            raise OptionError(
                f"row {row}: the image is {size} (h, w), its boxes are in original pixels, {tuple(original)}: a"
                " sample_transform resized it. Use transform=, which moves boxes along."
            )
    return sizes


def _target(
    batch: Mapping[str, Any],
    row: int,
    objects: np.ndarray,
    size: tuple[int, int],
    labels: Labels,
    masks: bool,
    training: bool,
) -> dict[str, Any]:
    boxes = batch["boxes"][objects[0] : objects[-1] + 1] if len(objects) else batch["boxes"][:0]
    if training:
        usable = (boxes[:, 2:] > boxes[:, :2]).all(1) & (_of(batch["iscrowd"], objects) == 0)
        objects, boxes = objects[usable.cpu().numpy()], boxes[usable]
    result = {
        "image_id": int(batch["image_id"][row]),
        "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size),
        "labels": _labels(batch, objects, labels),
    }
    result |= {name: _of(batch[name], objects) for name in _PER_OBJECT if name in batch}
    if masks:
        drawn = [object_mask(batch, row, int(number), size) for number in objects]
        stacked = np.stack(drawn) if drawn else np.zeros((0, *size), dtype=np.bool_)
        result["masks"] = tv_tensors.Mask(torch.from_numpy(stacked.astype(np.uint8)).to(boxes.device))
    return result


def _of(values: Tensor, objects: np.ndarray) -> Tensor:
    return values[torch.from_numpy(objects).to(values.device)]


def _labels(batch: Mapping[str, Any], objects: np.ndarray, convention: Labels) -> Tensor:
    if convention == "category_id":
        return _of(batch["category_id"], objects)
    return _of(batch["labels"], objects) + (convention == "contiguous+1")


def object_mask(batch: Mapping[str, Any], row: int, number: int, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool mask of object ``number`` in the pixels of image ``row`` as it is now."""
    first, last = batch["object_polygons"][number : number + 2].tolist()
    mask = np.zeros(size, dtype=np.bool_)
    for polygon in range(first, last):
        start, stop = batch["polygon_offsets"][polygon : polygon + 2].tolist()
        mask |= polygon_mask(batch["polygon_xy"][start:stop].cpu().numpy(), *size)
    start, stop = batch["rle_offsets"][number : number + 2].tolist()
    if stop > start:
        height, width = batch["orig_size"][row].tolist()
        mask |= _followed(runs_mask(batch["rle_counts"][start:stop].tolist(), height, width), batch, row, size)
    return mask


def _followed(mask: np.ndarray, batch: Mapping[str, Any], row: int, size: tuple[int, int]) -> np.ndarray:
    """A mask in original pixels, moved as its image was: each pixel takes the nearest, False outside the original."""
    one = {name: batch[name][row : row + 1] for name in ("crop", "flipped", "to_source") if name in batch}
    to_source = source_matrices(one, [size])[0].cpu().numpy()
    rows, columns, outside = nearest_index(to_source, size, (mask.shape[0], mask.shape[1]))
    taken: np.ndarray = mask[rows, columns] & ~outside
    return taken
