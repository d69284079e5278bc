"""``Annotations.mat``: struct arrays train, val and test, one element per image.

    filename, folder, image_size {n_col, n_row}, original_database {name, info}, person[1..P]
    person of train:        body_bbox, annotations_categories, annotations_continuous, gender, age
    person of val and test: ... and combined_categories, combined_continuous; annotations_*[1..K], an annotator each

``n_col`` is the width; readers that take the first of ``image_size`` for the rows are wrong by name only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

from ...errors import SourceError
from .emotic_facts import DIMENSIONS, SPLITS
from .emotic_matlab import load_mat, need, number, numbers, struct, structs, text, texts
from .emotic_raw import Rating, RawImage, RawPerson, checked_path, pixels
from .options import some

_IMAGE = ("filename", "folder", "image_size", "person")
_PERSON = ("body_bbox", "annotations_categories", "annotations_continuous")
_PERSON_ALL = {*_PERSON, "combined_categories", "combined_continuous", "gender", "age"}
_NOTHING = (math.nan,) * len(DIMENSIONS)


def read_mat(data: bytes, where: str) -> dict[str, list[RawImage]]:
    """Split -> images in the file's order; an image that stands there twice is there twice.

    Raises SourceError, with split and image, for a .mat of another dataset.
    """
    variables = load_mat(data, where)
    if not any(split in variables for split in SPLITS):
        raise SourceError(
            f"{where} holds {some(variables)}; EMOTIC's Annotations.mat holds {', '.join(SPLITS)}. Is it of another dataset?"
        )
    return {split: list(_images(variables[split], f"{where}: {split}")) for split in SPLITS if split in variables}


def _images(value: Any, where: str) -> Iterator[RawImage]:
    for position, fields in enumerate(structs(value, where)):
        place = f"{where}, element {position + 1}"
        need(fields, _IMAGE, place)
        folder, file = checked_path(
            text(fields["folder"], f"{place}: folder") or "",
            text(fields["filename"], f"{place}: filename") or "",
            place,
        )
        yield _image(fields, folder, file, f"{where}, {folder}/{file}")


def _image(fields: Mapping[str, Any], folder: str, file: str, where: str) -> RawImage:
    size = struct(fields["image_size"], f"{where}: image_size")
    need(size, ("n_col", "n_row"), f"{where}: image_size")
    database, info = _origin(fields.get("original_database"), f"{where}: original_database")
    persons = list(structs(fields["person"], f"{where}: person"))
    images, annotations = _ids(info.get("image_id")), _ids(info.get("annotations_id"))
    return RawImage(
        where=where,
        folder=folder,
        file=file,
        width=pixels(number(size["n_col"], f"{where}: n_col"), "n_col", where),
        height=pixels(number(size["n_row"], f"{where}: n_row"), "n_row", where),
        database=database,
        image_id=images[0] if len(images) == 1 else None,
        annotation_ids=annotations,
        persons=tuple(_person(one, f"{where}, person {position}") for position, one in enumerate(persons)),
        unkept=(
            *sorted(fields.keys() - {*_IMAGE, "original_database"}),
            *sorted(f"original_database.info.{name}" for name in info.keys() - _kept(images, annotations)),
            *sorted(f"person.{name}" for name in {key for one in persons for key in one} - _PERSON_ALL),
        ),
    )


def _origin(value: Any, what: str) -> tuple[str | None, Mapping[str, Any]]:
    """Name of the original database, and what ``info`` tells of the image there."""
    fields = {} if value is None else next(structs(value, what), {})
    info = fields.get("info")
    known = next(structs(info, f"{what}.info"), {}) if getattr(getattr(info, "dtype", None), "names", None) else {}
    return text(fields["name"], f"{what}.name") if "name" in fields else None, known


def _kept(images: tuple[int, ...], annotations: tuple[int, ...]) -> set[str]:
    return ({"image_id"} if len(images) == 1 else set()) | ({"annotations_id"} if annotations else set())


def _ids(value: Any) -> tuple[int, ...]:
    """Whole numbers; nothing where they are names."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf":
        return ()
    found = numbers(value, "ids")
    return tuple(int(item) for item in found) if all(item.is_integer() for item in found) else ()


def _person(fields: Mapping[str, Any], where: str) -> RawPerson:
    need(fields, _PERSON, where)
    combined = fields.get("combined_categories")
    together = _vads(fields.get("combined_continuous"), f"{where}: combined_continuous")
    if len(together) > 1:
        raise SourceError(f"{where}: combined_continuous holds {len(together)} structs, expected one.")
    return RawPerson(
        where=where,
        box=numbers(fields["body_bbox"], f"{where}: body_bbox"),
        annotators=_annotators(
            _categories(fields["annotations_categories"], f"{where}: annotations_categories"),
            _vads(fields["annotations_continuous"], f"{where}: annotations_continuous"),
        ),
        categories=None if combined is None else texts(combined, f"{where}: combined_categories"),
        vad=together[0] if together else None,
        gender=text(fields["gender"], f"{where}: gender") if "gender" in fields else None,
        age=text(fields["age"], f"{where}: age") if "age" in fields else None,
    )


def _categories(value: Any, what: str) -> list[tuple[str, ...]]:
    found = list(structs(value, what))
    for one in found:
        need(one, ("categories",), what)
    return [texts(one["categories"], f"{what}.categories") for one in found]


def _vads(value: Any, what: str) -> list[tuple[float, ...]]:
    found = [] if value is None else list(structs(value, what))
    for one in found:
        need(one, DIMENSIONS, what)
    return [tuple(number(one[name], f"{what}.{name}") for name in DIMENSIONS) for one in found]


def _annotators(categories: Sequence[tuple[str, ...]], vads: Sequence[tuple[float, ...]]) -> tuple[Rating, ...]:
    """Pair by position; one who gave only one of the two has no category, or NaN."""
    return tuple(Rating(named or (), vad or _NOTHING) for named, vad in zip_longest(categories, vads))
