"""One split of a Hugging Face set: rows become samples, image bytes are copied raw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import SourceError
from ..types import Json, Record, Sample, SplitInfo
from .hf_features import Roles
from .hf_tables import Table
from .options import OVERHEAD, free_name

_LOOKED_AT = 64


@dataclass(frozen=True, slots=True)
class HfSplit:
    """One split of a Hugging Face set."""

    table: Table
    name: str
    where: str
    roles: Roles
    classes: tuple[str, ...]
    """Names of the label's classes; empty where there is no label."""
    labelled: str
    """``all``, ``some`` or ``none`` of the rows have a label. With ``some`` the column is nullable and there is no
    ``cls`` member, which must never be null; with ``none`` there is no column either."""
    image_field: str
    shuffle: bool
    """Pack in a shuffled order."""

    @property
    def info(self) -> SplitInfo:
        columns = {"label": "int64"} if self.labelled != "none" else {}
        label_column = "label" if self.labelled == "all" else None
        return SplitInfo(
            name=self.name,
            image_field=self.image_field,
            columns=columns,
            label_column=label_column,
            shuffle=self.shuffle,
        )

    def records(self) -> Sequence[Record]:
        sizes = self.table.image_sizes(self.roles.image)
        return [Record(f"{_key(self.name)}-{row:08d}", size + OVERHEAD, row) for row, size in enumerate(sizes)]

    def read(self, record: Record) -> Sample:
        row = self.table.row(record.where)
        place = f"{self.where}, split {self.name!r}, row {record.where}"
        fields: dict[str, Json] = {"row": record.where}
        label = None
        if self.roles.label:
            label = label_of(row[self.roles.label], len(self.classes), place)
            fields |= {"label": label, "label_name": None if label is None else self.classes[label]}
        for name in self.roles.others:
            if not name == self.roles.label == "label":
                fields[free_name(name, fields)] = plain(row[name], name, place)
        return Sample(
            key=record.key,
            image=image_bytes(row[self.roles.image], self.roles.image, place),
            annotations=fields,
            label=label if self.labelled == "all" else None,
            columns={"label": label} if self.labelled != "none" else {},
        )


def _key(split: str) -> str:
    return split.replace(".", "_")


def label_of(value: Any, classes: int, place: str) -> int | None:
    """A class label; None for null and for the -1 that Hugging Face writes for hidden labels."""
    if value is None or value == -1:
        return None
    if type(value) is not int or not 0 <= value < classes:
        raise SourceError(f"{place}: label {value!r} is not in 0..{classes - 1}.")
    return value


def image_bytes(value: Any, column: str, place: str) -> bytes:
    """The encoded image of a row; SourceError where the row holds none."""
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes) or not data:
        path = value.get("path") if isinstance(value, dict) else None
        raise SourceError(
            f"{place}: column {column!r} holds no image bytes (path {path!r}); embed the images before packing."
        )
    return data


def plain(value: Any, column: str, place: str) -> Json:
    """A value as JSON; NaN becomes null. SourceError for bytes, dates and whatever else JSON lacks."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [plain(item, column, place) for item in value]
    if isinstance(value, dict):
        return {str(name): plain(item, column, place) for name, item in value.items()}
    raise SourceError(
        f"{place}: column {column!r} holds {type(value).__name__}, which JSON lacks. Drop or convert the column."
    )


def image_field(table: Table, column: str) -> str:
    """``png`` or ``webp`` where the first 64 rows all are, else ``jpg``. Bytes are stored as they are in any case."""
    kinds = set()
    for index in range(min(_LOOKED_AT, table.rows)):
        data = image_bytes(table.row(index)[column], column, f"row {index}")
        kinds.add("png" if data[:8] == b"\x89PNG\r\n\x1a\n" else "webp" if data[8:12] == b"WEBP" else "jpg")
    return kinds.pop() if len(kinds) == 1 else "jpg"
