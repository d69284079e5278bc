"""One split of EMOTIC as records: persons per image, boxes by the official rule, votes, and notes on what is odd."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import SourceError
from .emotic_facts import AGES, CATEGORIES, DIMENSIONS, GENDERS, NUMBER, SCALE
from .emotic_raw import Rating, RawImage, RawPerson, grouped

_ROUNDED = 0.5 + 1e-6
"""The file's own combination is the mean of all annotators, rounded to a whole number."""


@dataclass(slots=True)
class EmoticRecords:
    """One split's annotations, by path, in the file's order."""

    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Path -> the sample's JSON."""
    persons: int = 0
    rated: int = 0
    """Persons that the published converter keeps."""
    oddities: dict[str, list[str]] = field(default_factory=dict)
    """What is odd -> where, in order."""

    def notes(self) -> Iterator[str]:
        """One line per kind of oddity: how many, what, the first of them."""
        for what, places in self.oddities.items():
            yield f"{len(places):,} {what}, such as {places[0]}"

    def odd(self, what: str, where: str) -> None:
        """Count one."""
        self.oddities.setdefault(what, []).append(where)


def make_records(given: Sequence[RawImage]) -> EmoticRecords:
    """Records of a split; raises SourceError, with image and person, for what no reader could use."""
    made = EmoticRecords()
    images = grouped(given)
    for path, times in Counter(image.path for image in given).items():
        if times > 1:
            made.odd("images stand in the file more than once, their persons are joined", path)
    for image in images:
        made.images[image.path] = _image(image, made)
    return made


def _image(image: RawImage, made: EmoticRecords) -> dict[str, Any]:
    record: dict[str, Any] = {
        "folder": image.folder,
        "file_name": image.file,
        "original_database": image.database,
        "original_image_id": image.image_id,
        "original_annotation_ids": list(image.annotation_ids),
        "width": image.width,
        "height": image.height,
        "persons": [],
        "dropped_persons": [],
    }
    for number, raw in enumerate(image.persons):
        person = _person(number, raw, image, made)
        record["persons" if person["bbox"] else "dropped_persons"].append(person)
    for name in image.unkept:
        made.odd(f"images have a field {name}, which is left out", image.where)
    if not image.persons:
        made.odd("images have no person, kept", image.where)
    boxes = Counter(raw.box for raw in image.persons)
    for raw in image.persons:
        if boxes[raw.box] > 1:
            made.odd("persons share their box with another of the same image, kept", raw.where)
    return record


def _person(number: int, raw: RawPerson, image: RawImage, made: EmoticRecords) -> dict[str, Any]:
    if len(raw.box) != 4 or not all(map(math.isfinite, raw.box)):
        raise SourceError(f"{raw.where}: the box is {list(raw.box)}, not x1, y1, x2, y2. Repair or remove the person.")
    bbox = clean_box(raw.box, image.width, image.height)
    vad = raw.vad if raw.vad is not None else mean_vad(raw.annotators)
    person: dict[str, Any] = {
        "person": number,
        "body_bbox": list(raw.box),
        "bbox": bbox,
        "categories": _numbers_of(_combined(raw), raw.where),
        "votes": _votes(raw),
        "vad": _nullable(vad),
        "annotators": [
            {"categories": _numbers_of(one.categories, raw.where), "vad": _nullable(one.vad)} for one in raw.annotators
        ],
        "gender": raw.gender,
        "age": raw.age,
    }
    made.persons += 1
    made.rated += not any(map(math.isnan, vad)) and _published_crop(raw.box, image)
    _note_ratings(raw, vad, person, made)
    _note_box(raw, image, bbox, made)
    return person if bbox else person | {"reason": _reason(raw.box, image)}


def clean_box(box: Sequence[float], width: int, height: int) -> list[int] | None:
    """Half-open pixels of a MATLAB box, cut to the picture; None where nothing is left.

    The authors' rule (github.com/rkosti/emotic, GetImagePatches), after putting swapped corners in order:
    ``x1' = max(1, x1) - 1``, ``x2' = min(x2, width)``, likewise y; fractions are dropped, as Torch's ``image.crop`` does.
    """
    (left, right), (top, bottom) = sorted(box[0::2]), sorted(box[1::2])
    cleaned = [int(max(1, left)) - 1, int(max(1, top)) - 1, int(min(right, width)), int(min(bottom, height))]
    return cleaned if cleaned[0] < cleaned[2] and cleaned[1] < cleaned[3] else None


def mean_vad(annotators: Sequence[Rating]) -> tuple[float, ...]:
    """Arithmetic mean per dimension; NaN where an annotator gave none, as MATLAB's ``mean`` has it."""
    if not annotators:
        return (math.nan,) * len(DIMENSIONS)
    return tuple(math.fsum(values) / len(annotators) for values in zip(*(one.vad for one in annotators), strict=True))


def _published_crop(box: Sequence[float], image: RawImage) -> bool:
    """Whether the published converter's crop holds a pixel; it does not put swapped corners in order."""
    x1, y1, x2, y2 = (int(min(most, max(0, x))) for x, most in zip(box, (image.width, image.height) * 2, strict=True))
    return x1 < x2 and y1 < y2


def _combined(raw: RawPerson) -> Sequence[str]:
    if raw.categories is not None:
        return raw.categories
    return [name for one in raw.annotators for name in one.categories]


def _votes(raw: RawPerson) -> list[int]:
    votes = Counter(name for one in raw.annotators for name in set(one.categories))
    return [votes[name] for name in CATEGORIES]


def _numbers_of(names: Sequence[str], where: str) -> list[int]:
    unknown = [name for name in names if name not in NUMBER]
    if unknown:
        raise SourceError(
            f"{where}: category {unknown[0]!r} is not one of EMOTIC's 26 ({', '.join(CATEGORIES[:3])} ...). Correct it."
        )
    return sorted({NUMBER[name] for name in names})


def _nullable(vad: Sequence[float]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in vad]


def _reason(box: Sequence[float], image: RawImage) -> str:
    (left, right), (top, bottom) = sorted(box[0::2]), sorted(box[1::2])
    outside = right < 1 or bottom < 1 or left > image.width or top > image.height
    return "the box lies outside the image" if outside else "the box has no area"


def _note_box(raw: RawPerson, image: RawImage, bbox: list[int] | None, made: EmoticRecords) -> None:
    x1, y1, x2, y2 = raw.box
    if x2 < x1 or y2 < y1:
        made.odd("boxes have swapped corners, put in order", raw.where)
    if bbox is None:
        made.odd("persons have an empty box, kept under dropped_persons", raw.where)
    elif min(x1, x2, y1, y2) < 0 or max(x1, x2) > image.width or max(y1, y2) > image.height:
        made.odd("boxes leave their image, cut to it", raw.where)


def _note_ratings(raw: RawPerson, vad: Sequence[float], person: dict[str, Any], made: EmoticRecords) -> None:
    said = [value for one in raw.annotators for value in one.vad]
    if any(map(_outside, vad)) or any(map(math.isinf, said)):
        raise SourceError(
            f"{raw.where}: valence, arousal, dominance are {list(vad)} of {said}; the scale is {SCALE[0]} to {SCALE[1]}."
            " Correct them."
        )
    if any(map(math.isnan, vad)):
        made.odd("persons have no full rating (NaN in valence, arousal or dominance), kept as null", raw.where)
    if any(map(_outside, said)):
        made.odd(f"persons have an annotator's rating outside {SCALE[0]} to {SCALE[1]}, kept as given", raw.where)
    if not person["categories"]:
        made.odd("persons have no category, kept", raw.where)
    if {number for number, count in enumerate(person["votes"]) if count} != set(person["categories"]):
        made.odd("persons have combined categories that are not the union of all annotators', kept as given", raw.where)
    if any(abs(mine - mean) > _ROUNDED for mine, mean in zip(vad, mean_vad(raw.annotators), strict=True)):
        made.odd(
            "persons have a combined rating that is not the rounded mean of all annotators', kept as given", raw.where
        )
    if raw.gender not in (None, *GENDERS) or raw.age not in (None, *AGES):
        made.odd("persons have another gender or age than published, kept as given", raw.where)


def _outside(value: float) -> bool:
    return not (math.isnan(value) or SCALE[0] <= value <= SCALE[1])
