"""``metadata.csv`` and ``metadata.jsonl`` beside images: one row per image, every column of one type."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Never

from ...errors import SourceError
from ..storage import Store
from .options import some

NAMES = ("metadata.csv", "metadata.jsonl")
FILE = "file_name"
# "007" and "+5" are codes, not numbers: they would not come back as they were written.
_INT = re.compile(r"-?(0|[1-9]\d{0,17})")
_FLOAT = re.compile(r"-?(\d+\.\d*|\.\d+|\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True, slots=True)
class Metadata:
    """Rows by image path (relative to the source), each a tuple of values in the order of ``columns``."""

    columns: tuple[str, ...]
    rows: Mapping[str, tuple[Any, ...]]

    def column(self, name: str) -> list[Any]:
        place = self.columns.index(name)
        return [row[place] for row in self.rows.values()]


def read_metadata(store: Store, path: str) -> Metadata:
    """Read a metadata file; ``file_name`` is relative to its folder.

    Empty CSV cells and absent JSON keys are null. Raises SourceError for an unreadable file, a missing or repeated
    ``file_name``, a path that leaves the folder, or a column of two types.
    """
    where = store.full(path)
    try:
        text = store.read(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{where}: not UTF-8 text ({error}). Save it as UTF-8.") from error
    columns, rows = (_csv if path.endswith(".csv") else _jsonl)(text, where)
    if FILE not in columns:
        raise SourceError(f"{where}: there is no column {FILE!r}; columns are {some(columns, 12)}.")
    typed = {name: _typed([row[i] for row in rows], name, where) for i, name in enumerate(columns) if name != FILE}
    folder = path.rpartition("/")[0]
    files = [
        _file(row[columns.index(FILE)], folder, f"{where}, row {number}") for number, row in enumerate(rows, start=1)
    ]
    if repeated := sorted({file for file in files if files.count(file) > 1} if len(set(files)) < len(files) else ()):
        raise SourceError(
            f"{where}: {len(repeated)} files stand in several rows: {some(repeated)}; one image has one row."
        )
    values = zip(*typed.values(), strict=True) if typed else (() for _ in files)
    return Metadata(tuple(typed), dict(zip(files, values, strict=True)))


def _csv(text: str, where: str) -> tuple[list[str], list[list[Any]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[list[Any]] = []
    try:
        columns = next(reader, [])
        for row in reader:
            if row and len(row) != len(columns):
                raise SourceError(f"{where}, line {reader.line_num}: {len(row)} cells, the heading has {len(columns)}.")
            if row:
                rows.append([cell if cell != "" else None for cell in row])
    except csv.Error as error:
        raise SourceError(f"{where}, line {reader.line_num}: no well-formed CSV ({error}).") from error
    if len(set(columns)) != len(columns):
        raise SourceError(f"{where}: a column name stands twice in {some(columns, 20)}.")
    return columns, [[_from_text(cell) for cell in row] for row in _by_column(rows, len(columns))]


def _by_column(rows: Sequence[list[Any]], width: int) -> list[list[Any]]:
    """Mark each cell with the one type of its column: int where all cells are, else float, else text."""
    kinds = [_kind([row[i] for row in rows]) for i in range(width)]
    return [[None if cell is None else (kinds[i], cell) for i, cell in enumerate(row)] for row in rows]


def _kind(cells: Sequence[str | None]) -> type:
    held = [cell for cell in cells if cell is not None]
    if held and all(_INT.fullmatch(cell) for cell in held):
        return int
    numbers = held and all(_FLOAT.fullmatch(cell) and not re.match(r"-?0\d", cell) for cell in held)
    return float if numbers and all(math.isfinite(float(cell)) for cell in held) else str


def _from_text(cell: tuple[type, str] | None) -> Any:
    return None if cell is None else cell[0](cell[1])


def _jsonl(text: str, where: str) -> tuple[list[str], list[list[Any]]]:
    found: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{where}, line {number}: no JSON ({error}).") from error
        if not isinstance(row, dict):
            raise SourceError(f"{where}, line {number}: a {type(row).__name__}, expected an object.")
        found.append(row)
    columns = list(dict.fromkeys(name for row in found for name in row))
    return columns, [[row.get(name) for name in columns] for row in found]


def _no_constant(text: str) -> Never:
    raise ValueError(f"{text} is not JSON; write null")


def _typed(values: list[Any], name: str, where: str) -> list[Any]:
    """The values of a column with one type; whole numbers among floats become floats."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    if len(kinds) > 1:
        raise SourceError(
            f"{where}: column {name!r} mixes {' and '.join(sorted(k.__name__ for k in kinds))}; give it one type."
        )
    return values


def _file(value: Any, folder: str, place: str) -> str:
    if not isinstance(value, str) or not value or value.startswith("/") or ".." in value.split("/") or "\\" in value:
        raise SourceError(f"{place}: {FILE} {value!r} must be a relative path with '/' below the metadata's folder.")
    clean = "/".join(part for part in value.split("/") if part not in ("", "."))
    return f"{folder}/{clean}" if folder else clean
