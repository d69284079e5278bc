"""The toy people as a Loader's rows, a plan that crops and mirrors, and Pillow's word on what a body must look like."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image

import shardstream as ss
from shardstream import transforms as T  # noqa: N812
from shardstream.transforms import DecodePlan

from ..toy_people import people_key, toy_people_record
from .part_views import rows_of

COUNT = 30
RECORDS = [toy_people_record(i) for i in range(COUNT)]
PEOPLE = {(people_key(r), p["person"]): (i, p) for i, r in enumerate(RECORDS) for p in r["persons"]}
BODY = (24, 16)  # height, width
U8 = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Planned:
    """A crop drawn by RandomResizedCrop, or the whole squashed, and mirrored rows, all planned before decoding."""

    flips: str = "some"
    crop: bool = True

    def decode_plan(self, keys: list[str], sizes: U8, seeds: U8) -> DecodePlan:
        planner = T.RandomResizedCrop((32, 20), scale=(0.3, 1.0)) if self.crop else T.Resize((32, 20))
        plan = planner.decode_plan(keys, sizes, seeds)
        assert plan is not None
        flip = {"none": seeds > seeds, "all": seeds == seeds, "some": seeds % 3 == 0}[self.flips]
        return replace(plan, flip=flip)

    def __call__(self, batch: ss.Batch) -> ss.Batch:
        return batch


def persons(ds: ss.ShardDataset, **options: Any) -> list[tuple[int, dict[str, Any], ss.Batch, int]]:
    """(image, person of the record, batch, row) of everyone."""
    batches = ss.Loader(ds, **{"view": "person", "batch_size": 7, "body_size": BODY, **options})
    return [(*PEOPLE[batch["key"][row], int(batch["person_id"][row])], batch, row) for batch, row in rows_of(batches)]


def hwc(image: torch.Tensor) -> U8:
    return image.permute(1, 2, 0).numpy()


def cut_by_pillow(pixels: U8, box: list[int], hw: tuple[int, int], *, mirrored: bool) -> U8:
    """A box cut out, resized by Pillow, and mirrored."""
    part = np.asarray(
        Image.fromarray(pixels).crop((box[0], box[1], box[2], box[3])).resize(hw[::-1], Image.Resampling.BILINEAR)
    )
    return part[:, ::-1] if mirrored else part
