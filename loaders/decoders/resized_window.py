"""One axis of a window of a resized picture: which pixels it is made of, and how far the picture is to be resized for it.

    picture   |........first======last.......|  have
                         |          |
    resized   |........start======stop........|  whole

Positions are counted from the picture's edge, so that every pixel has the weights that it has in the whole; what lies
beyond ``last`` and ``stop`` is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

REACH = {"bilinear": 1, "bicubic": 2}
"""Pixels on either side of a point that a kernel takes, in those of the coarser picture."""


@dataclass(frozen=True, slots=True)
class WindowAxis:
    """Pixels [start, stop) of a picture resized from ``have`` to ``whole``, made by resizing ``last`` pixels to ``made``."""

    start: int
    stop: int
    first: int
    """Pixels [first, last) of the picture are what the window is made of."""
    last: int
    made: int
    zoom: float

    @classmethod
    def of(cls, have: int, whole: int, start: int, stop: int, interpolation: str) -> WindowAxis | None:
        """None where the window does not lie inside the resized picture."""
        if not 0 <= start < stop <= whole:
            return None
        scale = have / whole
        reach = REACH[interpolation] * max(1.0, scale)
        first = max(0, math.floor(scale * (start + 0.5) - reach) - 1)
        last = min(have, math.ceil(scale * (stop - 0.5) + reach) + 1)
        # torch leaves an axis alone whose size does not change, whatever zoom it is told
        last, made = (have, whole) if last == stop else (last, stop)
        return cls(start, stop, first, last, made, whole / have)
