"""The order of an epoch as a pure function: position -> (shard, row). No table of N, no state but integers.

The shards are permuted and laid end to end; that sequence is cut into L equal lanes; positions take the lanes in
turn, and inside a lane each window of w items is permuted:

    p:      0    1    2   ...  L-1  |  L   L+1 ...      global batch t = positions [tG, (t+1)G)
    lane:   0    1    2   ...  L-1  |  0    1  ...      rank r of W takes p with p mod W = r

L belongs to the epoch, never to the world, so every world size sees the same global batches, and where W divides L
a rank reads whole lanes: nearly its own shards, with a window's bytes side by side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..counted import mix, permutation, text_word
from ..errors import OptionError

I64 = NDArray[np.int64]
_SHARDS, _WINDOWS = text_word("order/shards"), text_word("order/windows")
# 384 = 2^7 * 3: whole lanes for worlds of 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 384.
MAX_LANES = 384
_LANES = tuple(n for n in range(1, MAX_LANES + 1) if MAX_LANES % n == 0)
WINDOW = 64


@dataclass(frozen=True, slots=True)
class OrderSpec:
    """What decides an order besides the data: part of a saved state's fingerprint."""

    shuffle: bool
    seed: int = 0
    lanes: int = 1
    window: int = WINDOW

    @classmethod
    def for_size(cls, items: int, shuffle: bool, seed: int, window: int = WINDOW) -> OrderSpec:
        """The default number of lanes for a set: the largest divisor of 384 that leaves each lane a full window."""
        if window < 1:
            raise OptionError(f"shuffle_window must be at least 1, not {window}.")
        lanes = max(n for n in _LANES if n == 1 or n * window <= items) if shuffle else 1
        return cls(shuffle, seed, lanes, window)


class EpochOrder:
    """One epoch's order over shards of given sizes.

    ``locate(positions)`` costs O(log S) a position and O(w) a window; nothing is kept between calls but S numbers.
    """

    def __init__(self, counts: I64, spec: OrderSpec, epoch: int) -> None:
        self.spec = spec
        self.epoch = epoch
        self.items = int(counts.sum())
        self._shards = permutation(len(counts), spec.seed, epoch, _SHARDS) if spec.shuffle else np.arange(len(counts))
        # (S + 1,) sequence position at which each permuted shard begins
        self._starts = np.concatenate([[0], np.cumsum(counts[self._shards])])

    def locate(self, positions: I64) -> tuple[I64, I64]:
        """Shards and rows, each (n,) int64, of epoch positions (n,) in [0, items)."""
        sequence = self._sequence(positions) if self.spec.shuffle else positions
        slot = np.searchsorted(self._starts, sequence, side="right") - 1
        return self._shards[slot], sequence - self._starts[slot]

    def _sequence(self, positions: I64) -> I64:
        """Positions of the sequence of permuted shards, lane by lane and window by window."""
        lanes, window = self.spec.lanes, self.spec.window
        short, longer = divmod(self.items, lanes)  # the first `longer` lanes hold one item more
        lane, within = positions % lanes, positions // lanes
        number, offset = within // window, within % window
        filled = np.minimum(window, short + (lane < longer) - number * window)  # the last window may be short
        # (n, w): each row the hashes of one window's items; argsort turns them into its permutation
        slots = np.arange(window, dtype=np.uint64)[None, :]
        seed = mix(self.spec.seed, self.epoch, _WINDOWS)
        hashes = mix(seed[:, None], lane.astype(np.uint64)[:, None], number.astype(np.uint64)[:, None], slots)
        hashes[slots >= filled.astype(np.uint64)[:, None]] = np.uint64(0xFFFFFFFFFFFFFFFF)
        permuted = np.argsort(hashes, axis=1, kind="stable")[np.arange(len(positions)), offset]
        return lane * short + np.minimum(lane, longer) + number * window + permuted


def rank_positions(start: int, stop: int, rank: int, world_size: int, shuffle: bool) -> I64:
    """Positions of global batch [start, stop) that one rank takes.

    Shuffled: those with p mod W = r, which are whole lanes where W divides L. In order: a contiguous part.
    """
    if shuffle:
        first = start + (rank - start) % world_size
        return np.arange(first, stop, world_size, dtype=np.int64)
    size = stop - start
    return np.arange(start + rank * size // world_size, start + (rank + 1) * size // world_size, dtype=np.int64)
