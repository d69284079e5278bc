"""Views: what an item of an epoch is, over the same shards. The order knows only how many items each shard has.

    shard of 3 images with 2, 0, 3 captions        image view            caption view (expanded)
    rows                     0  1  2                items 0 1 2           items   0 1 2 3 4
                                                    rows  0 1 2           rows    0 0 2 2 2
                                                                          parts   0 1 0 1 2

So expanded captions are shuffled as everything else is, not fanned out behind a buffer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from .dataset import ShardDataset
from .rows import Recent

I64 = NDArray[np.int64]

PART_COLUMNS: Mapping[str, str | None] = {"image": None, "caption": "n_captions"}
"""View -> the index column that says how many parts an image has."""
POLICIES = ("expand", "random", "first", "all")
_NEVER_EMPTY = ("random", "first")


@dataclass(frozen=True, slots=True)
class View:
    """A parsed ``view=``: ``"image"``, ``"caption"``, ``"caption:random"`` ..."""

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


class Items:
    """The items of a view over a dataset: their number per shard, and the row and part of each.

    ``random`` and ``first`` leave out images without a part, which ``all`` keeps with an empty list.
    """

    def __init__(self, ds: ShardDataset, view: View) -> None:
        if view.column is not None and view.column not in ds.info.columns:
            raise OptionError(
                f"view {str(view)!r} needs the index column {view.column!r}, which split {ds.info.name!r} does not have."
            )
        self.ds, self.view = ds, view
        self._tables: Recent[tuple[I64, I64]] = Recent(512)
        self.counts: I64 = self._count()

    def __len__(self) -> int:
        return int(self.counts.sum())

    def locate(self, shards: I64, items: I64) -> tuple[I64, I64]:
        """Places among the shard's selected rows and parts, each (n,); part -1 where the item is the whole image."""
        if not self.view.one_each:
            return items, np.full(len(items), -1, dtype=np.int64)
        found = [self._table(int(shard)) for shard in shards]
        places = [table[0][item] for table, item in zip(found, items, strict=True)]
        parts = [table[1][item] for table, item in zip(found, items, strict=True)]
        return np.array(places, dtype=np.int64), np.array(parts, dtype=np.int64)

    def _count(self) -> I64:
        if self.view.column is None or not self.view.one_each:
            return self.ds.counts
        parts = self._kept(self.ds.column(self.view.column))
        ends = np.cumsum(self.ds.counts)
        totals = np.concatenate([[0], np.cumsum(parts)])
        counts: I64 = totals[ends] - totals[ends - self.ds.counts]
        if counts.sum() == 0 and len(self.ds):
            raise OptionError(f"view {str(self.view)!r}: no image of split {self.ds.info.name!r} has one.")
        return counts

    def _kept(self, parts: I64) -> I64:
        """Items per image."""
        parts = np.maximum(parts, 0)
        return np.minimum(parts, 1) if self.view.policy in _NEVER_EMPTY else parts

    def _table(self, shard: int) -> tuple[I64, I64]:
        return self._tables.get(shard, self._expand)

    def _expand(self, shard: int) -> tuple[I64, I64]:
        numbers = self.ds.fetcher.rows(shard).numbers[self.view.column or ""]
        parts = self._kept(numbers[self.ds.rows_of(shard)])
        places = np.repeat(np.arange(len(parts)), parts)
        starts = np.cumsum(parts) - parts
        return places, np.arange(len(places)) - starts[places]
