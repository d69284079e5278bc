"""Checks of constructor arguments, so that a wrong one fails where it is written and not on the first batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import OptionError
from .plan import INTERPOLATIONS

Size = int | Sequence[int]
Pair = tuple[float, float]


def as_hw(size: Size, who: str) -> tuple[int, int]:
    """``size`` as (height, width), both at least 1; one number means a square."""
    pair: tuple[Any, ...] = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(pair) != 2 or any(isinstance(side, bool) or not isinstance(side, int) or side < 1 for side in pair):
        raise OptionError(f"{who}: size is {size!r}; give one whole number >= 1 or (height, width)")
    return pair[0], pair[1]


def as_range(pair: Sequence[float], name: str, who: str) -> Pair:
    """``pair`` as (low, high) with 0 < low <= high."""
    if len(pair) != 2 or not 0 < pair[0] <= pair[1]:
        raise OptionError(f"{who}: {name} is {tuple(pair)!r}; give (low, high) with 0 < low <= high")
    return float(pair[0]), float(pair[1])


def as_interpolation(name: str, who: str) -> str:
    """``name`` where it is a filter that both Pillow and torch have."""
    if name not in INTERPOLATIONS:
        raise OptionError(f"{who}: interpolation is {name!r}; use one of {', '.join(INTERPOLATIONS)}")
    return name


def as_probability(value: float, who: str) -> float:
    """``value`` where it lies in [0, 1]."""
    if not 0 <= value <= 1:
        raise OptionError(f"{who}: p is {value!r}; give a probability from 0 to 1")
    return float(value)
