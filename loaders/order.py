"""The order of an epoch as a pure function: position -> (shard, slot). No table of N, no state but integers.

The shards are permuted and laid end to end; that sequence is cut into L equal lanes; positions take the lanes in
turn, and inside a lane each window of w items is permuted:

    p:      0    1    2   ...  L-1  |  L   L+1 ...      global batch t = positions [tG, (t+1)G)
    lane:   0    1    2   ...  L-1  |  0    1  ...      rank r of W takes p with p mod W = r

L belongs to the epoch, never to the world, so every world size sees the same global batches, and where W divides L
a rank reads whole lanes. Lanes are cut in the order of their reversed digits, so that the lanes of a rank lie side
by side and its ragged ends are two:

    L = 8, W = 2:   cut   0  1  2  3 | 4  5  6  7       rank 0 takes lanes 0, 2, 4, 6 = cuts 0 to 3
                    lane  0  4  2  6 | 1  5  3  7
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..counted import permutation, text_word
from ..errors import OptionError
from .rows import Recent
from .windows import SORTED, Row, permuted

I64 = NDArray[np.int64]
ORDER_VERSION = 2
"""Part of a state's fingerprint: a change of this file that moves an item needs another number."""
_SHARDS, _WINDOWS = text_word("order/shards"), text_word("order/windows")
# 384 = 2^7 * 3: whole lanes for worlds of 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 384.
MAX_LANES = 384
_LANES = tuple(n for n in range(1, MAX_LANES + 1) if MAX_LANES % n == 0)
WINDOW = 64
ROWS, ROW_ITEMS = 4, 2**20
"""Rows of windows that are kept, and the most items of one: two bytes each."""


@dataclass(frozen=True, slots=True)
class OrderSpec:
    """What decides an order besides the data: part of a saved state's fingerprint."""

    shuffle: bool
    seed: int = 0
    lanes: int = 1
    window: int = WINDOW

    def __post_init__(self) -> None:
        for name, value in (("shuffle_lanes", self.lanes), ("shuffle_window", self.window)):
            if value < 1:
                raise OptionError(f"{name} must be at least 1, not {value}.")

    @classmethod
    def for_size(
        cls, items: int, shuffle: bool, seed: int, window: int | None = None, lanes: int | None = None
    ) -> OrderSpec:
        """The default number of lanes for a set: the largest divisor of 384 that leaves each lane a full window."""
        window = WINDOW if window is None else window
        if lanes is None:
            lanes = max(n for n in _LANES if n == 1 or n * window <= items) if shuffle else 1
        return cls(shuffle, seed, lanes, window)


class EpochOrder:
    """One epoch's order over shards that hold given numbers of items this epoch.

    ``locate(positions)`` costs O(log S) a position and O(w) a window, of those in use once; kept are S numbers and the
    windows in use, a few megabytes at most.
    """

    def __init__(self, counts: I64, spec: OrderSpec, epoch: int) -> None:
        self.spec = spec
        self.epoch = epoch
        self.items = int(counts.sum())
        self._shards = permutation(len(counts), spec.seed, epoch, _SHARDS) if spec.shuffle else np.arange(len(counts))
        self.starts: I64 = np.concatenate([[0], np.cumsum(counts[self._shards])])
        """(S + 1,) place in the sequence at which each permuted shard begins."""
        self._cuts = reversed_digits(spec.lanes)
        self.cut_bounds = self._bounds()
        """(L + 1,) place in the sequence at which each cut begins."""
        self._words = spec.seed, epoch, _WINDOWS
        self._keeps_rows = spec.window <= SORTED and spec.lanes * spec.window <= ROW_ITEMS
        self._rows: Recent[Row] = Recent(ROWS)

    def locate(self, positions: I64) -> tuple[I64, I64]:
        """Shards and slots within them, each (n,) int64, of epoch positions (n,) in [0, items)."""
        sequence = self.sequence(positions) if self.spec.shuffle else positions
        slot = np.searchsorted(self.starts, sequence, side="right") - 1
        return self._shards[slot], sequence - self.starts[slot]

    def sequence(self, positions: I64) -> I64:
        """Places in the sequence of permuted shards, lane by lane and window by window."""
        lanes, window = self.spec.lanes, self.spec.window
        lane, within = positions % lanes, positions // lanes
        number, offset = within // window, within % window
        inside = self._inside(lane, number, offset)
        return self.cut_bounds[self._cuts[lane]] + number * window + inside

    def _inside(self, lane: I64, number: I64, offset: I64) -> I64:
        """Where the items at ``offset`` of windows (lane, number) lie in them."""
        numbers = np.unique(number).tolist() if self._keeps_rows else []
        if not 0 < len(numbers) <= ROWS:
            return permuted(offset, self._filled(lane, number), self._words, (lane, number))
        found = np.empty_like(offset)
        for row in numbers:
            here = number == row
            found[here] = self._rows.get(row, self._row).permuted(lane[here], offset[here])
        return found

    def _row(self, number: int) -> Row:
        lanes = np.arange(self.spec.lanes, dtype=np.int64)
        return Row(self._filled(lanes, np.full_like(lanes, number)), self._words, number)

    def _filled(self, lane: I64, number: I64) -> I64:
        """Items of each window: the last one of a lane may be short."""
        short, longer = divmod(self.items, self.spec.lanes)  # the first `longer` lanes hold one item more
        filled: I64 = np.minimum(self.spec.window, short + (lane < longer) - number * self.spec.window)
        return filled

    def _bounds(self) -> I64:
        short, longer = divmod(self.items, self.spec.lanes)
        lengths = np.empty(self.spec.lanes, dtype=np.int64)
        lengths[self._cuts] = short + (np.arange(self.spec.lanes) < longer)
        return np.concatenate([[0], np.cumsum(lengths)])


def reversed_digits(lanes: int) -> I64:
    """(L,) lane -> cut: the digits of a lane in the mixed radix of L's prime factors, read backwards.

    Twos come first, so lanes r, r + W, r + 2W, ... are neighbours for every W that is a power of two dividing L, and
    for W times whole further factors.
    """
    lane, cut, left = np.arange(lanes, dtype=np.int64), np.zeros(lanes, dtype=np.int64), lanes
    for radix in _factors(lanes):
        left //= radix
        cut += (lane % radix) * left
        lane = lane // radix
    return cut


def _factors(number: int) -> list[int]:
    found, factor = [], 2
    while number > 1:
        while number % factor == 0:
            found.append(factor)
            number //= factor
        factor += 1
    return found


def rank_positions(start: int, stop: int, rank: int, world_size: int, shuffle: bool) -> range:
    """Positions of global batch [start, stop) that one rank takes.

    Shuffled: those with p mod W = r, which are whole lanes where W divides L. In order: a contiguous part.
    """
    if shuffle:
        return range(start + (rank - start) % world_size, stop, world_size)
    size = stop - start
    return range(start + rank * size // world_size, start + (rank + 1) * size // world_size)
