"""Batches planned together: each gets its own rows, in whatever order they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardstream.errors import CorruptData
from shardstream.loaders.steps import Pace, Planned, Rows, Span, Steps


def rows_of(span: Span) -> Rows:
    numbers: Any = np.arange(*span)
    keys = [str(number) for number in numbers]
    return Rows(numbers, numbers, numbers, numbers, keys, numbers, numbers, numbers, numbers, {"x": numbers}, numbers)


class Planner:
    """Counts what is asked of it, and refuses the batches that begin at ``broken``."""

    def __init__(self, *broken: int) -> None:
        self.calls: list[list[Span]] = []
        self.copied = 0
        self.broken = broken

    def __call__(self, spans: Sequence[Span]) -> Planned:
        self.calls.append(list(spans))
        for start, _ in spans:
            if start in self.broken:
                raise CorruptData(f"batch {start}")
        return Planned([rows_of(span) for span in spans], self.copy)

    def copy(self) -> None:
        self.copied += 1


@given(st.integers(1, 40), st.integers(1, 3), st.integers(1, 16), st.randoms(use_true_random=False))
def test_every_batch_gets_its_rows_in_any_order(size: int, workers: int, most: int, random: Any) -> None:
    """Threads ask a little out of order; a test may ask anyhow, and twice."""
    steps = Steps(Planner(), Pace(batch=3, stride=3 * workers, stop=size), most)
    spans = [(start, min(start + 3, size)) for start in range(0, size, 3)]
    asked = spans + random.sample(spans, len(spans))
    for span in asked:
        assert steps.rows(*span).keys == rows_of(span).keys


def test_the_first_batch_is_planned_alone_and_later_ones_together() -> None:
    """So 100 batches take few calls, none plans more than it may, and each is planned once."""
    planner = Planner()
    steps = Steps(planner, Pace(batch=2, stride=4, stop=400), 16)
    for start in range(2, 400, 4):
        steps.rows(start, start + 2)
    assert [len(call) for call in planner.calls] == [1, 2, 4, 8, 16, 16, 16, 16, 16, 5]
    assert [span for call in planner.calls for span in call] == [(start, start + 2) for start in range(2, 400, 4)]
    assert planner.copied == len(planner.calls)


def test_an_error_comes_with_the_batch_that_it_belongs_to() -> None:
    """Though it was planned together with others, which are made."""
    steps = Steps(Planner(6, 10), Pace(batch=1, stride=1, stop=20), 16)
    for start in range(20):
        if start in (6, 10):
            with pytest.raises(CorruptData, match=f"batch {start}"):
                steps.rows(start, start + 1)
        else:
            assert steps.rows(start, start + 1).keys == [str(start)]


def test_several_batches_for_one_who_makes_them_all() -> None:
    """Their rows, not yet copied; none where one of them fails, so that each is asked for alone."""
    planner = Planner(6)
    steps = Steps(planner, Pace(batch=1, stride=1, stop=20), 16)
    found = steps.together([(1, 2), (2, 3)])
    assert found is not None
    assert [rows.keys for rows in found.rows] == [["1"], ["2"]]
    assert planner.copied == 0
    assert steps.together([(5, 6), (6, 7)]) is None


def test_a_jump_forgets_what_was_planned_before() -> None:
    """What lies between is neither planned nor held."""
    planner = Planner()
    steps = Steps(planner, Pace(batch=1, stride=1, stop=1_000_000), 8)
    for start in (0, 1, 2, 3, 500_000, 500_001):
        steps.rows(start, start + 1)
    assert sum(len(call) for call in planner.calls) < 40


def test_cutting_rows_cuts_every_field() -> None:
    """Sampler fields too."""
    part = rows_of((0, 10)).cut(3, 5)
    for name in Rows.__slots__:
        value = getattr(part, name)
        assert list(value["x"] if name == "extra" else value) == (["3", "4"] if name == "keys" else [3, 4])
