"""What an annotation file must be before we believe it: every check names the file, the entry and both values."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from ...errors import SourceError
from .options import some

Entry = dict[str, Any]


def parse_json(data: bytes, where: str) -> dict[str, Any]:
    """The top-level object; raises SourceError, with line and column, for what is no JSON, or holds NaN."""

    def refuse(constant: str) -> NoReturn:
        raise SourceError(f"{where} holds {constant}, which is no number; repair the annotation.")

    try:
        body = json.loads(data, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise SourceError(
            f"{where}: broken JSON at line {error.lineno}, column {error.colno}: {error.msg}. Cut short? Load it again."
        ) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise SourceError(f"{where} is no JSON: {error}.") from error
    if not isinstance(body, dict) or not isinstance(body.get("images"), list):
        raise SourceError(f"{where} has no list 'images'; it is no COCO annotation file.")
    return body


def entries(body: Mapping[str, Any], name: str, where: str) -> list[Entry]:
    """A list of objects, each with an id of its own."""
    found = body.get(name, [])
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise SourceError(f"{where}: {name!r} is no list of objects.")
    seen: set[int] = set()
    for entry in found:
        number = whole(entry, "id", where, name)
        if number in seen:
            raise SourceError(f"{where}: {name} id {number} stands there twice; ids must be unique.")
        seen.add(number)
    return found


def whole(entry: Entry, name: str, where: str, what: str) -> int:
    """A required integer."""
    value = entry.get(name)
    if type(value) is not int:
        raise SourceError(f"{where}: {what} {entry.get('id')}: {name} is {value!r}, not an integer.")
    return value


def text(entry: Entry, name: str, where: str, what: str) -> str:
    """A required text."""
    value = entry.get(name)
    if not isinstance(value, str):
        raise SourceError(f"{where}: {what} {entry.get('id')}: {name} is {value!r}, not a text.")
    return value


def numbers(values: Any, count: int | None, where: str, what: str) -> list[int | float]:
    """A list of finite numbers, of a given length where ``count`` says one."""
    good = isinstance(values, list) and all(type(v) in (int, float) and math.isfinite(v) for v in values)
    if not good or (count is not None and len(values) != count):
        raise SourceError(f"{where}: {what} is {values!r:.80}, not {count or 'a list of'} finite numbers.")
    return list(values)


def check_annotations(annotations: list[Entry], images: Mapping[int, Entry], where: str) -> None:
    """Ids from 1 on (the official evaluator takes 0 for 'unmatched'), and each for a known image."""
    for entry in annotations:
        if entry["id"] < 1:
            raise SourceError(
                f"{where}: annotation id {entry['id']}: ids must be 1 or more, since the official evaluator takes 0 for"
                " 'not matched' and scores wrongly. Number them anew."
            )
    lost = [entry for entry in annotations if whole(entry, "image_id", where, "annotation") not in images]
    if lost:
        raise SourceError(
            f"{where}: {len(lost):,} annotations are of images that 'images' does not list, the first id {lost[0]['id']}"
            f" of image {lost[0]['image_id']}. Add the images, or take the annotations out."
        )


def check_object(entry: Entry, categories: Iterable[int], where: str) -> None:
    """Box, area, crowd flag and category of one object."""
    what = f"annotation {entry['id']}"
    if whole(entry, "category_id", where, "annotation") not in categories:
        raise SourceError(f"{where}: {what} has category {entry['category_id']}, which 'categories' does not list.")
    numbers(entry.get("bbox"), 4, where, f"{what}: bbox")
    numbers([entry.get("area")], 1, where, f"{what}: area")
    if entry.get("iscrowd", 0) not in (0, 1):
        raise SourceError(f"{where}: {what}: iscrowd is {entry['iscrowd']!r}, not 0 or 1.")


def odd_shapes(objects: Iterable[Entry], where: str) -> list[str]:
    """Notes on what is kept as given, though a detector will trip over it."""
    flat, thin = [], []
    for entry in objects:
        if min(entry["bbox"][2:]) <= 0:
            flat.append(entry["id"])
        if any(len(polygon) < 6 or len(polygon) % 2 for polygon in entry["polygons"]):
            thin.append(entry["id"])
    notes = []
    if flat:
        notes.append(f"{where}: {len(flat):,} boxes without width or height, kept as given: ids {some(map(str, flat))}")
    if thin:
        notes.append(
            f"{where}: {len(thin):,} objects with polygons of fewer than 3 points or half a point, kept as given:"
            f" ids {some(map(str, thin))}"
        )
    return notes
