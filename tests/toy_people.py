"""A tiny set of people in the shape of EMOTIC's records, made of numbers that a test can recompute."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import shardstream as ss
from shardstream.shard_writer.types import About, SplitInfo

from .toy_parts import HEIGHT, WIDTH, ToyPartsSource, ToyPartsSplit, ToyRecord

CATEGORIES = (
    "Affection", "Anger", "Annoyance", "Anticipation", "Aversion", "Confidence", "Disapproval", "Disconnection",
    "Disquietment", "Doubt/Confusion", "Embarrassment", "Engagement", "Esteem", "Excitement", "Fatigue", "Fear",
    "Happiness", "Pain", "Peace", "Pleasure", "Sadness", "Sensitivity", "Suffering", "Surprise", "Sympathy", "Yearning",
)  # fmt: skip
COLUMNS = {"n_persons": "int64", "labels": "list<int64>", "person_labels": "list<list<int64>>"}


def toy_person(number: int, image: int) -> dict[str, Any]:
    """Every seventh person of the set has no dominance; image 7's person 2 is all NaN."""
    rng = np.random.default_rng([image, number])
    chosen = sorted(int(c) for c in rng.choice(26, int(rng.integers(1, 6)), replace=False))
    vad: list[float | None] = [float(v) for v in rng.uniform(1, 10, 3).round(1)]
    if (4 * image + number) % 7 == 0:
        vad[2] = None
    if (image, number) == (7, 2):
        vad = [None, None, None]
    x1, y1 = int(rng.integers(0, 40)), int(rng.integers(0, 25))
    x2, y2 = x1 + int(rng.integers(4, 20)), y1 + int(rng.integers(4, 15))
    return {
        "person": number,
        "body_bbox": [x1 + 1.0, y1 + 1.0, float(x2), float(y2)],
        "bbox": [x1, y1, x2, y2],
        "categories": chosen,
        "votes": [int(c in chosen) for c in range(26)],
        "vad": vad,
        "annotators": [{"categories": chosen, "vad": vad}],
        "gender": ("Male", "Female", None)[number % 3],
        "age": ("Adult", "Teenager", "Kid", None)[number % 4],
    }


def toy_people_record(image: int) -> ToyRecord:
    """Image i has i % 4 usable persons; of every image with i % 5 == 0 the first has an empty box and is dropped."""
    people = [toy_person(number, image) for number in range(image % 4 + (image % 5 == 0))]
    dropped = [people.pop(0) | {"bbox": None, "reason": "empty box"}] if image % 5 == 0 else []
    return {
        "folder": ("mscoco/images", "framesdb/images")[image % 2],
        "file_name": f"{image:06d}.jpg",
        "original_database": ("mscoco", "framesdb")[image % 2],
        "width": WIDTH,
        "height": HEIGHT,
        "persons": people,
        "dropped_persons": dropped,
    }


def people_columns(record: ToyRecord) -> dict[str, Any]:
    lists = [person["categories"] for person in record["persons"]]
    return {"n_persons": len(lists), "labels": sorted({c for held in lists for c in held}), "person_labels": lists}


def people_key(record: ToyRecord) -> str:
    return f"{record['folder']}/{record['file_name']}".replace("/", "_").removesuffix(".jpg")


def people_source(splits: dict[str, Sequence[ToyRecord]], images: bool = True) -> ToyPartsSource:
    """Splits of records such as ``toy_people_record`` makes; ``images=False`` packs the annotations alone."""
    field = "png" if images else None
    made = {
        name: ToyPartsSplit(
            SplitInfo(name=name, image_field=field, columns=COLUMNS),
            [*map(people_key, records)],
            records,
            people_columns,
        )
        for name, records in splits.items()
    }
    classes = {"labels": CATEGORIES, "person_labels": CATEGORIES}
    return ToyPartsSource(About(name="toy-people", licence="CC0-1.0", classes=classes), made)


def pack_toy_people(out: Path, count: int = 40, images: bool = True) -> ss.ShardDataset:
    """A packed split "val" of ``count`` images with ``sum(i % 4)`` usable persons."""
    return people_source({"val": [toy_people_record(i) for i in range(count)]}, images).pack(out, "val")
