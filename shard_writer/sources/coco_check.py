"""What an annotation file must be before we believe it: every check names the file, the entry and both values."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from ...errors import SourceError

Entry = dict[str, Any]
_NUMBERS = {int, float}
_INT64 = 1 << 63


def load_json(data: bytes, where: str) -> Any:
    """What a file says; raises SourceError, with line and column, for what is no JSON, or holds NaN."""

    def refuse(constant: str) -> NoReturn:
        raise SourceError(f"{where} holds {constant}, which is no number; repair the annotation.")

    try:
        return json.loads(data, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise SourceError(
            f"{where}: broken JSON at line {error.lineno}, column {error.colno}: {error.msg}. Cut short? Load it again."
        ) from error
    except (ValueError, RecursionError) as error:  # not UTF-8, a number of 5,000 digits, lists a thousand deep
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"{where} is no JSON that can be read: {error}.") from error


def parse_json(data: bytes, where: str) -> dict[str, Any]:
    """The top-level object of an annotation file; raises SourceError as ``load_json`` and for another form."""
    body = load_json(data, where)
    if not isinstance(body, dict) or not isinstance(body.get("images"), list):
        raise SourceError(f"{where} has no list 'images'; it is no COCO annotation file.")
    return body


def entries(body: Mapping[str, Any], name: str, where: str, key: str = "id") -> list[Entry]:
    """A list of objects, each with an id of its own under ``key``."""
    found = body.get(name, [])
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise SourceError(f"{where}: {name!r} is no list of objects.")
    seen: set[int] = set()
    for entry in found:
        number = whole(entry, key, where, name)
        if number in seen:
            raise SourceError(f"{where}: {name} {key} {number} stands there twice; ids must be unique.")
        seen.add(number)
    return found


def whole(entry: Entry, name: str, where: str, what: str) -> int:
    """A required integer of at most 64 bits."""
    value = entry.get(name)
    if type(value) is not int or not -_INT64 <= value < _INT64:
        raise SourceError(f"{where}: {what} {_id(entry)}: {name} is {value!r:.40}, not an integer of 64 bits.")
    return value


def text(entry: Entry, name: str, where: str, what: str) -> str:
    """A required text."""
    value = entry.get(name)
    if not isinstance(value, str):
        raise SourceError(f"{where}: {what} {_id(entry)}: {name} is {value!r:.80}, not a text.")
    return value


def _id(entry: Entry) -> Any:
    """What names an entry in a message: VQA's have a ``question_id``."""
    return entry.get("id", entry.get("question_id"))


def numbers(values: Any, count: int | None, where: str, what: str) -> list[int | float]:
    """A list of finite numbers, of a given length where ``count`` says one; the list itself, not a copy."""
    if not isinstance(values, list) or not _finite(values) or (count is not None and len(values) != count):
        raise SourceError(f"{where}: {what} is {values!r:.80}, not {count or 'a list of'} finite numbers.")
    return values


def _finite(values: list[Any]) -> bool:
    """Sums are quick, and not finite where a part is not: a set has 40 million coordinates. True is no number."""
    if not _NUMBERS.issuperset(map(type, values)):
        return False
    try:
        return math.isfinite(sum(values))
    except OverflowError:
        return False


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
