"""One COCO image as a record to plan with, and as a sample."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import SourceError
from ..image_facts import ImageFacts, image_facts
from ..types import Column, Record, Sample
from .coco_files import CocoFiles, Place
from .coco_parts import Joined, dump
from .coco_records import empty_record
from .options import OVERHEAD
from .vqa_columns import question_columns

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

    place: Place | None
    """None where annotations alone are packed."""
    annotations: bytes
    """The sample's JSON; empty for an image that no annotation file lists."""
    karpathy: str | None
    joined: bytes
    """JSON keys that joined files add; empty without a join."""
    absent: tuple[str, ...]
    """Index columns of the join that are null."""


def columns_of(kinds: Iterable[str], karpathy: bool) -> dict[str, str]:
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


def listed_record(
    key: str, place: Place | None, record: Mapping[str, Any], karpathy: Mapping[int, str], joined: Joined
) -> Record:
    """An image of the annotation files; raises SourceError where the joined ones mean another image."""
    return _record(key, place, (record["image_id"], record["file_name"], dump(record)), karpathy, joined)


def unlisted_record(key: str, place: Place, karpathy: Mapping[int, str], joined: Joined) -> Record:
    """An image that no annotation file of its source knows; the joined ones may."""
    return _record(key, place, (number_of(place.name), place.name, b""), karpathy, joined)


def _record(
    key: str, place: Place | None, image: tuple[int, str, bytes], karpathy: Mapping[int, str], joined: Joined
) -> Record:
    number, file, annotations = image
    more, absent = joined.of(number, file)
    nbytes = (0 if place is None else place.size) + len(annotations) + len(more) + OVERHEAD
    return Record(key, nbytes, Where(place, annotations, karpathy.get(number), more, absent))


def read_sample(files: CocoFiles, record: Record, declared: Mapping[str, str]) -> Sample:
    """Image bytes as they are, annotations, and the columns that are declared.

    Raises SourceError where the picture's size is not the annotated one, UndecodableImage where it is no picture.
    """
    where: Where = record.where
    image = None if where.place is None else files.read(where.place)
    annotations = json.loads(where.annotations or b"{}") | json.loads(where.joined or b"{}")
    if image is not None and where.place is not None:
        annotations = _with_size(annotations, image_facts(image, where.place.shown), where.place)
    columns = _columns(annotations, where)
    return Sample(record.key, image, annotations, None, {name: columns[name] for name in declared})


def _with_size(given: dict[str, Any], facts: ImageFacts, place: Place) -> dict[str, Any]:
    """Annotations with the picture's size, where they do not say it; SourceError where they say another."""
    if "image_id" not in given:
        given = empty_record(number_of(place.name), place.name, facts.width, facts.height) | given
    if given["width"] is None:
        given |= {"width": facts.width, "height": facts.height}
    if (facts.width, facts.height) != (given["width"], given["height"]):
        raise SourceError(
            f"{place.shown}: the picture is {facts.width}x{facts.height}, its annotations are for"
            f" {given['width']}x{given['height']}: it was resized or rotated. Take the original file."
        )
    return given


def _columns(record: Mapping[str, Any], where: Where) -> dict[str, Column]:
    columns: dict[str, Column] = {"image_id": record["image_id"], "karpathy": where.karpathy}
    if "objects" in record:
        columns |= _object_columns(record)
    if "questions" in record:
        columns |= question_columns(record["questions"])
    return columns | dict.fromkeys(where.absent)


def _object_columns(record: Mapping[str, Any]) -> dict[str, Column]:
    objects = record["objects"]
    return {
        "n_objects": len(objects),
        "n_crowd": sum(item["iscrowd"] for item in objects),
        "labels": [item["label"] for item in objects],
        "n_keypoints": sum(bool(item["num_keypoints"]) for item in objects),
        "n_captions": len(record["captions"]),
    }
