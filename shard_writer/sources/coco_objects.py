"""One annotated object: what it must be, and the form it takes in a sample."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from ...errors import SourceError
from .coco_check import Entry, numbers, whole
from .options import some


def make_object(entry: Entry, image: Entry, categories: Container[int], where: str) -> Entry:
    """One of ``objects``, without its label. Lists are those of ``entry``; SourceError for what is no object."""
    _check(entry, categories, where)
    polygons, rle = _segmentation(entry.get("segmentation"), image, where, f"annotation {entry['id']}: segmentation")
    return {
        "id": entry["id"],
        "category_id": entry["category_id"],
        "label": -1,  # known when the categories of every file are
        "bbox": entry["bbox"],
        "area": entry["area"],
        "iscrowd": entry.get("iscrowd", 0),
        "polygons": polygons,
        "rle": rle,
        "keypoints": [],
        "num_keypoints": None,
    }


def odd_shapes(objects: Iterable[Entry]) -> list[str]:
    """Notes on what is kept as given, though a detector will trip over it."""
    flat, thin = [], []
    for entry in objects:
        if min(entry["bbox"][2:]) <= 0:
            flat.append(entry["id"])
        if any(len(polygon) < 6 or len(polygon) % 2 for polygon in entry["polygons"]):
            thin.append(entry["id"])
    notes = []
    if flat:
        notes.append(f"{len(flat):,} boxes without width or height, kept as given: ids {some(map(str, flat))}")
    if thin:
        notes.append(
            f"{len(thin):,} objects with polygons of fewer than 3 points or half a point, kept as given:"
            f" ids {some(map(str, thin))}"
        )
    return notes


def _check(entry: Entry, categories: Container[int], where: str) -> None:
    """Box, area, crowd flag and category of one object."""
    what = f"annotation {entry['id']}"
    if whole(entry, "category_id", where, "annotation") not in categories:
        raise SourceError(f"{where}: {what} has category {entry['category_id']}, which 'categories' does not list.")
    numbers(entry.get("bbox"), 4, where, f"{what}: bbox")
    numbers([entry.get("area")], 1, where, f"{what}: area")
    crowd = entry.get("iscrowd", 0)
    if type(crowd) is not int or crowd not in (0, 1):
        raise SourceError(f"{where}: {what}: iscrowd is {crowd!r}, not 0 or 1.")


def _segmentation(given: Any, image: Entry, where: str, what: str) -> tuple[list[list[float]], Entry | None]:
    """Polygons, or run lengths: apart, so that each key has one type."""
    if given is None:
        return [], None
    if isinstance(given, list):
        return [numbers(polygon, None, where, what) for polygon in given], None
    if not isinstance(given, dict) or not {"size", "counts"} <= given.keys():
        raise SourceError(f"{where}: {what} is {given!r:.80}, neither polygons nor run lengths with size and counts.")
    return [], _run_lengths(given, image, where, what)


def _run_lengths(given: Mapping[str, Any], image: Entry, where: str, what: str) -> Entry:
    """Run lengths of a mask as large as its image, as numbers or as compressed text, each under a key of its own."""
    size, counts = given["size"], given["counts"]
    if numbers(size, 2, where, f"{what}: size") != [image["height"], image["width"]]:
        raise SourceError(
            f"{where}: {what} is a mask of [height, width] {size}, its image {image['image_id']} is"
            f" {[image['height'], image['width']]}. Make the mask anew for this image."
        )
    if isinstance(counts, str):
        return {"size": size, "counts": [], "compressed": counts}
    runs = numbers(counts, None, where, f"{what}: counts")
    if not all(type(run) is int and run >= 0 for run in runs):
        raise SourceError(f"{where}: {what}: counts is {runs!r:.80}, not run lengths, integers from 0 on.")
    if sum(runs) != size[0] * size[1]:
        raise SourceError(f"{where}: {what} covers {sum(runs)} pixels, its size {size} has {size[0] * size[1]}.")
    return {"size": size, "counts": runs, "compressed": None}
