"""What other folders say of a source's images, joined by image id.

a source's images     the joined folders, all their splits
    42 ──────────────── 42 in instances_train2017.json ──> one record with questions, objects, captions
    58                                                 ──> the same keys, empty; the joined index columns are null
                        99 in instances_val2017.json   ──> left out, counted in a note
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import SourceError
from .coco_files import CocoFiles, Place
from .coco_records import LINKS

_NAME = re.compile(r"(?:COCO_(\w+?)_)?0*(\d+)")
_IDS = ("question_id", "answer_id", "id")


@dataclass(frozen=True, slots=True)
class Part:
    """What the joined files say of one image."""

    file_name: str
    data: bytes
    """JSON of the keys that the image's record gets."""
    absent: tuple[str, ...]
    """Joined index columns that nothing is known of."""
    items: int
    """Objects, captions or questions in it."""


@dataclass(frozen=True, slots=True)
class Joined:
    """All that the joined folders hold."""

    parts: Mapping[int, Part] = field(default_factory=dict)
    """By image id."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Index columns, declared for every split."""
    unlisted: tuple[str, ...] = ()
    """Those that are null for an image that the joined files do not list."""
    empty: bytes = b""
    """JSON keys of an image that the joined files do not list."""
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    class_ids: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    karpathy: Mapping[int, str] = field(default_factory=dict)
    identity: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def of(self, number: int, file: str) -> tuple[bytes, tuple[str, ...]]:
        """The JSON that an image gets, and its null columns; raises SourceError where it is another image's."""
        part = self.parts.get(number)
        if part is None:
            return self.empty, self.unlisted
        _check_same_file(number, file, part.file_name)
        return part.data, part.absent

    def told(self, splits: Mapping[str, Collection[int]]) -> Iterator[str]:
        """Notes: what was odd, whose images are not all listed, and what belongs to no image here."""
        if not self.columns:
            return
        yield from self.notes
        for name, images in splits.items():
            listed = sum(number in self.parts for number in images)
            if listed < len(images):
                yield f"{name}: {listed:,} of {len(images):,} images are in joined files, the others' columns are null"
        here = set().union(*splits.values())
        outside = [part for number, part in self.parts.items() if number not in here]
        if outside:
            yield (
                f"join: {len(outside):,} of the {len(self.parts):,} images in joined files are in no split here, left"
                f" out with {sum(part.items for part in outside):,} annotations"
            )


def collect(found: Iterable[tuple[int, Part]]) -> dict[int, Part]:
    """Parts by image; an image that two splits or folders list gets what both say, each annotation once.

    Raises SourceError where they contradict each other.
    """
    parts: dict[int, Part] = {}
    for number, part in found:
        known = parts.get(number)
        parts[number] = part if known is None else _both(number, known, part)
    return parts


def dump(value: Any) -> bytes:
    """JSON as it travels from plan to worker; raises SourceError for half a character."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        around = text[max(0, error.start - 60) : error.end + 60]
        raise SourceError(f"a text of the annotations holds half a character: {around!r}. Repair it.") from error


def digests(read: Iterable[tuple[CocoFiles, Place]]) -> dict[str, str]:
    """Identity of the joined files: name -> digest; of several with one name, all, in the order of the folders."""
    found: dict[str, list[str]] = {}
    for files, place in read:
        found.setdefault(f"joined {place.name}", []).append(files.digest(place))
    return {name: " ".join(values) for name, values in found.items()}


def _both(number: int, first: Part, second: Part) -> Part:
    _check_same_file(number, first.file_name, second.file_name)
    merged = _merged(json.loads(first.data), json.loads(second.data), f"image {number}")
    absent = tuple(name for name in first.absent if name in second.absent)
    items = sum(len(value) for value in merged.values() if isinstance(value, list))
    return Part(first.file_name, dump(merged), absent, items)


def _merged(first: Any, second: Any, what: str) -> Any:
    """Two values of one key; null and empty give way, lists of entries are joined by their ids."""
    if first == second or second in (None, []):
        return first
    if first in (None, []):
        return second
    if isinstance(first, dict) and isinstance(second, dict) and first.keys() == second.keys():
        return {
            # Addresses differ between the releases of 2014 and 2017, whose images are the same: the first stays.
            name: value if name in LINKS and value is not None else _merged(value, second[name], f"{what}: {name}")
            for name, value in first.items()
        }
    if _are_entries(first) and _are_entries(second):
        return _by_id(first, second, what)
    raise SourceError(
        f"{what} is {first!r:.80} in one joined file and {second!r:.80} in another. Join files of one release."
    )


def _are_entries(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


def _by_id(first: list[dict[str, Any]], second: list[dict[str, Any]], what: str) -> list[dict[str, Any]]:
    key = next(name for name in _IDS if name in first[0])
    known = {entry[key]: entry for entry in first}
    in_order = list(known) == sorted(known)
    for entry in second:
        number = entry[key]
        known[number] = _merged(known[number], entry, f"{what}: {key} {number}") if number in known else entry
    return [known[number] for number in (sorted(known) if in_order else known)]


def _check_same_file(number: int, file: str, other: str) -> None:
    """``COCO_val2014_000000000042.jpg`` is ``000000000042.jpg``, and not ``COCO_train2014_000000000042.jpg``."""
    (split, name), (other_split, other_name) = _named(file), _named(other)
    if name != other_name or (split and other_split and split != other_split):
        raise SourceError(
            f"image {number} is {file} in one file and {other} in a joined one: two images, or a wrong id. Join"
            " annotations of the same images."
        )


def _named(file: str) -> tuple[str, str]:
    """Split and number of an official name; no split and the whole stem of any other."""
    stem = file.rpartition("/")[2].rpartition(".")[0]
    match = _NAME.fullmatch(stem)
    return (match[1] or "", match[2]) if match else ("", stem)
