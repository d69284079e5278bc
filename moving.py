"""Annotations follow their pixels: boxes, keypoints and polygons of a batch through a crop with resize, or a mirror.

    objects of a batch, packed:   boxes (M, 4)  keypoints (M, K, 3)  object_polygons (M + 1,)   box_offsets (B + 1,)
    image 0: objects box_offsets[0]:box_offsets[1], image 1: box_offsets[1]:box_offsets[2], ...
    of a batch of persons, one a row:   box (B, 4)

Boxes and polygons are edges (a pixel spans [i, i + 1)); keypoints are pixel indices, COCO's convention, so half a
pixel is added before scaling and taken off after, and mirrored they become ``W - 1 - x`` with left and right swapped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .errors import OptionError

FLIPPED_KEYPOINTS = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
"""COCO's 17 person keypoints with left and right exchanged."""


def refuse_to_move(batch: Mapping[str, Any], who: str) -> None:
    """Raise OptionError where a transform would move pixels and leave the batch's boxes behind."""
    if "boxes" in batch or "box" in batch:
        raise OptionError(
            f"{who}: the batch has boxes, and here only its pixels would move. Make it the first of a Compose, where it"
            " is planned before decoding and the boxes move along, or use view='caption' where boxes are not wanted."
        )


def crop_annotations(
    batch: Mapping[str, Any], crop_xyxy: Tensor, out_hw: tuple[int, int], flip: Tensor
) -> dict[str, Tensor]:
    """The fields after each image's crop (B, 4), in its pixels, was resized to ``out_hw`` and mirrored where ``flip`` (B,).

    Boxes are clamped to the image (those outside get no area); keypoints outside become unlabelled (0, 0, 0);
    polygons keep their parts outside. {} without boxes.
    """
    moved = _cropped(batch, crop_xyxy, out_hw)
    if moved and bool(flip.any()):
        widths = torch.full((len(flip),), out_hw[1])
        moved |= mirror_annotations({n: v for n, v in batch.items() if n != "flipped"} | moved, flip, widths)
    return moved


def _cropped(batch: Mapping[str, Any], crop_xyxy: Tensor, out_hw: tuple[int, int]) -> dict[str, Tensor]:
    height, width = out_hw
    size = torch.tensor([width, height], dtype=torch.float64)
    crop = crop_xyxy.double()
    origin, scale = crop[:, :2], size / (crop[:, 2:] - crop[:, :2]).clamp(min=1e-9)
    moved: dict[str, Tensor] = {}
    if "box" in batch:
        moved["box"] = _crop_boxes(batch["box"], origin, scale, size)
    if "boxes" not in batch:
        return moved
    of = rows_of(batch["box_offsets"])
    moved["boxes"] = _crop_boxes(batch["boxes"], origin[of], scale[of], size)
    if "keypoints" in batch:
        points = batch["keypoints"].double()
        xy = (points[..., :2] + 0.5 - origin[of][:, None]) * scale[of][:, None] - 0.5
        inside = ((xy >= -0.5) & (xy < size - 0.5)).all(-1) & (points[..., 2] > 0)
        moved["keypoints"] = (torch.cat([xy, points[..., 2:]], -1) * inside[..., None]).float()
    if "polygon_xy" in batch:
        rows = of[rows_of(batch["object_polygons"])][rows_of(batch["polygon_offsets"])]
        moved["polygon_xy"] = (batch["polygon_xy"] - origin[rows]) * scale[rows]
    return moved


def _crop_boxes(boxes: Tensor, origin: Tensor, scale: Tensor, size: Tensor) -> Tensor:
    made = (boxes.double() - origin.repeat(1, 2)) * scale.repeat(1, 2)
    return torch.minimum(made.clamp(min=0), size.repeat(2)).float()


def mirror_annotations(batch: Mapping[str, Any], mirrored: Tensor, widths: Tensor) -> dict[str, Tensor]:
    """The fields after the images ``mirrored`` (B,) of ``widths`` (B,) were flipped left-right; {} without boxes."""
    moved: dict[str, Tensor] = {}
    if "flipped" in batch:
        moved["flipped"] = batch["flipped"] ^ mirrored.to(batch["flipped"].device)
    if "box" in batch:
        flip, width = mirrored.to(batch["box"].device)[:, None], widths.to(batch["box"].device)[:, None]
        moved["box"] = _mirror_boxes(batch["box"], flip, width)
        moved.setdefault("flipped", flip[:, 0])
    if "boxes" not in batch:
        return moved
    boxes = batch["boxes"]
    mirrored, widths = mirrored.to(boxes.device), widths.to(boxes.device)
    moved.setdefault("flipped", mirrored)
    of = rows_of(batch["box_offsets"])
    flip, width = mirrored[of][:, None], widths[of][:, None]
    moved["boxes"] = _mirror_boxes(boxes, flip, width)
    if "keypoints" in batch:
        moved["keypoints"] = _mirror_keypoints(batch["keypoints"], flip, width)
    if "polygon_xy" in batch:
        rows = of[rows_of(batch["object_polygons"])][rows_of(batch["polygon_offsets"])]
        xy = batch["polygon_xy"].clone()
        xy[:, 0] = torch.where(mirrored[rows], widths[rows] - xy[:, 0], xy[:, 0])
        moved["polygon_xy"] = xy
    return moved


_SIGNS = torch.tensor([-1.0, 1.0, -1.0, 1.0])


def _mirror_boxes(boxes: Tensor, flip: Tensor, width: Tensor) -> Tensor:
    mirrored = torch.cat([width, width * 0, width, width * 0], 1) + boxes[:, [2, 1, 0, 3]] * _SIGNS.to(boxes)
    return torch.where(flip, mirrored, boxes)


def _mirror_keypoints(points: Tensor, flip: Tensor, width: Tensor) -> Tensor:
    swapped = points[:, list(FLIPPED_KEYPOINTS)].clone()
    labelled = swapped[..., 2] > 0
    swapped[..., 0] = torch.where(labelled, width - 1 - swapped[..., 0], swapped[..., 0])
    return torch.where(flip[..., None], swapped, points)


def rows_of(offsets: Tensor) -> Tensor:
    """(N + 1,) offsets -> (M,) which of the N each element belongs to: [0, 2, 2, 3] -> [0, 0, 2]."""
    counts = offsets.diff()
    return torch.repeat_interleave(torch.arange(len(counts), device=offsets.device), counts)
