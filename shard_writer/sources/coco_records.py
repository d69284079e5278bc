"""Instances, keypoints and captions of a split joined into one record per image.

instances_val2017.json ──┐
person_keypoints_*.json ─┼── by image id, objects by annotation id ──> {"image_id", "objects": [...], "captions": [...]}
captions_*.json ─────────┘
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import SourceError
from .coco_check import Entry, check_annotations, entries, numbers, parse_json, text, whole
from .coco_facts import SplitFacts
from .coco_files import KINDS
from .coco_objects import make_object, odd_shapes

KEYPOINTS = 17
LINKS = ("license", "coco_url", "flickr_url", "date_captured")
_SAME = ("file_name", "width", "height")


@dataclass(slots=True)
class CocoRecords:
    """One split's annotations, by image."""

    kinds: frozenset[str]
    categories: dict[int, str] = field(default_factory=dict)
    """Original id -> name, by id; the position is the contiguous label."""
    images: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Image id -> the sample's JSON, by image id."""
    notes: list[str] = field(default_factory=list)

    def facts(self) -> SplitFacts:
        """Counts, for comparison with the published ones."""
        records = self.images.values()
        return SplitFacts(
            images=len(records),
            objects=sum(len(r["objects"]) for r in records) if "instances" in self.kinds else None,
            crowds=sum(o["iscrowd"] for r in records for o in r["objects"]) if "instances" in self.kinds else None,
            without_objects=sum(not r["objects"] for r in records) if "instances" in self.kinds else None,
            captions=sum(len(r["captions"]) for r in records) if "captions" in self.kinds else None,
        )


def read_records(files: Mapping[str, tuple[str, Callable[[], bytes]]]) -> CocoRecords:
    """Join a split's files, kind -> (name for messages, reader); raises SourceError for what contradicts itself.

    One file is held at a time: parsed, the three of train2017 would take 5 GB.
    """
    made = CocoRecords(frozenset(files))
    objects: dict[int, Entry] = {}
    for kind in KINDS:
        if kind in files:
            where, read = files[kind]
            _add_file(made, objects, kind, where, parse_json(read(), where))
    made.notes += odd_shapes(objects.values())
    made.images = dict(sorted(made.images.items()))
    made.categories = dict(sorted(made.categories.items()))
    labels = {number: label for label, number in enumerate(made.categories)}
    for item in objects.values():
        item["label"] = labels[item["category_id"]]
    _refuse_shared_files(made.images)
    return made


def empty_record(number: int, file_name: str, width: int, height: int) -> dict[str, Any]:
    """The record of an image that no annotation file knows."""
    return _record({"id": number, "file_name": file_name, "width": width, "height": height})


def _record(image: Entry) -> dict[str, Any]:
    return {
        "image_id": image["id"],
        **{name: image[name] for name in _SAME},
        **{name: image.get(name) for name in LINKS},
        "objects": [],
        "captions": [],
    }


def _add_file(made: CocoRecords, objects: dict[int, Entry], kind: str, where: str, body: Mapping[str, Any]) -> None:
    _add_images(made.images, body, where)
    _add_categories(made.categories, body, where)
    annotations = entries(body, "annotations", where)
    check_annotations(annotations, made.images, where)
    if kind == "captions":
        _add_captions(made.images, annotations, where)
    elif kind == "image_info" and annotations:
        raise SourceError(f"{where} holds {len(annotations):,} annotations; an image_info file has none. Rename it.")
    for entry in annotations if kind in ("instances", "person_keypoints") else ():
        item = objects.get(entry["id"])
        if item is None:
            record = made.images[entry["image_id"]]
            item = objects[entry["id"]] = make_object(entry, record, made.categories, where)
            record["objects"].append(item)
        elif kind == "person_keypoints":
            _check_same(item, entry, made.images, where)
        if kind == "person_keypoints":
            what = f"annotation {entry['id']}: keypoints"
            item["keypoints"] = numbers(entry.get("keypoints"), 3 * KEYPOINTS, where, what)
            item["num_keypoints"] = whole(entry, "num_keypoints", where, "annotation")


def _add_images(images: dict[int, dict[str, Any]], body: Mapping[str, Any], where: str) -> None:
    for entry in entries(body, "images", where):
        text(entry, "file_name", where, "image")
        for name in ("height", "width"):
            whole(entry, name, where, "image")
        known = images.setdefault(entry["id"], {})
        if not known:
            known.update(_record(entry))
        for name in _SAME:
            if known[name] != entry[name]:
                raise SourceError(
                    f"{where}: image {entry['id']} has {name} {entry[name]!r}, another file of the split says"
                    f" {known[name]!r}. The files are not of one release."
                )
        for name in LINKS:
            if known[name] is None:
                known[name] = entry.get(name)


def _refuse_shared_files(images: Mapping[int, dict[str, Any]]) -> None:
    owner: dict[str, int] = {}
    for number, record in images.items():
        other = owner.setdefault(record["file_name"], number)
        if other != number:
            raise SourceError(
                f"images {other} and {number} both have file_name {record['file_name']!r}; each image needs its own file."
            )


def _add_categories(categories: dict[int, str], body: Mapping[str, Any], where: str) -> None:
    for entry in entries(body, "categories", where):
        name = text(entry, "name", where, "category")
        if categories.setdefault(entry["id"], name) != name:
            raise SourceError(f"{where}: category {entry['id']} is {name!r}, elsewhere {categories[entry['id']]!r}.")


def _check_same(item: Entry, entry: Entry, images: Mapping[int, dict[str, Any]], where: str) -> None:
    there = any(other is item for other in images[entry["image_id"]]["objects"])
    if not there or item["category_id"] != entry["category_id"]:
        owner = next(n for n, image in images.items() if any(other is item for other in image["objects"]))
        raise SourceError(
            f"{where}: annotation {entry['id']} is of image {entry['image_id']}, category {entry['category_id']}; among"
            f" the instances it is of image {owner}, category {item['category_id']}. The files are not of one release."
        )


def _add_captions(images: Mapping[int, dict[str, Any]], annotations: list[Entry], where: str) -> None:
    for entry in sorted(annotations, key=lambda entry: int(entry["id"])):
        caption = {"id": entry["id"], "caption": text(entry, "caption", where, "annotation")}
        images[entry["image_id"]]["captions"].append(caption)
