"""Persons of a batch, one a row: what they feel as tensors, and which part of the picture is their body.

    picture, decoded once          image (B, 3, H, W)    the whole of it, cropped and resized as planned
    +----------------+             body (B, 3, h, w)     the box alone, squashed to ``body_size``
    |   +----+       |             box (B, 4)            where the body lies in ``image``
    |   |body|       |
    +---+----+-------+

A planned flip mirrors all three.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .decode import Geometry

Person = Mapping[str, Any]


def person_fields(persons: Sequence[Person], size: int, classes: int) -> dict[str, Any]:
    """Batch fields of one person a row; rows beyond are zeros, ``vad`` NaN, ``person_id`` -1.

    ``categories`` (size, classes) float32, 1 where the person has the emotion; ``votes`` the same, how many annotators
    named it; ``vad`` (size, 3) float32 on the annotations' scale, NaN where nobody rated it; ``box`` (size, 4) float32
    XYXY in original pixels; ``person_id`` (size,) int64, the person's number in its image, unique together with ``key``.
    """
    categories = torch.zeros(size, classes)
    for row, person in enumerate(persons):
        categories[row, person["categories"]] = 1
    numbers = [person["person"] for person in persons]
    return {
        "categories": categories,
        "votes": _filled([person["votes"] for person in persons], (size, classes), 0),
        "vad": _filled(
            [[math.nan if v is None else v for v in person["vad"]] for person in persons], (size, 3), math.nan
        ),
        "box": _filled([person["bbox"] for person in persons], (size, 4), 0),
        "person_id": torch.tensor(numbers + [-1] * (size - len(persons)), dtype=torch.int64),
    }


def body_part(person: Person, out_hw: tuple[int, int], context: Geometry | None) -> Geometry:
    """The person's box squashed to ``out_hw``, mirrored where the picture around it is."""
    left, top, right, bottom = person["bbox"]
    return Geometry((left, top, right, bottom), out_hw, context is not None and context.flip, "bilinear", isolated=True)


def _filled(rows: Sequence[Sequence[float]], shape: tuple[int, int], fill: float) -> Tensor:
    values = torch.full(shape, float(fill))
    if rows:
        values[: len(rows)] = torch.tensor(rows, dtype=torch.float32)
    return values
