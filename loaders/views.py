"""Views: what an item of an epoch is, over the same shards. The order knows only how many items each shard has.

    shard of 3 images with 2, 0, 3 captions        image view            caption view (expanded)
    rows                     0  1  2                items 0 1 2           items   0 1 2 3 4
                                                    rows  0 1 2           rows    0 0 2 2 2
                                                                          parts   0 1 0 1 2

So expanded captions, persons and questions are shuffled as everything else is, not fanned out behind a buffer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..errors import CorruptData, OptionError
from .rows import OPEN_SHARDS, Recent

if TYPE_CHECKING:
    from .base import Dataset

I64 = NDArray[np.int64]

PART_COLUMNS: Mapping[str, str | None] = {
    "image": None,
    "caption": "n_captions",
    "person": "n_persons",
    "question": "n_questions",
}
"""View -> the index column that says how many parts an image has."""
POLICIES = ("expand", "random", "first", "all")
_NEVER_EMPTY = ("random", "first")


@dataclass(frozen=True, slots=True)
class View:
    """A parsed ``view=``: ``"image"``, ``"caption"``, ``"caption:random"``, ``"person"`` ..."""

    kind: str
    policy: str

    @classmethod
    def parse(cls, text: str) -> View:
        """Raises OptionError for a view or policy that does not exist."""
        kind, _, policy = text.partition(":")
        if kind not in PART_COLUMNS or (policy and (kind == "image" or policy not in POLICIES)):
            known = ["image", *(f"{kind}:{p}" for kind, column in PART_COLUMNS.items() if column for p in POLICIES)]
            raise OptionError(f"view {text!r} is not one of {', '.join(known)} ('caption' means 'caption:expand').")
        return cls(kind, policy or ("all" if kind == "image" else "expand"))

    def __str__(self) -> str:
        return self.kind if self.kind == "image" else f"{self.kind}:{self.policy}"

    @property
    def column(self) -> str | None:
        return PART_COLUMNS[self.kind]

    @property
    def one_each(self) -> bool:
        """Whether an item holds one part of its image, not all of them."""
        return self.policy != "all"

    def items_of(self, parts: I64) -> I64:
        """(n,) items of images with so many parts: ``random`` and ``first`` leave out images without any."""
        if not self.one_each:
            return np.ones_like(parts)
        parts = np.maximum(parts, 0)
        return np.minimum(parts, 1) if self.policy in _NEVER_EMPTY else parts


@dataclass(frozen=True, slots=True)
class ItemChunk:
    """Items of some shards after another, and one value of an index column for each."""

    first: int
    """Number of the first item in the view."""
    counts: I64
    """(shards,) items of each."""
    values: pa.Array
    """(items,); of type null where no column was asked for."""


class Items:
    """The items of a view over a dataset: their number per shard, the row and part of each, and index values.

    ``random`` and ``first`` leave out images without a part, which ``all`` keeps with an empty list. Picklable.
    """

    def __init__(self, ds: Dataset, view: View) -> None:
        if view.column is not None and view.column not in ds.info.columns:
            raise OptionError(
                f"view {str(view)!r} needs the index column {view.column!r}, which split {ds.info.name!r} does not have."
            )
        self.ds, self.view = ds, view
        self._tables: Recent[tuple[I64, I64]] = Recent(OPEN_SHARDS)
        self.counts: I64 = self._count()

    def __len__(self) -> int:
        return int(self.counts.sum())

    @property
    def parts(self) -> Sequence[Items]:
        """The items of each dataset of a mixture by weight, which samplers fit by itself; of another dataset, these."""
        return [self] if self.ds.shares is None else [Items(part, self.view) for part in self.ds.datasets]

    @property
    def shares(self) -> Sequence[float] | None:
        """What part of an epoch each dataset of a mixture gets; None: what its items make."""
        return self.ds.shares

    def locate(self, shards: I64, items: I64) -> tuple[I64, I64]:
        """Places among the shard's selected rows and parts, each (n,); part -1 where the item is the whole image."""
        if not self.view.one_each:
            return items, np.full(len(items), -1, dtype=np.int64)
        found = [self._tables.get(int(shard), self._expand) for shard in shards]
        places = [table[0][item] for table, item in zip(found, items, strict=True)]
        parts = [table[1][item] for table, item in zip(found, items, strict=True)]
        return np.array(places, dtype=np.int64), np.array(parts, dtype=np.int64)

    def values(self, shard: int, column: str | None) -> pa.Array:
        """One value of an index column for each item of a shard."""
        if column is None:
            return pa.nulls(int(self.counts[shard]))
        parts = None if self.view.column is None else _numbers(self.ds.shard_column(shard, self.view.column))
        return self._per_item(self.ds.shard_column(shard, column), column, parts)

    def scan(self, column: str | None) -> Iterator[ItemChunk]:
        """The same for all shards, piece by piece."""
        if column is None:
            yield ItemChunk(0, self.counts, pa.nulls(len(self)))
            return
        first, shard = 0, 0
        for chunk in self.ds.scan(list(dict.fromkeys(filter(None, (column, self.view.column))))):
            counts = self.counts[shard : shard + len(chunk.counts)]
            parts = None if self.view.column is None else _numbers(chunk.table[self.view.column])
            yield ItemChunk(first, counts, self._per_item(chunk.table[column].combine_chunks(), column, parts))
            first, shard = first + int(counts.sum()), shard + len(counts)

    def _per_item(self, column: pa.Array, name: str, parts: I64 | None) -> pa.Array:
        """From one value per image to one per item. Columns called ``<view>_...`` hold one entry per part."""
        if parts is None:
            return column
        times = self.view.items_of(parts)
        own = name.startswith(f"{self.view.kind}_") and pa.types.is_list(column.type)
        if not own or self.view.policy != "expand":
            return column.take(pa.array(np.repeat(np.arange(len(times)), times)))
        lengths = _numbers(pc.list_value_length(column))
        wrong = np.flatnonzero(np.maximum(lengths, 0) != times)
        if len(wrong):
            raise CorruptData(
                f"index column {name!r} of split {self.ds.info.name!r} has {lengths[wrong[0]]} entries where"
                f" {self.view.column} says {times[wrong[0]]}; pack again."
            )
        return column.flatten()

    def _count(self) -> I64:
        if self.view.column is None or not self.view.one_each:
            return self.ds.counts
        found = []
        for chunk in self.ds.scan([self.view.column]):
            ends = np.concatenate([[0], np.cumsum(self.view.items_of(_numbers(chunk.table[self.view.column])))])
            stops = np.cumsum(chunk.counts)
            found.append(ends[stops] - ends[stops - chunk.counts])
        counts: I64 = np.concatenate(found)
        if counts.sum() == 0 and len(self.ds):
            raise OptionError(f"view {str(self.view)!r}: no image of split {self.ds.info.name!r} has one.")
        return counts

    def _expand(self, shard: int) -> tuple[I64, I64]:
        numbers = self.ds.fetcher.rows(shard).numbers[self.view.column or ""]
        times = self.view.items_of(numbers[self.ds.rows_of(shard)])
        places = np.repeat(np.arange(len(times)), times)
        starts = np.cumsum(times) - times
        return places, np.arange(len(places)) - starts[places]


def _numbers(column: pa.Array | pa.ChunkedArray) -> I64:
    """Integers, -1 where null."""
    values: I64 = column.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
    return values
