"""COCO's run-length masks: column by column, runs of zeros and ones in turn, beginning with zeros.

    size [2, 3], counts [1, 2, 3]   ->   0 1 0      column-major: 0 | 1 1 | 0 0 0
                                         1 0 0

Compressed ``counts`` are text: cocoapi's variable-length code of 5 bits a character (maskApi.c, rleFrString).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptData

Mask = NDArray[np.bool_]


def rle_mask(rle: Mapping[str, Any]) -> Mask:
    """(H, W) mask of a record's ``rle``; raises CorruptData where its runs do not fill its size."""
    height, width = rle["size"]
    return runs_mask(rle_counts(rle), height, width)


def rle_counts(rle: Mapping[str, Any]) -> list[int]:
    """Run lengths of a record's ``rle``, compressed or not."""
    return list(rle["counts"]) if rle.get("compressed") is None else decompress(rle["compressed"])


def runs_mask(counts: Sequence[int], height: int, width: int) -> Mask:
    """(H, W) mask of run lengths; raises CorruptData where they do not add up to H * W."""
    runs = np.asarray(counts, dtype=np.int64)
    if runs.sum() != height * width or (runs < 0).any():
        raise CorruptData(
            f"a run-length mask covers {runs.sum():,} pixels, its size {height} x {width} has {height * width:,}."
        )
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return flat.reshape(width, height).T


def decompress(text: str) -> list[int]:
    """Run lengths of compressed text: 5 bits a character from '0' up, low first, the 6th says that more follow.

    From the fourth on, each is a difference to the run two before it. Raises CorruptData for other characters.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise CorruptData(f"a compressed mask has the character {character!r}, which stands for no bits.")
        value |= (code & 0x1F) << shift
        shift += 5
        if code & 0x20:
            continue
        if code & 0x10:  # the sign bit of the last character
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise CorruptData(f"a compressed mask of {len(text)} characters ends in the middle of a number.")
    return counts
