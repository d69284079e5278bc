"""Sets of labels, one per item, and what samplers compute from them.

items           0        1     2               offsets  0  2  2  3
their labels    {3, 5}   {}    {3}             values   3  5  3
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ...errors import OptionError

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LabelSets:
    """Labels of consecutive items, each set without repeats: item i holds ``values[offsets[i]:offsets[i + 1]]``."""

    offsets: I64
    """(n + 1,)"""
    values: I64
    """(m,) class numbers, 0 or more."""

    @classmethod
    def of(cls, column: pa.Array) -> LabelSets:
        """From one Arrow value per item: an integer, or a list of them (of any depth). Null and -1 hold nothing."""
        lengths, values = _flattened(column)
        if pa.types.is_integer(column.type):  # at most one each: nothing to sort
            held = values >= 0
            return cls(np.concatenate([[0], np.cumsum(held)]), values[held])
        of = np.repeat(np.arange(len(lengths)), lengths)
        held = values >= 0
        of, values = of[held], values[held]
        # One code per (item, class), so that an image of five chairs holds the class chair once.
        width = int(values.max()) + 1 if len(values) else 1
        codes = np.unique(of * width + values)
        counts = np.bincount(codes // width, minlength=len(lengths))
        return cls(np.concatenate([[0], np.cumsum(counts)]), codes % width)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def sizes(self) -> I64:
        """(n,) labels of each item."""
        return np.diff(self.offsets)

    def counts(self, times: I64 | None = None) -> I64:
        """(C,) items that hold each class, item i counted ``times[i]`` times; C is the largest label + 1."""
        if times is None:
            return np.bincount(self.values)
        # float sums of whole numbers are exact below 2**53
        return np.bincount(self.values, np.repeat(times, self.sizes)).astype(np.int64)

    def heaviest(self, table: F64) -> I64:
        """(n,) the class of each item with the largest ``table[class]``, of equals the last; -1 where it holds none."""
        by_weight = np.argsort(table, kind="stable")
        rank = np.empty(len(table))
        rank[by_weight] = np.arange(len(table))
        found = self._reduced(np.maximum, rank, -1.0).astype(np.int64)
        return np.where(found >= 0, by_weight[found], -1)

    def summed(self, table: F64) -> F64:
        """(n,) the sum of ``table[class]`` of each item; 0 where it holds none."""
        return self._reduced(np.add, table, 0.0)

    def _reduced(self, ufunc: np.ufunc, table: F64, empty: float) -> F64:
        result = np.full(len(self), empty)
        held = self.sizes > 0
        if held.any():
            # reduceat runs from one start to the next: the starts of empty sets are left out
            result[held] = ufunc.reduceat(table[self.values], self.offsets[:-1][held])
        return result


def _flattened(column: pa.Array) -> tuple[I64, I64]:
    """(n,) how many integers each item holds, and all of them, nulls as -1; lists of lists count their innermost."""
    lengths = np.ones(len(column), dtype=np.int64)
    while pa.types.is_list(column.type):
        inner: I64 = pc.fill_null(pc.list_value_length(column), 0).cast(pa.int64()).to_numpy(zero_copy_only=False)
        ends = np.concatenate([[0], np.cumsum(inner)])
        stops = np.cumsum(lengths)
        lengths = ends[stops] - ends[stops - lengths]
        column = column.flatten()
    if not pa.types.is_integer(column.type):
        raise OptionError(f"labels must be integers, the column holds {column.type}; name another column.")
    values: I64 = column.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
    return lengths, values
