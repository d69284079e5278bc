"""How many rows of each class a stratified fraction takes."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from shardstream.loaders.quota import quotas

SIZES = st.lists(st.integers(0, 30), min_size=1, max_size=8).filter(lambda sizes: sum(sizes) > 0)


@given(SIZES)
def test_every_total_is_met_within_one_row_a_class(sizes: list[int]) -> None:
    """Floor or ceiling of the class's exact share, whatever the sizes; the largest-remainder bound."""
    for total in range(sum(sizes) + 1):
        taken = quotas(sizes, total).tolist()
        assert sum(taken) == total
        for size, got in zip(sizes, taken, strict=True):
            share = Fraction(size * total, sum(sizes))
            assert math.floor(share) <= got <= math.ceil(share)


@given(SIZES)
def test_a_larger_total_takes_no_row_back(sizes: list[int]) -> None:
    """So fractions of one seed are nested."""
    totals = [quotas(sizes, total) for total in range(sum(sizes) + 1)]
    assert all((after >= before).all() for before, after in itertools.pairwise(totals))


def test_largest_remainders_alone_would_take_one_back() -> None:
    """The Alabama paradox of 6, 6 and 2 rows: 4 4 2 of ten, 5 5 1 of eleven. Ours is nested at both."""
    sizes = [6, 6, 2]

    def hamilton(total: int) -> list[int]:
        shares = [Fraction(size * total, sum(sizes)) for size in sizes]
        taken = [math.floor(share) for share in shares]
        order = sorted(range(3), key=lambda c: -(shares[c] - taken[c]))
        for c in order[: total - sum(taken)]:
            taken[c] += 1
        return taken

    assert (hamilton(10), hamilton(11)) == ([4, 4, 2], [5, 5, 1])
    assert (quotas(sizes, 11) >= quotas(sizes, 10)).all()


def test_balanced_classes_are_taken_evenly() -> None:
    """5,000 of each of ten classes: exactly a tenth of each."""
    assert quotas([5_000] * 10, 5_000).tolist() == [500] * 10
