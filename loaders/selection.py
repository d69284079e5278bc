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
    from .dataset import ShardDataset

I64 = NDArray[np.int64]


def selected_rows(ds: ShardDataset, rows: Sequence[int] | NDArray[Any] | pc.Expression) -> I64:
    """Row numbers (n,), ascending; raises OptionError for what does not fit the dataset."""
    if isinstance(rows, pc.Expression):
        return _matching(ds, rows)
    found = np.asarray(rows)
    if found.dtype == np.bool_:
        if found.shape != (len(ds),):
            raise OptionError(
                f"the mask has shape {found.shape}, the dataset {len(ds):,} rows; give one value per row."
            )
        return np.flatnonzero(found)
    if found.size and found.dtype.kind not in "iu":
        raise OptionError(f"rows are {found.dtype}; give integers, a mask of bool, or an expression over the index.")
    return _checked(found.astype(np.int64).ravel(), len(ds))


def _checked(rows: I64, count: int) -> I64:
    outside = rows[(rows < -count) | (rows >= count)]
    if len(outside):
        raise OptionError(f"row {outside[0]} is outside the dataset, which has {count:,} rows.")
    ordered, times = np.unique(rows % max(count, 1), return_counts=True)
    if (times > 1).any():
        raise OptionError(f"row {ordered[times > 1][0]} is selected twice; a sampler repeats samples, select does not.")
    return ordered


def _matching(ds: ShardDataset, expression: pc.Expression) -> I64:
    table = ds.index.append_column("__row__", pa.array(np.arange(len(ds))))
    try:
        matching: I64 = table.filter(expression)["__row__"].to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, KeyError) as error:
        columns = ", ".join(ds.info.columns) or "none beyond key, sizes and members"
        raise OptionError(
            f"the expression {expression} does not fit the index (columns: {columns}): {error}"
        ) from error
    return matching
