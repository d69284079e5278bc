"""Who is mixed with whom: a pure function of the batch's keys and seeds, never a copy of the same image.

valid rows in a random order, those of one key side by side, then rolled by the largest such group:
    order     a a b c d        every row meets another key, whatever repeats the sampler made,
    partner   b c d a a        unless one key fills more than half of the batch
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..counted import mix, text_word
from .boxes import I64, U64

MODES = ("batch", "pair", "elem")
_KEYS, _ROWS = 1, 2


def batch_word(seeds: U64, keys: Sequence[str], stage: int) -> U64:
    """(1,) a word for this batch: of its stage, and each row's place, seed (which holds seed and epoch) and key."""
    rows = mix(stage, np.arange(len(keys), dtype=np.uint64), seeds, key_words(keys))
    return mix(stage, np.bitwise_xor.reduce(rows, keepdims=True)) if len(keys) else mix(stage)


def key_words(keys: Sequence[str]) -> U64:
    """(B,) a word for each key."""
    return np.array([text_word(key) for key in keys], dtype=np.uint64)


def partners(keys: Sequence[str], word: U64, mode: str) -> tuple[I64, I64]:
    """Each row's partner (B,), itself where it stays unmixed, and the number (B,) of the draw that it shares.

    ``batch``: one draw; ``elem``: each row its own; ``pair``: two rows partner each other and share one, and of an odd
    number of rows one is left over. A row whose key is '' (a filler) takes no part. A row stays unmixed where no other
    key is left for it.
    """
    count = len(keys)
    partner = np.arange(count)
    order, most = _grouped(keys, word)
    if mode == "pair":
        half = len(order) // 2
        first, second = order[:half], order[half : 2 * half]
        partner[first], partner[second] = second, first
    else:
        partner[order] = np.roll(order, -most)
    names = np.asarray(keys, dtype=object)
    partner = np.where(names[partner] == names, np.arange(count), partner) if count else partner
    shared = {
        "batch": np.zeros(count, dtype=np.int64),
        "elem": np.arange(count),
        "pair": np.minimum(partner, np.arange(count)),
    }
    return partner, shared[mode]


def _grouped(keys: Sequence[str], word: U64) -> tuple[I64, int]:
    """The valid rows in random order, equal keys side by side, and the size of the largest group."""
    valid: NDArray[np.int64] = np.flatnonzero([key != "" for key in keys])
    if not len(valid):
        return valid, 0
    groups = mix(word, _KEYS, key_words([keys[row] for row in valid]))
    within = mix(word, _ROWS, valid.astype(np.uint64))
    return valid[np.lexsort((within, groups))], int(np.unique(groups, return_counts=True)[1].max())
