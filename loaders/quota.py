"""How many rows of each class a fraction takes: within one of its share, and never fewer in a larger fraction.

Largest remainders alone do not nest: of classes of 6, 6 and 2 they give 4 4 2 of ten places, and 5 5 1 of eleven.
Here every place t of N goes to one class, and the first K places are a fraction. The j-th place of a class of n may lie
in [floor((j - 1) N / n), ceil(j N / n)), so that after K places it has floor(K n / N) or ceil(K n / N); taking the
open one with the earliest end keeps all of them (Pfair scheduling: Baruah, Cohen, Plaxton, Varvel 1996).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def quotas(sizes: Sequence[int], total: int) -> NDArray[np.int64]:
    """(C,) places of classes of ``sizes`` rows among the first ``total`` of all; they add up to it."""
    held = [size for size in sizes if size]
    period = math.gcd(*held) if held else 1  # the pattern repeats so many times: balanced classes cost one round
    rounds, rest = divmod(total, sum(sizes) // period or 1)
    taken = np.array(sizes, dtype=np.int64) // period * rounds
    for number in _places([size // period for size in sizes], rest):
        taken[number] += 1
    return taken


def _places(sizes: Sequence[int], total: int) -> list[int]:
    """The classes of the first ``total`` places."""
    count = sum(sizes)
    given = [0] * len(sizes)
    closed = [(0, number) for number, size in enumerate(sizes) if size]  # (place from which it is open, class)
    opened: list[tuple[int, int]] = []  # (place before which it must be taken, class)
    places = []
    for place in range(total):
        while closed and closed[0][0] <= place:
            number = heapq.heappop(closed)[1]
            heapq.heappush(opened, (-(-(given[number] + 1) * count // sizes[number]), number))
        number = heapq.heappop(opened)[1]
        places.append(number)
        given[number] += 1
        if given[number] < sizes[number]:
            heapq.heappush(closed, (given[number] * count // sizes[number], number))
    return places
