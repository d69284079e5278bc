"""The CSV form that the published converter writes: one row per person, lists written as Python literals.

    Index,Folder,Filename,Image Size,BBox,Categorical_Labels,Continuous_Labels,Gender,Age
    0,mscoco/images,COCO_val2014_000000562243.jpg,"[640, 640]","[86, 58, 564, 628]","['Peace']","[5, 3, 9]",Male,Adult

``Image Size`` is (width, height), whatever the converter calls it. Rows of val and test hold what all annotators
together said; the single voices are not in this form.
"""

from __future__ import annotations

import ast
import csv
import io
import math
from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import SourceError
from .emotic_facts import AGES, GENDERS
from .emotic_raw import Rating, RawImage, RawPerson, checked_path, grouped, pixels

COLUMNS = (
    "Index", "Folder", "Filename", "Image Size", "BBox", "Categorical_Labels", "Continuous_Labels", "Gender", "Age",
)  # fmt: skip
_LONGEST = 10_000
"""Characters of a list: 26 names in quotes take 400."""


def read_csv(data: bytes, where: str) -> list[RawImage]:
    """Images by first appearance, with the persons of all their rows in the order of the file.

    Raises SourceError, with the line, for other columns, rows cut short, and lists that are none.
    """
    return grouped(_image(row, place) for row, place in _rows(data, where))


def _rows(data: bytes, where: str) -> Iterator[tuple[dict[str, str], str]]:
    try:
        reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        header = next(reader, [])
        if sorted(header) != sorted(COLUMNS):
            raise SourceError(
                f"{where} has columns {', '.join(header)[:200] or 'none'}; EMOTIC's CSV has {', '.join(COLUMNS)}."
            )
        for fields in filter(None, reader):
            place = f"{where}, line {reader.line_num}"
            if len(fields) != len(header):
                raise SourceError(
                    f"{place} has {len(fields)} fields, the header {len(header)}. Cut short? Load it again."
                )
            yield dict(zip(header, fields, strict=True)), place
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{where} is no CSV that can be read: {error}. Cut short? Load it again.") from error


def _image(row: Mapping[str, str], where: str) -> RawImage:
    folder, file = checked_path(row["Folder"], row["Filename"], where)
    width, height = _numbers(row["Image Size"], 2, f"{where}: Image Size")
    return RawImage(
        where=where,
        folder=folder,
        file=file,
        width=pixels(width, "width", where),
        height=pixels(height, "height", where),
        database=folder.partition("/")[0] or None,
        image_id=None,
        annotation_ids=(),
        persons=(_person(row, where),),
    )


def _person(row: Mapping[str, str], where: str) -> RawPerson:
    said = Rating(
        _names(row["Categorical_Labels"], f"{where}: Categorical_Labels"),
        _numbers(row["Continuous_Labels"], 3, f"{where}: Continuous_Labels"),
    )
    return RawPerson(
        where=where,
        box=_numbers(row["BBox"], 4, f"{where}: BBox"),
        annotators=(said,),
        categories=None,
        vad=None,
        gender=_one_of(row["Gender"], GENDERS, f"{where}: Gender"),
        age=_one_of(row["Age"], AGES, f"{where}: Age"),
    )


def _numbers(text: str, count: int, what: str) -> tuple[float, ...]:
    found = _list(text.replace("nan", "None"), what)  # a NaN rating prints as nan, which is no literal
    if len(found) != count or not all(type(item) in (int, float) or item is None for item in found):
        raise SourceError(f"{what} is {text!r:.80}, not a list of {count} numbers.")
    return tuple(math.nan if item is None else _real(item) for item in found)


def _real(number: int | float) -> float:
    """A whole number of 400 digits is a valid literal, and no float."""
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _names(text: str, what: str) -> tuple[str, ...]:
    found = _list(text, what)
    if not all(isinstance(item, str) for item in found):
        raise SourceError(f"{what} is {text!r:.80}, not a list of names.")
    return tuple(found)


def _list(text: str, what: str) -> list[Any]:
    """A Python list of literals; nothing is evaluated."""
    try:
        found = ast.literal_eval(text) if len(text) <= _LONGEST else None
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise SourceError(
            f"{what} is {text!r:.80}, not a list as Python writes it. Cut short? Load it again."
        ) from error
    if not isinstance(found, list):
        raise SourceError(f"{what} is {text!r:.80}, not a list as Python writes it.")
    return found


def _one_of(text: str, known: tuple[str, ...], what: str) -> str | None:
    """A last row cut in the middle of a word has all its fields."""
    if text and text not in known:
        raise SourceError(f"{what} is {text!r}, not one of {', '.join(known)}. Cut short? Load it again.")
    return text or None
