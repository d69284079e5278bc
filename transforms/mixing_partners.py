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


def key_words(keys: Sequence[str]) -> U64:
    """(B,) a word for each key; 0 for '', the key of a filler."""
    return np.array([text_word(key) if key else 0 for key in keys], dtype=np.uint64)


def batch_word(seeds: U64, names: U64, stage: int) -> U64:
    """(1,) a word for this batch: of its stage, and each row's place, seed (which holds seed and epoch) and key."""
    rows = mix(stage, np.arange(len(names), dtype=np.uint64), seeds, names)
    return mix(stage, np.bitwise_xor.reduce(rows, keepdims=True))


def partners(names: U64, word: U64, mode: str) -> tuple[I64, I64]:
    """Each row's partner (B,), itself where it stays unmixed, and the number (B,) of the draw that it shares.

    ``names`` are the words of the rows' keys. ``batch``: one draw; ``elem``: each row its own; ``pair``: two rows
    partner each other and share one, and of an odd number of rows one is left over. A filler takes no part. A row
    stays unmixed where no other key is left for it.
    """
    rows = np.arange(len(names))
    partner = rows.copy()
    order, most = _grouped(names, word)
    if mode == "pair":
        half = len(order) // 2
        first, second = order[:half], order[half : 2 * half]
        partner[first], partner[second] = second, first
    else:
        partner[order] = np.roll(order, -most)
    partner = np.where(names[partner] == names, rows, partner)
    return partner, {"batch": np.zeros_like(rows), "elem": rows, "pair": np.minimum(partner, rows)}[mode]


def _grouped(names: U64, word: U64) -> tuple[I64, int]:
    """The rows that are no fillers in random order, equal keys side by side, and the size of the largest group."""
    valid: NDArray[np.int64] = np.flatnonzero(names)
    groups = mix(word, _KEYS, names[valid])
    within = mix(word, _ROWS, valid.astype(np.uint64))
    sizes = np.unique(groups, return_counts=True)[1]
    return valid[np.lexsort((within, groups))], int(sizes.max(initial=0))
