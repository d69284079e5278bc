"""A permutation inside each window, computed for one place at a time: nothing is kept of a window between calls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..counted import mix

I64 = NDArray[np.int64]
SORTED = 1_024
"""Windows up to this size are permuted by sorting hashes, uniform over all permutations; larger ones by a cipher."""
ROUNDS = 6


def permuted(offset: I64, size: I64, words: Sequence[int], window: Sequence[I64]) -> I64:
    """(n,) where the items at ``offset`` < ``size`` of their windows really lie; a bijection of each window.

    ``words`` and the columns of ``window`` name the window: the same names and size, the same permutation.
    """
    if len(offset) == 0:
        return offset
    keys = mix(*words, *(column.astype(np.uint64) for column in window))
    inside = np.empty_like(offset)
    # by the size of each window alone, whatever other windows are asked for in the same call
    for here, permute in ((size <= SORTED, _sorted), (size > SORTED, _enciphered)):
        if here.any():
            inside[here] = permute(offset[here], size[here], keys[here])
    return inside


def _sorted(offset: I64, size: I64, keys: NDArray[np.uint64]) -> I64:
    # Many places of a batch may share a window: each is sorted once.   unique (u,), of (n,)
    unique, first, of = np.unique(keys, return_index=True, return_inverse=True)
    slots = np.arange(int(size.max()), dtype=np.uint64)[None, :]
    hashes = mix(unique[:, None], slots)  # (u, w): argsort turns a row of hashes into its window's permutation
    hashes[slots >= size[first].astype(np.uint64)[:, None]] = np.uint64(0xFFFFFFFFFFFFFFFF)
    inside: I64 = np.argsort(hashes, axis=1, kind="stable")[of, offset]
    return inside


def _enciphered(offset: I64, size: I64, keys: NDArray[np.uint64]) -> I64:
    """A Feistel network over the next power of four, walked until it lands inside the window (Black, Rogaway 2002)."""
    half = np.maximum((_bits(size - 1) + 1) // 2, 1).astype(np.uint64)
    bound = size.astype(np.uint64)
    place = _rounds(offset.astype(np.uint64), half, keys)
    while len(outside := np.flatnonzero(place >= bound)):
        place[outside] = _rounds(place[outside], half[outside], keys[outside])
    return place.astype(np.int64)


def _rounds(value: NDArray[np.uint64], half: NDArray[np.uint64], keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = value >> half, value & mask
    for number in range(ROUNDS):
        left, right = right, left ^ (mix(keys, number, right) & mask)
    joined: NDArray[np.uint64] = (left << half) | right
    return joined


def _bits(value: I64) -> I64:
    """Bits that each number needs; exact below 2**53, and a window holds fewer items than that."""
    return np.frexp(value.astype(np.float64))[1].astype(np.int64)
