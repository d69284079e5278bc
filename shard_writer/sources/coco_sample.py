"""One COCO image as a record to plan with, and as a sample."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import SourceError
from ..image_facts import image_facts
from ..types import Column, Record, Sample
from .coco_files import CocoFiles, Place
from .coco_records import empty_record
from .options import OVERHEAD

# A column is declared where its annotation file is there: absent is not zero.
_INSTANCES = {"n_objects": "int64", "n_crowd": "int64", "labels": "list<int64>"}
_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "instances": _INSTANCES,
    "person_keypoints": {**_INSTANCES, "n_keypoints": "int64"},
    "captions": {"n_captions": "int64"},
}
ANNOTATED = tuple(_COLUMNS)
_DIGITS = re.compile(r"(\d+)\.\w+$")


@dataclass(frozen=True, slots=True)
class Where:
    """What ``read_sample`` needs of one image, so that workers need not parse 470 MB of JSON."""

    place: Place
    annotations: bytes
    """The sample's JSON; empty for an image that no annotation file lists."""
    karpathy: str | None


def columns_of(kinds: Mapping[str, Place], karpathy: bool) -> dict[str, str]:
    """Index columns of a split with these annotation files."""
    columns = {"image_id": "int64"}
    for kind in kinds:
        columns |= _COLUMNS.get(kind, {})
    return columns | ({"karpathy": "string"} if karpathy else {})


def number_of(file: str) -> int:
    """The id in an image's name: ``COCO_val2014_000000000042.jpg`` -> 42; raises SourceError where there is none."""
    match = _DIGITS.search(file)
    if match is None:
        raise SourceError(f"{file}: an image that no annotation file lists, and no number in its name to be its id.")
    return int(match.group(1))


def listed_record(key: str, place: Place, record: Mapping[str, Any], karpathy: Mapping[int, str]) -> Record:
    """An image of the annotation files."""
    annotations = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
    where = Where(place, annotations, karpathy.get(record["image_id"]))
    return Record(key, place.size + len(annotations) + OVERHEAD, where)


def unlisted_record(key: str, place: Place, karpathy: Mapping[int, str]) -> Record:
    """An image that no annotation file knows."""
    return Record(key, place.size + OVERHEAD, Where(place, b"", karpathy.get(number_of(place.name))))


def read_sample(files: CocoFiles, record: Record, declared: Mapping[str, str]) -> Sample:
    """Image bytes as they are, annotations, and the columns that are declared.

    Raises SourceError where the picture's size is not the annotated one, UndecodableImage where it is no picture.
    """
    where: Where = record.where
    image = files.read(where.place)
    facts = image_facts(image, where.place.shown)
    if where.annotations:
        annotations = json.loads(where.annotations)
    else:
        annotations = empty_record(number_of(where.place.name), where.place.name, facts.width, facts.height)
    if (facts.width, facts.height) != (annotations["width"], annotations["height"]):
        raise SourceError(
            f"{where.place.shown}: the picture is {facts.width}x{facts.height}, its annotations are for"
            f" {annotations['width']}x{annotations['height']}: it was resized or rotated. Take the original file."
        )
    columns = _columns(annotations, where.karpathy)
    return Sample(record.key, image, annotations, None, {name: columns[name] for name in declared})


def _columns(record: Mapping[str, Any], karpathy: str | None) -> dict[str, Column]:
    objects = record["objects"]
    return {
        "image_id": record["image_id"],
        "n_objects": len(objects),
        "n_crowd": sum(item["iscrowd"] for item in objects),
        "labels": [item["label"] for item in objects],
        "n_keypoints": sum(bool(item["num_keypoints"]) for item in objects),
        "n_captions": len(record["captions"]),
        "karpathy": karpathy,
    }
