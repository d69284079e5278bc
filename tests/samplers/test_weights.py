"""What each sampler weighs: goldens of the papers' code, and plain loops over the annotations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardstream.loaders.samplers import (
    ClassBalanced,
    MultiLabel,
    Natural,
    RepeatFactor,
    Sampler,
    Weighted,
    effective_number,
)
from shardstream.loaders.samplers.classes import repeats
from shardstream.loaders.samplers.stratified import Stratified

from . import reference
from .fake_items import FakeItems, copies_of, expected_of, fitted

LONG_TAIL = [[c] for c, count in enumerate((5000, 500, 50, 5)) for _ in range(count)]
LVIS = [[0], [0], [0], [0, 1], [0], [0, 2], [0], [0], [1], []]

counts = st.lists(st.integers(0, 12), min_size=1, max_size=8).filter(any)
label = st.integers(0, 6)


@st.composite
def labelled(draw: st.DrawFn, empty: bool = False) -> tuple[list[list[int]], list[int]]:
    """Sets of labels and the sizes of the shards that they lie in."""
    sizes = draw(counts)
    sets = st.lists(label, min_size=0 if empty else 1, max_size=4)
    return draw(st.lists(sets, min_size=sum(sizes), max_size=sum(sizes)).filter(any)), sizes


def tail(sampler: Sampler) -> FakeItems:
    return FakeItems({"labels": [labels[0] for labels in LONG_TAIL]}, [1111] * 5)


def test_power_one_half_gives_the_shares_of_kang() -> None:
    """n = 5000, 500, 50, 5 and q = 0.5: .6907 .2184 .0691 .0218 (their code)."""
    items = tail(sampler := ClassBalanced(0.5, max_copies=math.inf))
    each = np.array(expected_of(fitted(sampler, items), items))
    shares = [each[np.array([labels == [c] for labels in LONG_TAIL])].sum() / each.sum() for c in range(4)]
    assert shares == pytest.approx([0.6907, 0.2184, 0.0691, 0.0218], abs=5e-5)


def test_effective_numbers_are_those_of_cui() -> None:
    """n = 5000, 500, 50, 5 and beta = 0.999: .0179 .0453 .3652 3.5715 (their code); as sampling weights too."""
    found = effective_number(np.array([5000, 500, 50, 5]), 0.999)
    assert found == pytest.approx([0.0179, 0.0453, 0.3652, 3.5715], abs=5e-5)
    items = tail(sampler := ClassBalanced(effective=0.999, max_copies=math.inf))
    each = np.array(expected_of(fitted(sampler, items), items))
    assert each[[0, 5000, 5500, 5550]] / each[0] == pytest.approx(found / found[0], rel=1e-6)


def test_repeat_factors_are_those_of_detectron2() -> None:
    """f = .8, .2, .1 at t = .5: r = 1, 1.581139, 2.236068, an item's the largest, an empty one's 1; 12.398346 in all."""
    assert repeats(np.array([8, 2, 1]), 10, 0.5) == pytest.approx([1, 1.581139, 2.236068], abs=5e-7)
    assert sum(reference.repeat_factor(LVIS, 0.5)) == pytest.approx(12.398346, abs=5e-7)
    items = FakeItems({"labels": LVIS}, [4, 6])
    found = fitted(RepeatFactor(0.5), items)
    assert found.copies.size == 13
    assert expected_of(found, items) == pytest.approx([r * 13 / 12.398346 for r in reference.repeat_factor(LVIS, 0.5)])


@settings(max_examples=60)
@given(labelled(empty=True), st.sampled_from([0.01, 0.1, 0.5, 1.0]), st.booleans())
def test_repeat_factor_equals_plain_loops_and_leaves_nobody_out(
    made: tuple[list[list[int]], list[int]], threshold: float, square_root: bool
) -> None:
    """Its own size is the sum of repeats, rounded up; every item has floor(r) copies at least and none more than 10."""
    labels, sizes = made
    wanted = [min(r, 10) for r in reference.repeat_factor(labels, threshold, square_root)]
    items = FakeItems({"labels": labels}, sizes)
    found = fitted(RepeatFactor(threshold, square_root), items)
    assert sum(wanted) - 1e-6 <= found.copies.size <= math.ceil(sum(wanted) + 1e-6)
    for epoch in range(5):
        copies = copies_of(found, items, epoch)
        assert sum(copies) == found.copies.size
        assert all(math.floor(r * (1 - 1e-6)) <= count <= 10 for count, r in zip(copies, wanted, strict=True))
        assert min(copies) >= 1


@settings(max_examples=60)
@given(labelled(empty=True), st.sampled_from([0.1, 0.5, 1.0]), st.floats(0.3, 9.9))
def test_no_epoch_of_all_time_lifts_an_item_above_the_cap_or_leaves_one_out(
    made: tuple[list[list[int]], list[int]], threshold: float, share: float
) -> None:
    """In whole numbers, so for every draw: W_i M / W is at most 10, and at its own size never below 1."""
    labels, sizes = made
    items = FakeItems({"labels": labels}, sizes)
    for size in (None, max(1, int(share * len(labels)))):
        copies = fitted(RepeatFactor(threshold, False, size=size), items).copies
        assert isinstance(copies, Stratified)
        each = [int(weight) for weight, held in zip(copies.weights.each, copies.weights.items, strict=True) if held]
        assert max(each) * copies.size <= 10 * copies.weights.total
        assert size is not None or min(each) * copies.size >= copies.weights.total


SAMPLERS: dict[str, tuple[Any, Any]] = {
    "rarest": (lambda size: MultiLabel("rarest", size=size), reference.rarest),
    "class_aware": (lambda size: MultiLabel("class_aware", size=size), reference.class_aware),
    "distribution_balanced": (lambda size: MultiLabel("distribution_balanced", size=size), reference.class_aware),
    "repeat_factor": (lambda size: MultiLabel(size=size), lambda labels: reference.repeat_factor(labels, 0.1)),
    "RepeatFactor": (
        lambda size: RepeatFactor(0.3, False, size=size), lambda labels: reference.repeat_factor(labels, 0.3, False),
    ),
    "natural": (lambda size: Natural(size=size), lambda labels: [1.0] * len(labels)),
}  # fmt: skip


@settings(max_examples=40)
@given(labelled(), st.sampled_from(list(SAMPLERS)), st.floats(0.05, 9.9))
def test_expected_copies_equal_plain_loops(made: tuple[list[list[int]], list[int]], name: str, share: float) -> None:
    """Weights, filled up to the size and capped at 10, to the last millionth; and copies within one of them."""
    labels, sizes = made
    size = max(1, int(share * len(labels)))
    sampler, weights = SAMPLERS[name][0](size), SAMPLERS[name][1](labels)
    items = FakeItems({"labels": labels}, sizes)
    found, wanted = fitted(sampler, items), reference.expected(weights, size)
    assert expected_of(found, items) == pytest.approx(wanted, rel=1e-6)
    for epoch in range(3):
        copies = copies_of(found, items, epoch)
        assert sum(copies) == size
        assert max(copies) <= 10
        assert all(abs(count - mean) < 1 + 1e-6 for count, mean in zip(copies, wanted, strict=True))


@settings(max_examples=40)
@given(st.data(), st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.sampled_from([None, 0.9, 0.999]))
def test_class_balanced_equals_plain_loops(data: st.DataObject, power: float, beta: float | None) -> None:
    """And every class has its share of an epoch to within one copy, whatever shards it lies in."""
    sizes = data.draw(counts)
    labels = [[c] for c in data.draw(st.lists(label, min_size=sum(sizes), max_size=sum(sizes)))]
    sampler = ClassBalanced(power) if beta is None else ClassBalanced(effective=beta)
    weights = reference.class_balanced(labels, power) if beta is None else reference.effective(labels, beta)
    items = FakeItems({"labels": [c for (c,) in labels]}, sizes)
    found, wanted = fitted(sampler, items), reference.expected(weights, len(labels))
    assert expected_of(found, items) == pytest.approx(wanted, rel=1e-6)
    for epoch in range(3):
        copies = copies_of(found, items, epoch)
        for c in range(7):
            held = [i for i, (own,) in enumerate(labels) if own == c]
            assert abs(sum(copies[i] for i in held) - sum(wanted[i] for i in held)) < 1 + 1e-6


@settings(max_examples=40)
@given(labelled(), st.floats(-0.5, 0.5), st.floats(0.1, 20), st.floats(-1, 1))
def test_class_weights_equal_the_paper_term_by_term(
    made: tuple[list[list[int]], list[int]], alpha: float, beta: float, mu: float
) -> None:
    """alpha + sigmoid(beta (P_C / P_I - mu)) for every class, those that nobody holds included."""
    labels, sizes = made
    items = FakeItems({"labels": labels}, sizes, names="abcdefgh")
    sampler = MultiLabel("distribution_balanced", alpha=alpha, beta=beta, mu=mu)
    rule = sampler.rule(items)
    found = sampler.fields(rule, items.columns["labels"])["class_weight"]
    assert found.dtype == np.float32
    assert found == pytest.approx(np.array(reference.class_weight(labels, 8, alpha, beta, mu)), abs=1e-5)


@settings(max_examples=40)
@given(st.data(), st.booleans())
def test_weights_of_ones_own_are_taken_as_they_are(data: st.DataObject, by_column: bool) -> None:
    """A column of the index or an array, few distinct values or all different; 0 never comes."""
    sizes = data.draw(counts)
    value = st.one_of(st.integers(0, 3).map(float), st.floats(1e-6, 100), st.just(0.0))
    weights = data.draw(st.lists(value, min_size=sum(sizes), max_size=sum(sizes)).filter(lambda w: max(w) > 1e-3))
    items = FakeItems({"mine": weights}, sizes)
    held = sum(weight > 0 for weight in weights)
    size = data.draw(st.integers(1, 10 * held))
    found = fitted(Weighted("mine" if by_column else weights, size=size), items)
    copies, wanted = copies_of(found, items), reference.expected(weights, size)
    assert sum(copies) == size
    assert max(copies) <= 10
    assert all(count == 0 for count, weight in zip(copies, weights, strict=True) if weight == 0)
    assert all(abs(count - mean) < 1 + 1e-6 for count, mean in zip(copies, wanted, strict=True))
