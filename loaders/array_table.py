"""ArrayTable: what batches need of rows that are plain arrays, in columns over a whole split.

Taking a column shard by shard costs a call for each shard, which for tiny images is more than the copy. So what was once
read of a row stays, beside the address of its pixels, and a batch is one step of numpy per column:

    row of the split    0     1     2     3   ...
    address             a0    0     a2    0   ...      0: never asked for
    key, word, ...      k0    -     k2    -   ...
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .gather import places_by_number
from .raw import U8, Bytes, PlainRows, Shape, copy_rows
from .rows import NO_LABEL
from .stages import FETCH

if TYPE_CHECKING:
    from .base import RowReader
    from .pieces import Piece

I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]
MOST_ROWS = 2**19
"""Of larger splits nothing is kept: about 100 bytes a row, of which most are its key."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a batch's rows are, each (n, ...)."""

    words: U64
    """Of their keys: what counted randomness knows them by."""
    keys: list[str]
    sizes: I64
    """(n, 2) height and width."""
    labels: I64
    plain: PlainRows | None
    """Where their images lie, if they are plain arrays of one shape."""
    images: U8 | None
    """(n, H, W, 3) where they are to be copied to; None where there are no such."""

    def copy(self) -> None:
        """Copy the images, which needs no interpreter lock."""
        if self.images is not None and self.plain is not None:
            with FETCH:
                copy_rows(self.plain.addresses, self.images)


class ArrayTable:
    """The rows of mapped shards, of ``counts`` rows each, whose field ``name`` is a plain array.

    Belongs to one process, whose addresses it holds. Threads plan with it one at a time, under its ``lock``: side by side
    they would wait for the interpreter lock at every step of numpy, for longer than the step takes. What is copied then,
    more than half of the work, is copied without it.
    """

    def __init__(self, reader: RowReader, name: str, counts: Sequence[int]) -> None:
        self._reader, self._name = reader, name
        self._firsts = np.concatenate([[0], np.cumsum(np.asarray(counts, dtype=np.int64))])
        rows = int(self._firsts[-1])
        # untouched parts of these cost no memory
        self._addresses, self._words = np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.uint64)
        self._sizes, self._labels = np.zeros((rows, 2), dtype=np.int64), np.zeros(rows, dtype=np.int64)
        self._keys = np.empty(rows, dtype=np.object_)
        self._shape: Shape | None = None
        self._memory: dict[int, Piece | Bytes] = {}
        # what is mapped anew later does not lie where these addresses say, so what they were taken from is held
        self.lock = threading.Lock()

    def found(self, shards: I64, rows: I64) -> Found | None:
        """Rows (n,) of shards (n,), verified, their images to be copied; None where some are no arrays of one shape."""
        at = self._firsts[shards] + rows
        new = np.unique(at[self._addresses[at] == 0])
        if len(new) and not self._read(new):
            return None
        plain = PlainRows(self._addresses[at], self._shape or (0, 0, 0), ())  # the table holds what lies there
        return Found(
            words=self._words[at],
            keys=self._keys[at].tolist(),
            sizes=self._sizes[at],
            labels=self._labels[at],
            plain=plain,
            images=plain.room(),
        )

    def _read(self, new: I64) -> bool:
        """Fill in rows (n,) of the split; False where one is no plain array, or of another shape."""
        for shard, places in places_by_number(np.searchsorted(self._firsts, new, side="right") - 1):
            at = new[places]
            rows = at - self._firsts[shard]
            with FETCH:
                plain = self._reader.plain(shard, rows, self._name)
            if plain is None or not self._is_of_one_shape(plain):
                return False
            index = self._reader.rows(shard)
            self._words[at], self._keys[at], self._sizes[at] = index.words(rows), index.keys_of(rows), index.sizes[rows]
            self._labels[at] = NO_LABEL if index.label is None else index.label[rows]
            self._memory.update({id(part): part for part in plain.memory})
            self._addresses[at] = plain.addresses
        return True

    def _is_of_one_shape(self, plain: PlainRows) -> bool:
        if self._shape is None:
            self._shape = plain.shape
        return plain.shape == self._shape
