"""Instances, keypoints and captions of a split joined into one record per image.

instances_val2017.json ──┐
person_keypoints_*.json ─┼── by image id, objects by annotation id ──> {"image_id", "objects": [...], "captions": [...]}
captions_*.json ─────────┘
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import SourceError
from .coco_check import Entry, check_annotations, check_object, entries, numbers, odd_shapes, parse_json, text, whole
from .coco_facts import SplitFacts

KEYPOINTS = 17
_LINKS = ("license", "coco_url", "flickr_url", "date_captured")
_SAME = ("file_name", "height", "width")


@dataclass(slots=True)
class CocoRecords:
    """One split's annotations, by image."""

    kinds: frozenset[str]
    categories: tuple[tuple[int, str], ...]
    """(original id, name), by id; the position is the contiguous label."""
    images: dict[int, dict[str, Any]]
    """Image id -> the sample's JSON, by image id."""
    notes: tuple[str, ...]

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
    """Join a split's files, kind -> (name for messages, reader); raises SourceError for what contradicts itself."""
    images: dict[int, Entry] = {}
    objects: dict[int, Entry] = {}
    categories: dict[int, str] = {}
    notes: list[str] = []
    bodies = {kind: (where, parse_json(read(), where)) for kind, (where, read) in files.items()}
    for where, body in bodies.values():
        _add_images(images, body, where)
        _add_categories(categories, body, where)
    records = {number: _record(images[number]) for number in sorted(images)}
    labels = {number: label for label, number in enumerate(sorted(categories))}
    if "instances" in bodies:
        _add_objects(records, objects, labels, *bodies["instances"])
        notes += odd_shapes(objects.values(), bodies["instances"][0])
    if "person_keypoints" in bodies:
        _add_keypoints(records, objects, labels, *bodies["person_keypoints"])
    if "captions" in bodies:
        _add_captions(records, *bodies["captions"])
    return CocoRecords(frozenset(bodies), tuple(sorted(categories.items())), records, tuple(notes))


def empty_record(number: int, file_name: str, width: int, height: int) -> dict[str, Any]:
    """The record of an image that no annotation file knows."""
    return _record({"id": number, "file_name": file_name, "width": width, "height": height})


def _record(image: Entry) -> dict[str, Any]:
    return {
        "image_id": image["id"],
        **{name: image[name] for name in _SAME},
        **{name: image.get(name) for name in _LINKS},
        "objects": [],
        "captions": [],
    }


def _add_images(images: dict[int, Entry], body: Mapping[str, Any], where: str) -> None:
    for entry in entries(body, "images", where):
        text(entry, "file_name", where, "image")
        for name in ("height", "width"):
            whole(entry, name, where, "image")
        known = images.setdefault(entry["id"], entry)
        for name in _SAME:
            if known[name] != entry[name]:
                raise SourceError(
                    f"{where}: image {entry['id']} has {name} {entry[name]!r}, another file of the split says"
                    f" {known[name]!r}. The files are not of one release."
                )


def _add_categories(categories: dict[int, str], body: Mapping[str, Any], where: str) -> None:
    for entry in entries(body, "categories", where):
        name = text(entry, "name", where, "category")
        if categories.setdefault(entry["id"], name) != name:
            raise SourceError(f"{where}: category {entry['id']} is {name!r}, elsewhere {categories[entry['id']]!r}.")


def _add_objects(
    records: Mapping[int, dict[str, Any]],
    objects: dict[int, Entry],
    labels: Mapping[int, int],
    where: str,
    body: Mapping[str, Any],
) -> None:
    annotations = entries(body, "annotations", where)
    check_annotations(annotations, records, where)
    for entry in annotations:
        check_object(entry, labels, where)
        made = objects[entry["id"]] = _object(entry, labels, where)
        records[entry["image_id"]]["objects"].append(made)


def _object(entry: Entry, labels: Mapping[int, int], where: str) -> Entry:
    polygons, rle = _segmentation(entry.get("segmentation") or [], where, entry["id"])
    return {
        "id": entry["id"],
        "category_id": entry["category_id"],
        "label": labels[entry["category_id"]],
        "bbox": entry["bbox"],
        "area": entry["area"],
        "iscrowd": entry.get("iscrowd", 0),
        "polygons": polygons,
        "rle": rle,
        "keypoints": [],
        "num_keypoints": None,
    }


def _segmentation(given: Any, where: str, number: int) -> tuple[list[list[float]], Entry | None]:
    """Polygons, or run lengths as numbers or compressed text: apart, so that each key has one type."""
    what = f"annotation {number}: segmentation"
    if isinstance(given, list):
        return [numbers(polygon, None, where, what) for polygon in given], None
    if not isinstance(given, dict) or not {"size", "counts"} <= given.keys():
        raise SourceError(f"{where}: {what} is {given!r:.80}, neither polygons nor run lengths with size and counts.")
    size, counts = numbers(given["size"], 2, where, what), given["counts"]
    if isinstance(counts, str):
        return [], {"size": size, "counts": [], "compressed": counts}
    runs = numbers(counts, None, where, what)
    if sum(runs) != size[0] * size[1]:
        raise SourceError(f"{where}: {what} covers {sum(runs)} pixels, its size {size} has {size[0] * size[1]}.")
    return [], {"size": size, "counts": runs, "compressed": None}


def _add_keypoints(
    records: Mapping[int, dict[str, Any]],
    objects: dict[int, Entry],
    labels: Mapping[int, int],
    where: str,
    body: Mapping[str, Any],
) -> None:
    annotations = entries(body, "annotations", where)
    check_annotations(annotations, records, where)
    owner = {made["id"]: number for number, record in records.items() for made in record["objects"]}
    for entry in annotations:
        check_object(entry, labels, where)
        made = objects.get(entry["id"])
        if made is None:
            made = objects[entry["id"]] = _object(entry, labels, where)
            records[entry["image_id"]]["objects"].append(made)
        elif (owner[entry["id"]], made["category_id"]) != (entry["image_id"], entry["category_id"]):
            raise SourceError(
                f"{where}: annotation {entry['id']} is of image {entry['image_id']}, category {entry['category_id']}; among"
                f" the instances it is of image {owner[entry['id']]}, category {made['category_id']}."
            )
        made["keypoints"] = numbers(
            entry.get("keypoints"), 3 * KEYPOINTS, where, f"annotation {entry['id']}: keypoints"
        )
        made["num_keypoints"] = whole(entry, "num_keypoints", where, "annotation")


def _add_captions(records: Mapping[int, dict[str, Any]], where: str, body: Mapping[str, Any]) -> None:
    annotations = entries(body, "annotations", where)
    check_annotations(annotations, records, where)
    for entry in sorted(annotations, key=lambda entry: int(entry["id"])):
        caption = {"id": entry["id"], "caption": text(entry, "caption", where, "annotation")}
        records[entry["image_id"]]["captions"].append(caption)
