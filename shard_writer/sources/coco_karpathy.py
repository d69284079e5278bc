"""Karpathy's split of the 2014 images: train, restval, val, test. https://cs.stanford.edu/people/karpathy/deepimagesent"""

from __future__ import annotations

from typing import Any

from ...errors import SourceError
from .coco_check import parse_json
from .coco_files import CocoFiles

PARTS = ("train", "restval", "val", "test")


def karpathy_of(files: CocoFiles) -> dict[int, str]:
    """``read_karpathy`` of the file below a source; nothing where there is none."""
    place = files.karpathy()
    return {} if place is None else read_karpathy(files.read_json(place), place.name)


def read_karpathy(data: bytes, where: str) -> dict[int, str]:
    """Image id -> part; the 2017 files hold the same ids. Raises SourceError for a file of another form."""
    found: dict[int, str] = {}
    for number, entry in enumerate(parse_json(data, where)["images"]):
        image, part = _entry(entry, f"{where}: entry {number} of 'images'")
        if found.setdefault(image, part) != part:
            raise SourceError(f"{where}: image {image} is in {found[image]!r} and in {part!r}; it must be in one.")
    return found


def _entry(entry: Any, what: str) -> tuple[int, str]:
    image, part = (entry.get("cocoid"), entry.get("split")) if isinstance(entry, dict) else (None, None)
    if type(image) is not int or part not in PARTS:
        raise SourceError(
            f"{what} has cocoid {image!r} and split {part!r}, not an image id and one of {', '.join(PARTS)}."
        )
    return image, part
