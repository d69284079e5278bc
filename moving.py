"""Annotations follow their pixels: boxes, keypoints, polygons and masks of a batch through any affine move of its images.

    original picture <── to_source (2, 3) ── image now ── move.matrix (2, 3) ──> image after the move

    objects of a batch, packed:   boxes (M, 4)  keypoints (M, K, 3)  object_polygons (M + 1,)   box_offsets (B + 1,)
    image 0: objects box_offsets[0]:box_offsets[1], image 1: box_offsets[1]:box_offsets[2], ...
    one person per image:         box (B, 4)

Boxes and polygons are edges (a pixel spans [i, i + 1)); keypoints are pixel indices, COCO's convention, so half a
pixel is added before a move and taken off after, and mirrored they become ``W - 1 - x`` with left and right swapped.
Run-length masks lie in original pixels: ``to_source`` says where each pixel of the image comes from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .errors import OptionError

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Index = NDArray[np.int64]

FLIPPED_KEYPOINTS = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
"""COCO's 17 person keypoints with left and right exchanged."""
DECODED_CROP = "decoded_crop"
"""The batch's ``crop`` while it passes the stages of a Compose that were not part of its plan."""


@dataclass(frozen=True, slots=True, eq=False)
class Move:
    """Where the pixels of B images went."""

    matrix: F64
    """(B, 2, 3): ``x' = m00 x + m01 y + m02``, ``y' = m10 x + m11 y + m12``, edges in pixels."""
    before: I64
    """(B, 2) h, w that the images had."""
    after: I64
    """(B, 2) h, w that they have now."""
    clip: bool = True
    """Whether pixels can have left the image: boxes are then clamped to it, keypoints outside become unlabelled."""


def scaled(scale: F64, offset: F64, before: I64, after: I64, *, clip: bool = True) -> Move:
    """``x' = scale x + offset`` from (B, 2) x, y each."""
    matrix = np.zeros((len(before), 2, 3))
    matrix[:, [0, 1], [0, 1]], matrix[:, :, 2] = scale, offset
    return Move(matrix, before, after, clip)


def windowed(crop_xyxy: F64, before: I64, after: I64) -> Move:
    """Each image's crop (B, 4), in its pixels, resized to ``after``."""
    scale = after[:, ::-1] / np.maximum(crop_xyxy[:, 2:] - crop_xyxy[:, :2], 1e-9)  # a filler row has no pixels
    return scaled(scale, -crop_xyxy[:, :2] * scale, before, after)


def mirrored(rows: NDArray[np.bool_], sizes: I64, axis: int = 1) -> Move:
    """The images ``rows`` (B,) mirrored left-right (``axis`` 1) or upside down (0)."""
    scale, offset = np.ones((len(rows), 2)), np.zeros((len(rows), 2))
    scale[rows, 1 - axis], offset[rows, 1 - axis] = -1, sizes[rows, axis]
    return scaled(scale, offset, sizes, sizes, clip=False)


def refuse_to_move(batch: Mapping[str, Any], who: str) -> None:
    """Raise OptionError where a transform would move the image's pixels and leave behind what belongs to them."""
    for field in ("boxes", "box", "keypoints", "masks", "body"):
        if field in batch:
            raise OptionError(
                f"{who}: the batch has {field!r}, and here only the image's pixels would move. Use geometry that moves"
                f" {field!r} along (crops, Resize, Letterbox, flips, RandomAffine), or a view without it."
            )


def crop_annotations(
    batch: Mapping[str, Any], crop_xyxy: Tensor, out_hw: tuple[int, int], flip: Tensor | None = None
) -> dict[str, Any]:
    """The fields after each image's crop (B, 4), in its pixels, was resized to ``out_hw`` while it was decoded.

    ``flip`` (B,): the rows that were mirrored then. Without ``to_source``, since the batch's ``crop`` and ``flipped``
    say the same; {} without boxes.
    """
    crop = crop_xyxy.double().numpy()
    after = np.tile(np.array(out_hw, dtype=np.int64), (len(crop), 1))
    fields = _followed(batch, windowed(crop, after, after))
    if flip is None or not flip.any():
        return fields
    return fields | _followed({**batch, **fields}, mirrored(flip.numpy(), after))


def moved(batch: Mapping[str, Any], move: Move) -> dict[str, Any]:
    """The fields that change when the batch's pixels make ``move``: annotations, and always ``to_source``."""
    here = source_matrices(batch, move.before)
    back = torch.from_numpy(inverse(move.matrix)).to(here.device)
    return _followed(batch, move) | {"to_source": _after(here, back)}


def mirror_annotations(batch: Mapping[str, Any], move: Move, rows: NDArray[np.bool_]) -> dict[str, Any]:
    """The fields that change when the images ``rows`` (B,) are mirrored left-right, which is ``move``.

    ``flipped`` (B,) always; ``to_source`` only where it is there, else ``crop`` and ``flipped`` say it all.
    """
    flips, before = torch.from_numpy(rows), batch.get("flipped")
    fields = moved(batch, move) if "to_source" in batch else _followed(batch, move)
    return fields | {"flipped": flips if before is None else before ^ flips.to(before.device)}


def source_matrices(batch: Mapping[str, Any], sizes: Sequence[Sequence[int]] | I64) -> Tensor:
    """(B, 2, 3) float64: coordinates in the images, of ``sizes`` (B, 2) h, w, to those in the original pictures."""
    if "to_source" in batch:
        known: Tensor = batch["to_source"]
        return known
    hw = torch.as_tensor(np.asarray(sizes, dtype=np.float64).reshape(-1, 2))
    matrix = torch.eye(2, 3, dtype=torch.float64).repeat(len(hw), 1, 1)
    crop = batch.get("crop", batch.get(DECODED_CROP))
    if crop is not None:
        crop = crop.double()
        step = (crop[:, 2:] - crop[:, :2]) / hw.flip(1).clamp(min=1).to(crop.device)
        matrix = torch.cat([torch.diag_embed(step), crop[:, :2, None]], -1)
    if "flipped" in batch:  # x' = W - x of the rows that were
        flip = batch["flipped"].double()[:, None].to(matrix.device)
        across, down, origin = matrix.unbind(-1)
        origin = origin + across * flip * hw[:, 1:].to(matrix.device)
        matrix = torch.stack([across * (1 - 2 * flip), down, origin], -1)
    return matrix


def inverse(matrix: F64) -> F64:
    """(B, 2, 3) maps turned round; a map that leaves no area (of a filler row) becomes zeros."""
    (a, b, x), (c, d, y) = matrix[:, 0].T, matrix[:, 1].T
    area = a * d - b * c
    scale = np.divide(1, area, out=np.zeros_like(area), where=area != 0)
    turned = np.array([[d, -b, b * y - d * x], [-c, a, c * x - a * y]]) * scale
    result: F64 = turned.transpose(2, 0, 1)
    return result


def _after(outer: Tensor, inner: Tensor) -> Tensor:
    """``outer(inner(x))`` of (B, 2, 3) maps."""
    joined = outer[:, :, :2] @ inner
    joined[:, :, 2] += outer[:, :, 2]
    return joined


def _followed(batch: Mapping[str, Any], move: Move) -> dict[str, Any]:
    """The annotations that the batch has, moved."""
    fields: dict[str, Any] = {}
    if "box" in batch:
        fields["box"] = _boxes(batch["box"], *_of_rows(move, None, batch["box"].device), clip=move.clip)
    if "boxes" not in batch:
        return fields
    boxes = batch["boxes"]
    of = rows_of(batch["box_offsets"], len(boxes))
    matrix, size = _of_rows(move, of, boxes.device)
    fields["boxes"] = _boxes(boxes, matrix, size, clip=move.clip)
    if "keypoints" in batch:
        fields["keypoints"] = _keypoints(batch["keypoints"], matrix, size, move)
        if move.clip and "num_keypoints" in batch:
            counted = (fields["keypoints"][..., 2] > 0).sum(1)
            fields["num_keypoints"] = torch.where(batch["num_keypoints"] < 0, -1, counted)
    if "polygon_xy" in batch:
        xy, polygons = batch["polygon_xy"], batch["polygon_offsets"]
        objects = rows_of(batch["object_polygons"], len(polygons) - 1)
        points = matrix[objects][rows_of(polygons, len(xy))]
        fields["polygon_xy"] = _points(xy[:, None].double(), points)[:, 0]
    if "masks" in batch:
        fields["masks"] = _masks(batch["masks"], move)
    return fields


def _of_rows(move: Move, of: Tensor | None, device: torch.device) -> tuple[Tensor, Tensor]:
    """The matrix (M, 2, 3) and the size after, (M, 2) w, h, of each object's image."""
    matrix = torch.from_numpy(move.matrix).to(device)
    size = torch.from_numpy(move.after[:, ::-1].astype(np.float64)).to(device)
    return (matrix, size) if of is None else (matrix[of], size[of])


def _boxes(boxes: Tensor, matrix: Tensor, size: Tensor, *, clip: bool) -> Tensor:
    """(M, 4) XYXY -> the smallest upright boxes around the moved ones."""
    x, y = boxes[:, None, 0::2].double() * matrix[:, :, 0:1], boxes[:, None, 1::2].double() * matrix[:, :, 1:2]
    low = x.amin(-1) + y.amin(-1) + matrix[:, :, 2]
    high = x.amax(-1) + y.amax(-1) + matrix[:, :, 2]
    made = torch.cat([low, high], 1)
    return (torch.minimum(made.clamp(min=0), size.repeat(1, 2)) if clip else made).to(boxes.dtype)


def _points(xy: Tensor, matrix: Tensor) -> Tensor:
    """(M, K, 2) points through each one's (M, 2, 3)."""
    return xy @ matrix[:, :, :2].transpose(1, 2) + matrix[:, None, :, 2]


def _keypoints(points: Tensor, matrix: Tensor, size: Tensor, move: Move) -> Tensor:
    """Unlabelled ones stay (0, 0, 0); a mirrored image, however it was turned, has left and right exchanged."""
    mirrors = matrix[:, 0, 0] * matrix[:, 1, 1] < matrix[:, 0, 1] * matrix[:, 1, 0]
    if (np.linalg.det(move.matrix[:, :, :2]) < 0).any():
        if points.shape[1] != len(FLIPPED_KEYPOINTS):
            raise OptionError(
                f"keypoints have {points.shape[1]} points, and left and right are known for {len(FLIPPED_KEYPOINTS)}"
                " (COCO's persons): leave out flips, or drop the keypoints field."
            )
        points = torch.where(mirrors[:, None, None], points[:, list(FLIPPED_KEYPOINTS)], points)
    xy = _points(points[..., :2].double() + 0.5, matrix)
    kept = points[..., 2] > 0
    if move.clip:
        kept = kept & ((xy >= 0) & (xy < size[:, None])).all(-1)
    return (torch.cat([xy - 0.5, points[..., 2:]], -1) * kept[..., None]).to(points.dtype)


def _masks(masks: Sequence[Tensor], move: Move) -> list[Tensor]:
    """One (N, h, w) a row, each pixel the nearest of the old ones, zero where there was none."""
    back = inverse(move.matrix)
    return [
        nearest(mask, back[row], tuple(move.after[row].tolist()))
        if mask.numel()
        else mask.new_zeros((len(mask), *move.after[row].tolist()))
        for row, mask in enumerate(masks)
    ]


def nearest(mask: Tensor, to_mask: F64, size: tuple[int, int]) -> Tensor:
    """(..., H, W) -> (..., *size): each pixel takes what lies at its centre, zero where that is outside.

    ``to_mask`` (2, 3) leads from the new coordinates to the mask's. An edge between two pixels belongs to the later.
    """
    rows, columns, outside = nearest_index(to_mask, size, (mask.shape[-2], mask.shape[-1]))
    taken = mask[..., torch.from_numpy(rows).to(mask.device), torch.from_numpy(columns).to(mask.device)]
    return taken.masked_fill(torch.from_numpy(outside).to(mask.device), 0)


def nearest_index(
    to_mask: F64, size: tuple[int, int], source: tuple[int, int]
) -> tuple[Index, Index, NDArray[np.bool_]]:
    """Row and column in ``source`` h, w of each pixel of ``size``, and which are outside; all broadcast to ``size``."""
    y, x = np.arange(size[0])[:, None] + 0.5, np.arange(size[1])[None] + 0.5
    (a, b, left), (c, d, top) = to_mask
    # Without rotation rows stay (h, 1) and columns (1, w). A centre that rounding put just below an edge is on it.
    column = np.floor(left + a * x + (b * y if b else 0) + 1e-9).astype(np.int64)
    row = np.floor(top + d * y + (c * x if c else 0) + 1e-9).astype(np.int64)
    outside = (row < 0) | (row >= source[0]) | (column < 0) | (column >= source[1])
    return row.clip(0, source[0] - 1), column.clip(0, source[1] - 1), outside


def rows_of(offsets: Tensor, count: int | None = None) -> Tensor:
    """(N + 1,) offsets -> (M,) which of the N each element belongs to: [0, 2, 2, 3] -> [0, 0, 2].

    With ``count`` = M a GPU need not be waited for.
    """
    counts = offsets.diff()
    return torch.repeat_interleave(torch.arange(len(counts), device=offsets.device), counts, output_size=count)
