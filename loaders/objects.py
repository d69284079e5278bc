"""Objects and captions of a batch: packed as values and offsets from the samples' JSON records.

image 0: 2 objects, image 1: none, image 2: 1     boxes (3, 4)   box_offsets [0, 2, 2, 3]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .masks import rle_counts

Record = Mapping[str, Any]
KEYPOINTS = 17


def object_fields(records: Sequence[Record], size: int, *, keypoints: bool, masks: bool) -> dict[str, Any]:
    """Batch fields of all objects, in the records' order, boxes XYXY in original pixels; rows beyond have none.

    ``keypoints`` adds keypoints (M, 17, 3) and num_keypoints (M,), -1 and zeros for objects not annotated with any;
    ``masks`` the segmentations as given, polygons and run lengths.
    """
    objects = list(chain.from_iterable(record["objects"] for record in records))
    xywh = torch.tensor([item["bbox"] for item in objects], dtype=torch.float64).reshape(-1, 4)
    fields: dict[str, Any] = {
        "boxes": torch.cat([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1).float(),
        "labels": _integers(objects, "label"),
        "category_id": _integers(objects, "category_id"),
        "ann_id": _integers(objects, "id"),
        "iscrowd": _integers(objects, "iscrowd"),
        "area": torch.tensor([item["area"] for item in objects], dtype=torch.float32),
        "box_offsets": offsets([len(record["objects"]) for record in records], size),
    }
    if keypoints:
        rows = [item["keypoints"] or [0] * (3 * KEYPOINTS) for item in objects]
        fields["keypoints"] = torch.tensor(rows, dtype=torch.float32).reshape(-1, KEYPOINTS, 3)
        fields["num_keypoints"] = torch.tensor(
            [-1 if item["num_keypoints"] is None else item["num_keypoints"] for item in objects], dtype=torch.int64
        )
    return fields | (_segmentations(objects) if masks else {})


def caption_fields(captions: Sequence[Record], size: int) -> dict[str, Any]:
    """One caption a row, ``caption`` and ``caption_id``; '' and -1 beyond."""
    missing = size - len(captions)
    return {
        "caption": [caption["caption"] for caption in captions] + [""] * missing,
        "caption_id": torch.tensor([caption["id"] for caption in captions] + [-1] * missing, dtype=torch.int64),
    }


def caption_lists(records: Sequence[Record], size: int) -> dict[str, Any]:
    """All captions of each image as lists, ``captions`` and ``caption_ids``; empty beyond."""
    missing = size - len(records)
    return {
        "captions": [[c["caption"] for c in record["captions"]] for record in records] + [[] for _ in range(missing)],
        "caption_ids": [[c["id"] for c in record["captions"]] for record in records] + [[] for _ in range(missing)],
    }


def offsets(counts: Sequence[int], size: int | None = None) -> Tensor:
    """(N + 1,) int64 where each row's values begin; rows beyond ``counts`` are empty."""
    padded = [*counts, *[0] * ((len(counts) if size is None else size) - len(counts))]
    return torch.from_numpy(np.concatenate([[0], np.cumsum(padded, dtype=np.int64)]).astype(np.int64))


def _integers(objects: Sequence[Record], name: str) -> Tensor:
    return torch.tensor([item[name] for item in objects], dtype=torch.int64)


def _segmentations(objects: Sequence[Record]) -> dict[str, Tensor]:
    """Polygons: polygon_xy float64 (P, 2), polygon_offsets (Q + 1,) points of each, object_polygons (M + 1,) polygons
    of each object. Run lengths: rle_counts (R,), rle_offsets (M + 1,), none where an object has polygons.
    """
    polygons = list(chain.from_iterable(item["polygons"] for item in objects))
    runs = [[] if item["rle"] is None else rle_counts(item["rle"]) for item in objects]
    points = [len(polygon) // 2 for polygon in polygons]  # an odd number at the end is half a point: left out
    flat = chain.from_iterable(polygon[: 2 * count] for polygon, count in zip(polygons, points, strict=True))
    return {
        "polygon_xy": torch.from_numpy(np.fromiter(flat, np.float64, 2 * sum(points))).view(-1, 2),
        "polygon_offsets": offsets(points),
        "object_polygons": offsets([len(item["polygons"]) for item in objects]),
        "rle_counts": torch.tensor(list(chain.from_iterable(runs)), dtype=torch.int64),
        "rle_offsets": offsets([len(counts) for counts in runs]),
    }
