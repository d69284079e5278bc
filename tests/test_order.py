"""The order of an epoch: a permutation, the same for every world, near its own shards."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from shardstream.errors import OptionError
from shardstream.loaders import windows
from shardstream.loaders.order import EpochOrder, OrderSpec, rank_positions, reversed_digits
from shardstream.loaders.windows import permuted

COUNTS = st.lists(st.integers(0, 40), min_size=1, max_size=30).filter(lambda counts: sum(counts) > 0)


def everything(order: EpochOrder) -> list[tuple[int, int]]:
    shards, rows = order.locate(np.arange(order.items))
    return list(zip(shards.tolist(), rows.tolist(), strict=True))


@given(COUNTS, st.sampled_from([1, 2, 3, 4, 6, 8, 12, 384]), st.integers(1, 70), st.integers(0, 3), st.booleans())
def test_every_row_of_every_shard_has_exactly_one_position(
    counts: list[int], lanes: int, window: int, epoch: int, shuffle: bool
) -> None:
    """Empty shards, fewer items than lanes and short windows included."""
    order = EpochOrder(np.array(counts), OrderSpec(shuffle, 7, lanes, window), epoch)
    expected = [(shard, row) for shard, count in enumerate(counts) for row in range(count)]
    assert sorted(everything(order)) == expected


@given(COUNTS, st.integers(0, 5))
def test_positions_can_be_asked_for_in_any_pieces(counts: list[int], seed: int) -> None:
    """locate is a function of a position alone: any batch of positions gives the same rows."""
    order = EpochOrder(np.array(counts), OrderSpec(True, seed, 4, 8), 0)
    whole = everything(order)
    rng = np.random.default_rng(seed)
    some = rng.permutation(order.items)[: max(1, order.items // 3)]
    shards, rows = order.locate(some)
    assert [whole[p] for p in some] == list(zip(shards.tolist(), rows.tolist(), strict=True))


@given(st.integers(0, 100), st.integers(0, 60), st.integers(1, 9), st.booleans())
def test_ranks_share_a_global_batch_without_overlap_and_evenly(
    start: int, size: int, world: int, shuffle: bool
) -> None:
    """The union over ranks is the batch, and no rank has more than its slots."""
    parts = [rank_positions(start, start + size, rank, world, shuffle) for rank in range(world)]
    assert sorted(np.concatenate(parts).tolist()) == list(range(start, start + size))
    assert max(map(len, parts)) <= -(-size // world)


def test_without_shuffle_the_order_is_canonical() -> None:
    """Evaluation goes shard by shard, row by row."""
    order = EpochOrder(np.array([2, 0, 3]), OrderSpec(False), 5)
    assert everything(order) == [(0, 0), (0, 1), (2, 0), (2, 1), (2, 2)]


def test_seeds_and_epochs_give_other_orders() -> None:
    """A new epoch is a new order, and so is a new seed."""
    counts = np.full(20, 50)
    orders = {
        tuple(everything(EpochOrder(counts, OrderSpec.for_size(1000, True, seed), epoch)))
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9


def test_a_rank_whose_world_divides_the_lanes_reads_few_shards() -> None:
    """1,024 equal shards over 64 ranks: the ideal is 16 shards a rank, two ragged ends per lane come on top."""
    counts = np.full(1024, 128)
    for lanes in (64, 128, 384):
        order = EpochOrder(counts, OrderSpec(True, 0, lanes, 64), 0)
        shards, _ = order.locate(np.arange(5, order.items, 64))
        assert 16 <= len(set(shards.tolist())) <= 18


@given(st.integers(1, 400))
def test_lanes_are_cut_once_each_and_a_rank_of_a_power_of_two_gets_neighbours(lanes: int) -> None:
    """Reversed digits: lanes r, r + W, ... lie side by side, so a rank has two ragged ends, not two a lane."""
    cuts = reversed_digits(lanes)
    assert sorted(cuts.tolist()) == list(range(lanes))
    for world in (2**k for k in range(9) if lanes % 2**k == 0):
        for rank in range(world):
            mine = np.sort(cuts[rank::world])
            assert mine[-1] - mine[0] == len(mine) - 1


def test_a_global_batch_draws_from_many_shards() -> None:
    """Neighbours in the epoch come from different lanes, hence from different shards."""
    order = EpochOrder(np.full(1024, 128), OrderSpec.for_size(1024 * 128, True, 0), 0)
    shards, _ = order.locate(np.arange(256))
    assert len(set(shards.tolist())) > 200


def test_the_order_of_this_version_is_pinned() -> None:
    """Golden: saved states rely on it; changing it needs a new state version."""
    order = EpochOrder(np.array([5, 4, 7]), OrderSpec(True, 3, 2, 4), 1)
    assert everything(order) == [
        *[(0, 1), (1, 3), (0, 2), (2, 1), (0, 3), (2, 0), (0, 0), (2, 2)],
        *[(1, 2), (2, 6), (1, 0), (2, 3), (0, 4), (2, 4), (1, 1), (2, 5)],
    ]
    large = EpochOrder(np.array([5, 4, 3000]), OrderSpec(True, 3, 6, 2000), 1)
    shards, rows = large.locate(np.arange(8))
    assert (shards.tolist(), rows.tolist()) == ([2] * 8, [23, 1756, 758, 2391, 1467, 2958, 271, 1556])


@given(st.integers(1, 6000), st.integers(0, 2**40))
def test_a_large_window_is_permuted_without_being_sorted(size: int, seed: int) -> None:
    """A cipher that walks until it lands inside: every place once, for sizes that are no power of two as well."""
    offset, zeros = np.arange(size), np.zeros(size, dtype=np.int64)
    found = permuted(offset, np.full(size, size), (seed,), (zeros,))
    assert sorted(found.tolist()) == list(range(size))
    assert sorted(windows._enciphered(*_words(offset, size, seed)).tolist()) == list(range(size))


def _words(offset: np.ndarray, size: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return offset.astype(np.uint64), np.full(size, size, dtype=np.uint64), np.full(size, seed, dtype=np.uint64)


@pytest.mark.parametrize("size", [7, 64, 1500])
def test_windows_are_permuted_evenly(size: int) -> None:
    """Each place of a window is filled by each item equally often, for sorted and enciphered windows alike."""
    draws = 20 * size
    offset = np.tile(np.arange(size), 20)[:draws]
    number = np.arange(draws) // size * 1000 + 17
    first = [
        permuted(np.zeros(1, np.int64), np.array([size]), (seed,), (np.zeros(1, np.int64),))[0] for seed in range(2000)
    ]
    expected = np.histogram(np.arange(size), bins=7, range=(0, size))[0] * len(first) / size
    assert stats.chisquare(np.histogram(first, bins=7, range=(0, size))[0], expected).pvalue > 1e-4
    found = permuted(offset, np.full(draws, size), (1,), (number,))
    moved = np.abs(found - offset).mean() / size
    assert 0.28 < moved < 0.39  # two independent uniform places are a third of the window apart


def test_a_window_of_zero_is_refused() -> None:
    """The window is at least one sample."""
    with pytest.raises(OptionError, match="at least 1, not 0"):
        OrderSpec.for_size(10, True, 0, 0)


@given(st.integers(0, 100), st.integers(0, 60), st.integers(1, 9))
def test_a_rank_takes_the_same_residue_wherever_an_epoch_is_resumed(start: int, size: int, world: int) -> None:
    """p mod W = r from any start: that is what keeps whole lanes, and so shards, with one rank."""
    for rank in range(world):
        assert all(p % world == rank for p in rank_positions(start, start + size, rank, world, shuffle=True))
