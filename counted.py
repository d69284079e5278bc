"""Counted randomness: numbers computed from what they are for, never drawn from a generator's position.

``mix(seed, epoch, key, stage)`` is the same on every machine, worker, rank and resume point, in any batch.
The mixer is splitmix64 (Steele, Lea, Flood 2014), folded over the words; golden tests pin its values for ever.
"""

from __future__ import annotations

import numpy as np
import xxhash
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
Word = int | U64

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)


def _splitmix(x: U64) -> U64:
    x = (x ^ (x >> np.uint64(30))) * _M1
    x = (x ^ (x >> np.uint64(27))) * _M2
    return x ^ (x >> np.uint64(31))


def _word(word: Word) -> U64:
    if isinstance(word, np.ndarray):
        return word.astype(np.uint64, copy=False)
    return np.asarray([word & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64)


def mix(*words: Word) -> U64:
    """Hash broadcastable 64-bit words into one uint64 array; a different order of words is a different hash."""
    state = np.zeros(1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for word in words:
            state = _splitmix((state ^ _word(word)) + _GAMMA)
    return state


def mix_one(*words: int) -> int:
    """``mix`` of plain integers as a plain integer in [0, 2**64)."""
    return int(mix(*words)[0])


def uniform(bits: U64) -> NDArray[np.float64]:
    """Map hashed words to floats in [0, 1), 53 bits each."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(count: int, *words: int) -> NDArray[np.int64]:
    """A permutation of ``range(count)`` that depends on the words alone."""
    return np.argsort(mix(*words, np.arange(count, dtype=np.uint64)), kind="stable")


def text_word(text: str) -> int:
    """A 64-bit word for a string (xxh3_64 of its UTF-8 bytes)."""
    return xxhash.xxh3_64_intdigest(text.encode())
