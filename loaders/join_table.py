"""Tables to join: read from what ``ds.join`` takes, and given the types that an index may hold, without loss."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.csv

from ..errors import OptionError
from ..shard_writer.fields import COLUMN_TYPES
from ..shard_writer.parquet import owned, whole
from ..shard_writer.storage import Store

_TYPES: Mapping[str, pa.DataType] = {
    name: COLUMN_TYPES[name]
    for name in (
        "int64", "float64", "bool", "string", "list<int64>", "list<float64>", "list<string>", "list<list<int64>>",
    )
}  # fmt: skip
_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)


def read_table(source: Any, on: str, key_type: pa.DataType, options: Mapping[str, Any] | None) -> pa.Table:
    """An Arrow table of a table, a dict of columns, or a file. A .csv's column ``on`` is read as the index has it, so
    that a key ``000000000139`` stays text.
    """
    if isinstance(source, str | os.PathLike):
        return _read_file(os.fspath(source), on, key_type, options or {})
    if not isinstance(source, Mapping | pa.Table) and not hasattr(source, "__arrow_c_stream__"):
        raise OptionError(f"cannot join a {type(source).__name__}; give an Arrow table, a dict of columns, or a file.")
    try:
        return source if isinstance(source, pa.Table) else pa.table(source)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise OptionError(f"the table to join has no equal columns, each of one type: {error}") from error


def _read_file(url: str, on: str, key_type: pa.DataType, options: Mapping[str, Any]) -> pa.Table:
    folder, slash, name = url.rpartition("/")
    store = Store(folder or slash or ".", options)
    if not name.endswith((".parquet", ".csv")):
        raise OptionError(f"cannot join {url}: it is no .parquet and no .csv; read it yourself and give a table.")
    try:
        data = store.read(name)
        if name.endswith(".parquet"):
            return whole(data)
        return pyarrow.csv.read_csv(
            pa.BufferReader(owned(data)), convert_options=pyarrow.csv.ConvertOptions(column_types={on: key_type})
        )
    except FileNotFoundError as error:
        raise OptionError(f"there is no table {store.full(name)} to join; check the address.") from error
    except pa.ArrowException as error:
        raise OptionError(f"{store.full(name)} cannot be read as a table: {error}") from error


def cast_key(values: pa.ChunkedArray, wanted: pa.DataType, on: str) -> pa.ChunkedArray:
    """The table's column ``on`` as the index has it; text never becomes a number, nor a number text."""
    kinds = (kind_of(values.type), kind_of(wanted))
    if kinds[0] != kinds[1]:
        raise OptionError(f"column {on!r} is {values.type} in the table and {wanted} in the index; make them alike.")
    return _cast(values, on, wanted)


def declared(table: pa.Table) -> tuple[pa.Table, dict[str, str]]:
    """The table with the types of an index, and the kind of each column; raises OptionError for other types."""
    columns, kinds = {}, {}
    for name in table.column_names:
        values, kind = table[name], kind_of(table[name].type)
        if kind is None:
            raise OptionError(
                f"column {name!r} is {values.type}; an index holds {', '.join(_TYPES)}. Cast it, or leave it out."
            )
        if kind == "bool" and values.null_count:
            raise OptionError(
                f"column {name!r} is bool and null in {values.null_count:,} rows, and a batch cannot tell null from"
                " False; fill it, or give integers."
            )
        kinds[name], columns[name] = kind, _cast(values, name, _TYPES[kind])
    return pa.table(columns), kinds


def kind_of(found: pa.DataType) -> str | None:
    """The kind of index column that holds values of an Arrow type; None where there is none."""
    if pa.types.is_dictionary(found):
        return kind_of(found.value_type)
    if pa.types.is_boolean(found):
        return "bool"
    if pa.types.is_integer(found):
        return "int64"
    if pa.types.is_floating(found):
        return "float64"
    if any(is_kind(found) for is_kind in _TEXTS):
        return "string"
    if any(is_kind(found) for is_kind in _LISTS):
        kind = f"list<{kind_of(found.value_type)}>"
        return kind if kind in _TYPES else None
    return None


def _cast(values: pa.ChunkedArray, name: str, wanted: pa.DataType) -> pa.ChunkedArray:
    """Numbers of fewer bits become those of 64; unsigned ones that do not fit are refused."""
    try:
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        return values.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise OptionError(
            f"column {name!r} is {values.type} and does not fit {wanted} without loss: {error}"
        ) from error
