"""Which rows of a split's shards a dataset holds: all of them, or some.

rows of 3 shards      0 1 2 | 3 4 | 5 6        firsts [0, 3, 5, 7]
chosen                  1 2 | 4   |            starts [0, 2, 3, 3]      places in shard 0: 0 1
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RowSet:
    """Rows of a split in canonical order. Selecting and finding cost no more than the rows selected."""

    firsts: I64 = field(repr=False)
    """(S + 1,) rows of the split before each shard."""
    starts: I64 = field(repr=False)
    """(S + 1,) rows of this set before each shard."""
    chosen: I64 | None = field(default=None, repr=False)
    """(n,) row numbers in the split, ascending; None where it holds all."""

    @classmethod
    def whole(cls, samples: Sequence[int]) -> RowSet:
        """All rows of shards with so many samples."""
        firsts = np.concatenate([[0], np.cumsum(np.array(samples, dtype=np.int64))])
        return cls(firsts, firsts)

    @property
    def counts(self) -> I64:
        """(S,) rows of this set in each shard."""
        return np.diff(self.starts)

    def select(self, rows: I64) -> RowSet:
        """Those of this set's rows, ascending and each once."""
        chosen = rows if self.chosen is None else self.chosen[rows]
        return RowSet(self.firsts, np.searchsorted(chosen, self.firsts), chosen)

    def between(self, first: int, stop: int) -> I64 | None:
        """Rows of shards ``first`` to ``stop``, counted from the first one's; None where that is all of them."""
        if self.chosen is None:
            return None
        rows: I64 = self.chosen[self.starts[first] : self.starts[stop]] - self.firsts[first]
        return rows

    def in_tar(self, shards: I64, places: I64) -> I64:
        """Rows in their shards' tars of places among this set's rows, each (n,)."""
        if self.chosen is None:
            return places
        rows: I64 = self.chosen[self.starts[shards] + places] - self.firsts[shards]
        return rows

    def spread(self, count: int) -> tuple[I64, NDArray[np.bool_]]:
        """(N,) for each row of the whole split which of ``count`` values of this set is its own, and where none is."""
        of = np.arange(count, dtype=np.int64)
        if self.chosen is None:
            return of, np.zeros(count, dtype=np.bool_)
        all_rows = np.zeros(int(self.firsts[-1]), dtype=np.int64)
        absent = np.ones(len(all_rows), dtype=np.bool_)
        all_rows[self.chosen], absent[self.chosen] = of, False
        return all_rows, absent
