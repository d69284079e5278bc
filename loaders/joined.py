"""Columns that were joined to an index: read as its own, hashed into the digest, given with batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from ..errors import OptionError
from ..shard_writer.index import SplitIndex
from ..shard_writer.manifest import IndexEntry

if TYPE_CHECKING:
    from .base import Dataset
    from .rowset import RowSet
    from .steps import Rows
    from .views import View

LABEL = "label"
"""A joined int64 column of this name labels a split that has no label."""
_NUMBERS: Mapping[str, tuple[Any, Any, Any]] = {
    "int64": (np.int64, -1, -1), "float64": (np.float64, np.nan, 0.0), "bool": (np.bool_, False, False),
}  # fmt: skip
"""Kind -> its type in a batch, what stands for null, what fills rows that only fill a batch."""


@dataclass(frozen=True, slots=True)
class JoinedIndex:
    """An index whose tables have more columns. Picklable."""

    packed: SplitIndex
    columns: pa.Table = field(repr=False)
    """A row for each of the whole split."""
    firsts: NDArray[np.int64] = field(repr=False)
    """(S + 1,) rows before each shard."""

    def shard_rows(self, shard: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows of one shard, in tar order."""
        return self._widened(self.packed.shard_rows(shard, self._packed(columns)), shard, columns)

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[tuple[IndexEntry, pa.Table]]:
        """The rows of one index file after another."""
        for entry, table in self.packed.tables(self._packed(columns)):
            yield entry, self._widened(table, entry.first_shard, columns)

    def _packed(self, columns: Sequence[str] | None) -> Sequence[str] | None:
        return None if columns is None else [name for name in columns if name not in self.columns.column_names]

    def _widened(self, table: pa.Table, shard: int, columns: Sequence[str] | None) -> pa.Table:
        own = self.columns.slice(int(self.firsts[shard]), table.num_rows)
        for name in own.column_names:
            if columns is None or name in columns:
                table = table.append_column(name, own[name])
        return table


def spread(columns: pa.Table, rows: RowSet) -> pa.Table:
    """Columns of some rows as columns of their whole split, null elsewhere."""
    of, absent = rows.spread(columns.num_rows)
    return (columns.take(pa.array(of, mask=absent)) if absent.any() else columns).combine_chunks()


def beside(one: pa.Table | None, other: pa.Table) -> pa.Table:
    """The columns of two tables of the same rows."""
    if one is None:
        return other
    return pa.table([*one.columns, *other.columns], names=[*one.column_names, *other.column_names])


def columns_digest(columns: pa.Table) -> str:
    """sha256 of names, types and values; the order of columns, chunks and machines do not matter."""
    digest = hashlib.sha256()
    for name in sorted(columns.column_names):
        values = columns[name].combine_chunks()
        digest.update(f"{len(name)} {name} {values.type} {len(values)}".encode())
        for part in _bytes_of(values):
            digest.update(part)
    return digest.hexdigest()


def _bytes_of(values: pa.Array) -> Iterator[bytes]:
    """Which are null; then numbers as they are, the lengths of texts and lists and what they hold."""
    yield np.packbits(values.is_null().to_numpy(zero_copy_only=False)).tobytes()
    if pa.types.is_list(values.type):
        yield _little(pc.fill_null(pc.list_value_length(values), 0))
        yield from _bytes_of(values.flatten())
    elif pa.types.is_string(values.type):
        yield _little(pc.fill_null(pc.binary_length(values), 0))
        yield "".join(values.drop_null().to_pylist()).encode()
    else:
        yield _little(values.fill_null(False if pa.types.is_boolean(values.type) else 0))


def _little(numbers: pa.Array) -> bytes:
    found = numbers.to_numpy(zero_copy_only=False)
    if found.dtype.kind == "f":
        found = np.where(np.isnan(found), np.nan, found)  # not every NaN has the same bits
    return bytes(found.astype(found.dtype.newbyteorder("<")).tobytes())


def joined_fields(ds: Dataset, rows: Rows, size: int, view: View) -> dict[str, Any]:
    """Batch fields of joined columns: numbers and bools as tensors (B,), texts and lists as lists of B.

    A column called ``<view>_...`` gives each item its own entry. Null is -1, NaN, '' or []; rows that only fill the
    batch hold -1, 0.0, False, '' or [].
    """
    fields = {}
    for name in ds.joined:
        if name == ds.info.label_column:
            continue
        kind, values = ds.info.columns[name], _values(ds, rows, name)
        if view.one_each and name.startswith(f"{view.kind}_") and kind.startswith("list<"):
            kind = kind.removeprefix("list<").removesuffix(">")
            values = [
                None if value is None else value[part] for value, part in zip(values, rows.parts.tolist(), strict=True)
            ]
        fields[name] = _field(values, kind, size)
    return fields


def _values(ds: Dataset, rows: Rows, name: str) -> list[Any]:
    places = zip(rows.shards.tolist(), rows.rows.tolist(), strict=True)
    return [ds.fetcher.rows(shard).columns[name][row].as_py() for shard, row in places]


def _field(values: Sequence[Any], kind: str, size: int) -> Any:
    missing = size - len(values)
    if kind in _NUMBERS:
        dtype, null, fill = _NUMBERS[kind]
        found = [null if value is None else value for value in values] + [fill] * missing
        return torch.from_numpy(np.array(found, dtype=dtype))
    if kind == "string":
        return ["" if value is None else value for value in values] + [""] * missing
    return [[] if value is None else value for value in values] + [[] for _ in range(missing)]


def checked_fields(batch: Mapping[str, Any], fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields; raises OptionError where the batch has one of that name already."""
    taken = sorted(batch.keys() & fields.keys())
    if taken:
        raise OptionError(
            f"joined column {taken[0]!r} has the name of a batch field of this view; join it under another name."
        )
    return fields
