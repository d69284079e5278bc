"""``ds.join``: a table's rows matched to a dataset's by the values of one column.

index   key  a b c d        table   key  c a d b x        places in the table   1 3 0 2        extra: x
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..errors import OptionError
from ..shard_writer.fields import COLUMN_TYPES, FACTS, schema
from .join_table import cast_key, declared, read_table
from .joined import LABEL
from .selection import named
from .views import PART_COLUMNS

if TYPE_CHECKING:
    from .base import Dataset

I64 = NDArray[np.int64]
BATCH_FIELDS = ("image", "key", "index", "copy", "valid", "orig_size", "seed", "crop", "flipped", "dataset")
"""What any batch may hold; a joined column of such a name would hide it."""
_REFUSE, _MISSING, _EXTRA = "error", ("error", "null"), ("error", "ignore")


def joined_columns(
    ds: Dataset, source: Any, on: str, missing: str, extra: str, options: Mapping[str, Any] | None
) -> tuple[pa.Table, Mapping[str, str]]:
    """The new columns, a row for each of the dataset's, and their kinds. See ``Dataset.join``."""
    for name, given, known in (("missing", missing, _MISSING), ("extra", extra, _EXTRA)):
        if given not in known:
            raise OptionError(f"{name}={given!r} is not one of {', '.join(map(repr, known))}.")
    key_type = _type_of(ds, on)
    table = read_table(source, on, key_type, options)
    _check_names(ds, table, on)
    mine, theirs = ds.index_columns([on])[on], cast_key(table[on], key_type, on)
    _check_unique(mine, f"the index of {ds.info.name!r}", on)
    _check_unique(theirs, "the table", on)
    places = pc.index_in(mine, value_set=theirs).combine_chunks()
    if missing == _REFUSE:
        _check_missing(ds, on, mine.filter(places.is_null()))
    if extra == _REFUSE:
        _check_extra(ds, on, theirs.filter(pc.invert(pc.is_in(theirs, value_set=mine))), len(theirs))
    columns, kinds = declared(table.drop_columns([on]).take(places))
    return _part_by_part(ds, columns, kinds), kinds


def _type_of(ds: Dataset, on: str) -> pa.DataType:
    known = {"key": "string"} | {name: kind for name, kind in ds.info.columns.items() if "<" not in kind}
    if on not in known:
        raise OptionError(f"on={on!r} is no index column of single values; those are {', '.join(known)}.")
    return COLUMN_TYPES[known[on]]


def _check_names(ds: Dataset, table: pa.Table, on: str) -> None:
    names = table.column_names
    if on not in names:
        raise OptionError(f"the table has no column {on!r} to join on; its columns are {', '.join(names) or 'none'}.")
    if len(names) == 1:
        raise OptionError(f"the table has no column beside {on!r}: it brings nothing.")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise OptionError(f"the table has several columns {repeated[0]!r}; rename them.")
    taken = sorted(_taken(ds) & set(names) - {on})
    if taken:
        raise OptionError(
            f"join replaces nothing, and {named(taken, 'column')} there already: in the index, the samples or every"
            " batch. Give new columns other names."
        )


def _taken(ds: Dataset) -> set[str]:
    """Names of index columns, members, JSON keys and batch fields."""
    found = {*BATCH_FIELDS, *FACTS, *([LABEL] if ds.labelled else [])}
    for part in ds.datasets:
        info = part.info
        found |= {*schema(info.fields, info.columns).names, *info.fields, *info.json_types}
    return found


def _check_unique(values: pa.ChunkedArray, where: str, on: str) -> None:
    if values.null_count:
        raise OptionError(f"column {on!r} of {where} is null in {values.null_count:,} rows; nothing can match those.")
    times = values.combine_chunks().value_counts()
    repeated = times.filter(pc.greater(times.field("counts"), 1)).field("values")
    if len(repeated):
        raise OptionError(
            f"{named(repeated.to_pylist(), on)} there more than once in {where}; join needs each value once on both sides"
            " (join the parts of a mixture before mixing)."
        )


def _check_missing(ds: Dataset, on: str, values: pa.ChunkedArray) -> None:
    if len(values):
        raise OptionError(
            f"of {len(ds):,} rows of {ds.info.name!r}, {named(values.to_pylist(), on)} not in the table; missing='null'"
            " leaves the new columns null there."
        )


def _check_extra(ds: Dataset, on: str, values: pa.ChunkedArray, rows: int) -> None:
    if len(values):
        raise OptionError(
            f"of {rows:,} rows of the table, {named(values.to_pylist(), on)} not in {ds.info.name!r}; extra='ignore'"
            " leaves them out (or join before select)."
        )


def _part_by_part(ds: Dataset, columns: pa.Table, kinds: Mapping[str, str]) -> pa.Table:
    """Lists called ``<view>_...`` with one entry for each part of their image, as views take them."""
    for view, counts in PART_COLUMNS.items():
        own = [name for name in kinds if name.startswith(f"{view}_") and kinds[name].startswith("list<")]
        if counts is not None and counts in ds.info.columns and own:
            parts = np.maximum(ds.column(counts), 0)
            for name in own:
                place = columns.column_names.index(name)
                columns = columns.set_column(place, name, _one_each(columns[name], parts, f"{name!r}", counts))
    return columns


def _one_each(lists: pa.ChunkedArray, parts: I64, name: str, counts: str) -> pa.Array:
    """Null lists become lists of nulls; raises OptionError where the others are not as long as their image has parts."""
    column = lists.combine_chunks()
    lengths: I64 = pc.list_value_length(column).cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
    wrong = np.flatnonzero((lengths != parts) & (lengths >= 0))
    if len(wrong):
        row = wrong[0]
        raise OptionError(
            f"column {name} holds {lengths[row]} entries for row {row}, where {counts} is {parts[row]}: a list named for a"
            " view has one for each part. Call it something else, or mend it."
        )
    absent = np.repeat(lengths < 0, parts)
    places = np.cumsum(~absent) - 1
    offsets = np.concatenate([[0], np.cumsum(parts)]).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, column.flatten().take(pa.array(places, mask=absent)))
