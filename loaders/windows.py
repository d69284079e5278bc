"""A permutation inside each window: computed for any place by itself, or kept for a row of windows that are in use."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..counted import mix

I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]
SORTED = 1_024
"""Windows up to this size are permuted by sorting hashes, uniform over all permutations; larger ones by a cipher."""
ROUNDS = 6


def permuted(offset: I64, size: I64, words: Sequence[int], window: Sequence[I64]) -> I64:
    """(n,) where the items at ``offset`` < ``size`` of their windows really lie; a bijection of each window.

    ``words`` and the columns of ``window`` name the window: the same names and size, the same permutation.
    """
    if len(offset) == 0:
        return offset
    keys = _names(words, window)
    inside = np.empty_like(offset)
    # by the size of each window alone, whatever other windows are asked for in the same call
    for here, permute in ((size <= SORTED, _sorted), (size > SORTED, _enciphered)):
        if here.any():
            inside[here] = permute(offset[here], size[here], keys[here])
    return inside


def _sorted(offset: I64, size: I64, keys: U64) -> I64:
    # Many places of a batch may share a window: each is sorted once.   unique (u,), of (n,)
    unique, first, of = np.unique(keys, return_index=True, return_inverse=True)
    inside: I64 = _by_hash(size[first], unique)[of, offset]
    return inside


def _by_hash(size: I64, keys: U64) -> I64:
    """(u, widest) the permutations of u windows: argsort turns a row of hashes into one; what lies beyond a window is last."""
    slots = np.arange(int(size.max()), dtype=np.uint64)[None, :]
    hashes = mix(keys[:, None], slots)
    hashes[slots >= size.astype(np.uint64)[:, None]] = np.uint64(0xFFFFFFFFFFFFFFFF)
    return np.argsort(hashes, axis=1, kind="stable")


def _names(words: Sequence[int], window: Sequence[I64]) -> U64:
    return mix(*words, *(column.astype(np.uint64) for column in window))


class Row:
    """Windows side by side, one in each lane, each sorted when a place in it is first asked for: ``permuted`` from memory.

    A batch takes a few items of each lane, the next batch the next few of the same windows. Threads may share it: what
    two of them sort is the same.
    """

    def __init__(self, sizes: I64, words: Sequence[int], number: int) -> None:
        self._sizes, self._words, self._number = sizes, words, number
        self._orders = np.zeros((len(sizes), int(sizes.max())), dtype=np.int16)
        self._sorted = np.zeros(len(sizes), dtype=np.bool_)

    def permuted(self, lane: I64, offset: I64) -> I64:
        """(n,) where the items at ``offset`` of the lanes' windows really lie."""
        new = np.unique(lane[~self._sorted[lane]])
        if len(new):
            sizes = self._sizes[new]
            orders = _by_hash(sizes, _names(self._words, (new, np.full_like(new, self._number))))
            self._orders[new, : orders.shape[1]] = orders
            self._sorted[new] = True  # after the orders
        return self._orders[lane, offset].astype(np.int64)


def _enciphered(offset: I64, size: I64, keys: U64) -> I64:
    """A Feistel network over the next power of four, walked until it lands inside the window (Black, Rogaway 2002)."""
    half = np.maximum((_bits(size - 1) + 1) // 2, 1).astype(np.uint64)
    bound = size.astype(np.uint64)
    place = _rounds(offset.astype(np.uint64), half, keys)
    while len(outside := np.flatnonzero(place >= bound)):
        place[outside] = _rounds(place[outside], half[outside], keys[outside])
    return place.astype(np.int64)


def _rounds(value: U64, half: U64, keys: U64) -> U64:
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = value >> half, value & mask
    for number in range(ROUNDS):
        left, right = right, left ^ (mix(keys, number, right) & mask)
    joined: U64 = (left << half) | right
    return joined


def _bits(value: I64) -> I64:
    """Bits that each number needs; exact below 2**53, and a window holds fewer items than that."""
    return np.frexp(value.astype(np.float64))[1].astype(np.int64)
