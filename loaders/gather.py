"""Gather: columns of a batch's rows, taken from each shard that they lie in with one step of numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..memory import room

if TYPE_CHECKING:
    from .base import RowReader
    from .rows import ShardRows

I64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a batch's rows that lies in one shard."""

    shard: int
    places: I64
    """(k,) where they stand in the batch."""
    rows: I64
    """(k,) where they stand in the shard."""
    index: ShardRows


class Gather:
    """Rows (n,) of numbered shards, by shard.

    shards   7  2  7  2  9        shares   2: places 1 3    7: places 0 2    9: place 4
    """

    def __init__(self, reader: RowReader, shards: I64, rows: I64) -> None:
        self.size = len(shards)
        """Rows of all shares."""
        self.shares = [
            Share(shard, places, rows[places], reader.rows(shard)) for shard, places in places_by_number(shards)
        ]

    def take(self, column: Callable[[ShardRows], NDArray[Any] | None], dtype: DTypeLike, missing: Any = 0) -> Any:
        """(n, ...) a column's values in the order of the batch; ``missing`` where a shard has None for a column."""
        return self.join([_taken(column(share.index), share.rows, missing) for share in self.shares], dtype)

    def join(self, parts: Sequence[NDArray[Any]], dtype: DTypeLike) -> Any:
        """(n, ...) values of each share's rows (k, ...), put in the order of the batch."""
        out = room((self.size, *(parts[0].shape[1:] if parts else ())), np.dtype(dtype))
        for share, part in zip(self.shares, parts, strict=True):
            out[share.places] = part
        return out


def _taken(column: NDArray[Any] | None, rows: I64, missing: Any) -> NDArray[Any]:
    return np.full(len(rows), missing) if column is None else column[rows]


def places_by_number(numbers: I64) -> Iterator[tuple[int, I64]]:
    """Each number that occurs, ascending, and the places (k,) at which it stands."""
    order = np.argsort(numbers, kind="stable")
    ascending = numbers[order]
    cuts = (np.flatnonzero(ascending[1:] != ascending[:-1]) + 1).tolist()
    if len(numbers):
        for start, stop in zip([0, *cuts], [*cuts, len(numbers)], strict=True):
            yield int(ascending[start]), order[start:stop]
