"""Published lists of images: ``train/n01440764/n01440764_10026.JPEG 0``, one a line."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..shard_writer.storage import Store
from .selection import named

if TYPE_CHECKING:
    from .base import Dataset

I64 = NDArray[np.int64]
_LABEL = re.compile(r"(.*\S)\s+(\d+)")
_UNSAFE = re.compile(r"[.\\\x00-\x1f\x7f]")


def read_lines(source: str | os.PathLike[str]) -> tuple[str, ...]:
    """Lines of a text file on disk or at an address."""
    folder, slash, name = os.fspath(source).rpartition("/")
    store = Store(folder or slash or ".")
    try:
        return tuple(store.read(name).decode().splitlines())
    except FileNotFoundError as error:
        raise OptionError(f"there is no list {store.full(name)}; check the address, or give its lines.") from error
    except UnicodeDecodeError as error:
        raise OptionError(f"{store.full(name)} is no text: {error}") from error


@dataclass(frozen=True, slots=True)
class Listed:
    """A subset by its lines."""

    lines: Sequence[str] = field(repr=False)

    def __call__(self, ds: Dataset) -> I64:
        return listed_rows(ds, self.lines)


def listed_rows(ds: Dataset, lines: Sequence[str]) -> I64:
    """Rows (n,), ascending, that the lines name; raises OptionError where lines and rows disagree."""
    keys = ds.index_columns(["key"])["key"].to_pylist()
    known = {key: row for row, key in enumerate(keys)}
    if len(known) < len(keys):
        raise OptionError(
            "parts of the mixture hold the same keys, so a list of them is ambiguous; select in each part."
        )
    given = [line.strip() for line in lines if line.strip()]
    found = [_found(line, known) for line in given]
    lost = [line for line, (row, _) in zip(given, found, strict=True) if row < 0]
    if lost:
        raise OptionError(
            f"of {len(given):,} lines, {named(lost, 'line')} no key of {ds.info.name!r} (like {keys[:1]})."
        )
    rows = np.array([row for row, _ in found], dtype=np.int64)
    labels = np.array([label for _, label in found], dtype=np.int64)
    chosen, times = np.unique(rows, return_counts=True)
    if (times > 1).any():
        twice = [keys[row] for row in chosen[times > 1].tolist()]
        raise OptionError(f"{named(twice, 'key')} listed more than once; a sampler repeats samples, select does not.")
    _check_labels(ds, rows, labels, given)
    return chosen


def _found(line: str, known: dict[str, int]) -> tuple[int, int]:
    """Row and label of a line, -1 where there is none."""
    if line in known:
        return known[line], -1
    match = _LABEL.fullmatch(line)
    path, label = (match[1], int(match[2])) if match else (line, -1)
    if path in known:
        return known[path], label
    stem, dot, extension = path.rpartition(".")
    stem = _UNSAFE.sub("_", stem if dot and "/" not in extension else path)  # as keys are made of paths
    while stem not in known:
        _, slash, stem = stem.partition("/")
        if not slash:
            return -1, label
    return known[stem], label


def _check_labels(ds: Dataset, rows: I64, labels: I64, lines: Sequence[str]) -> None:
    """Labels that the list states are those of the index, where the index has some."""
    if ds.info.label_column is None or not len(rows):
        return
    mine = ds.column(ds.info.label_column)[rows]
    wrong = np.flatnonzero((labels >= 0) & (labels != mine))
    if len(wrong):
        raise OptionError(
            f"{len(wrong):,} of {len(lines):,} lines state another label than the index, the first {lines[wrong[0]]!r}, which"
            f" is {mine[wrong[0]]} here: the list counts classes in another order."
        )
