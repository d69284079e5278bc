"""What ``ds.select`` accepts, as sorted row numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..errors import OptionError

if TYPE_CHECKING:
    from .base import Dataset

I64 = NDArray[np.int64]
_SHOWN = 3


def selected_rows(ds: Dataset, rows: Any) -> I64:
    """Row numbers (n,), ascending; raises OptionError for what does not fit the dataset."""
    if isinstance(rows, pc.Expression):
        return _matching(ds, rows)
    if callable(rows):
        return selected_rows(ds, rows(ds))
    if isinstance(rows, str):
        raise OptionError(f"rows are the text {rows!r}; give a list of keys, or an expression over the index.")
    if isinstance(rows, pa.Array | pa.ChunkedArray):
        rows = rows.to_pylist()
    if _are_keys(rows):
        return _keyed(ds, rows)
    found = np.asarray(rows)
    if found.dtype == np.bool_:
        if found.shape != (len(ds),):
            raise OptionError(
                f"the mask has shape {found.shape}, the dataset {len(ds):,} rows; give one value per row."
            )
        return np.flatnonzero(found)
    if found.size and found.dtype.kind not in "iu":
        raise OptionError(
            f"rows are {found.dtype}; give integers, a mask of bool, keys, or an expression over the index."
        )
    return _checked(found.astype(np.int64).ravel(), len(ds))


def _are_keys(rows: Any) -> bool:
    return isinstance(rows, Sequence | np.ndarray) and len(rows) > 0 and all(isinstance(key, str) for key in rows)


def _checked(rows: I64, count: int) -> I64:
    outside = rows[(rows < -count) | (rows >= count)]
    if len(outside):
        raise OptionError(f"row {outside[0]} is outside the dataset, which has {count:,} rows.")
    ordered, times = np.unique(rows % max(count, 1), return_counts=True)
    if (times > 1).any():
        raise OptionError(f"row {ordered[times > 1][0]} is selected twice; a sampler repeats samples, select does not.")
    return ordered


def _keyed(ds: Dataset, keys: Sequence[str]) -> I64:
    """Rows of keys, in a mixture those of every part; each key must be there, and be given once."""
    asked = pa.array(list(keys), pa.string())
    times = asked.value_counts()
    repeated = times.filter(pc.greater(times.field("counts"), 1)).field("values")
    if len(repeated):
        raise OptionError(
            f"{named(repeated.to_pylist(), 'key')} given twice; a sampler repeats samples, select does not."
        )
    there = ds.index_columns(["key"])["key"]
    unknown = asked.filter(pc.invert(pc.is_in(asked, value_set=there)))
    if len(unknown):
        raise OptionError(
            f"{named(unknown.to_pylist(), 'key')} not in {ds.info.name!r}, whose keys look like"
            f" {there[0].as_py() if len(there) else None!r}."
        )
    return np.flatnonzero(pc.is_in(there, value_set=asked).to_numpy())


def named(values: Sequence[Any], what: str) -> str:
    """The first of some values, their number where there are more, and is or are."""
    shown = ", ".join(repr(value) for value in values[:_SHOWN])
    if len(values) == 1:
        return f"{what} {shown} is"
    return f"{len(values):,} {what}s ({shown}{', ...' if len(values) > _SHOWN else ''}) are"


def _matching(ds: Dataset, expression: pc.Expression) -> I64:
    """Chunk by chunk, so that an index of any size is read in bounded memory."""
    found = [np.zeros(0, dtype=np.int64)]
    for chunk in ds.scan():
        rows = pa.array(np.arange(chunk.first, chunk.first + chunk.table.num_rows))
        try:
            found.append(chunk.table.append_column("__row__", rows).filter(expression)["__row__"].to_numpy())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, KeyError) as error:
            columns = ", ".join(ds.info.columns) or "none beyond key, sizes and members"
            raise OptionError(
                f"the expression {expression} does not fit the index (columns: {columns}): {error}"
            ) from error
    return np.concatenate(found)
