"""Plans are pure functions of the records: any worker or machine cuts the same shards."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardstream.errors import OptionError, SourceError
from shardstream.shard_writer.plan import SplitPlan, parse_size, plan_split
from shardstream.shard_writer.types import Record, SplitInfo

INFO = SplitInfo(name="train", image_field="png")
SIZES = st.lists(st.integers(0, 10_000), min_size=1, max_size=200)


def records(sizes: list[int]) -> list[Record]:
    return [Record(f"k{i}", size, i) for i, size in enumerate(sizes)]


def planned(plan: SplitPlan) -> list[Record]:
    return [record for shard in plan.shards for record in shard.records]


@given(sizes=SIZES, shard_size=st.integers(1, 30_000))
def test_every_record_stands_once_and_in_order(sizes: list[int], shard_size: int) -> None:
    """Shards one after the other are the records themselves; none is empty; names count up."""
    plan = plan_split(INFO, records(sizes), shard_size)
    assert planned(plan) == records(sizes)
    assert all(shard.records for shard in plan.shards)
    assert [shard.name for shard in plan.shards] == [f"train-{i:06d}.tar" for i in range(len(plan.shards))]
    assert plan.samples == len(sizes)
    assert plan.shuffle_seed is None


@given(sizes=SIZES, shard_size=st.integers(1, 30_000))
def test_a_shard_passes_the_size_only_with_a_single_record_and_is_cut_only_when_full(
    sizes: list[int], shard_size: int
) -> None:
    """Greedy: the next shard's first record would not have fitted."""
    shards = plan_split(INFO, records(sizes), shard_size).shards
    for shard in shards:
        assert shard.nbytes <= shard_size or len(shard.records) == 1
    for shard, following in itertools.pairwise(shards):
        assert shard.nbytes + following.records[0].nbytes > shard_size


@given(sizes=SIZES, shard_size=st.integers(1, 30_000), seed=st.integers(0, 2**64 - 1))
def test_a_shuffled_plan_is_a_permutation_that_the_seed_decides(sizes: list[int], shard_size: int, seed: int) -> None:
    """The same on every call, every record once."""
    info = replace(INFO, shuffle=True)
    plan = plan_split(info, records(sizes), shard_size, seed)
    assert plan == plan_split(info, records(sizes), shard_size, seed)
    assert sorted(planned(plan), key=lambda record: record.where) == records(sizes)
    assert plan.shuffle_seed == seed


def test_shuffling_mixes_and_seeds_differ() -> None:
    """A run of one class in source order is spread over all shards."""
    info = replace(INFO, shuffle=True)
    one, two = (plan_split(info, records([100] * 1000), 10_000, seed) for seed in (0, 1))
    assert planned(one) != planned(two)
    for shard in one.shards:
        first_half = sum(record.where < 500 for record in shard.records)
        assert 25 < first_half < 75


def test_the_fingerprint_depends_on_all_that_decides_the_bytes() -> None:
    """And on nothing else: two calls agree."""
    base = plan_split(INFO, records([10, 20, 30]), 40).fingerprint
    assert plan_split(INFO, records([10, 20, 30]), 40).fingerprint == base
    others = [
        plan_split(INFO, records([10, 20, 31]), 40),
        plan_split(INFO, records([10, 20, 30, 40]), 40),
        plan_split(INFO, records([10, 20, 30]), 20),
        plan_split(replace(INFO, image_field="npy"), records([10, 20, 30]), 40),
        plan_split(replace(INFO, name="test"), records([10, 20, 30]), 40),
        plan_split(replace(INFO, columns={"label": "int64"}), records([10, 20, 30]), 40),
        plan_split(replace(INFO, pixel_stats=True), records([10, 20, 30]), 40),
        plan_split(INFO, [replace(record, key=record.key + "x") for record in records([10, 20, 30])], 40),
        plan_split(INFO, records([10, 20, 30]), 40, identity={"file": "other"}),
    ]
    assert len({plan.fingerprint for plan in others} | {base}) == len(others) + 1


def test_a_split_without_records_is_refused() -> None:
    """An empty dataset is a mistake in the command, not a result."""
    with pytest.raises(SourceError, match="split 'train' holds no samples"):
        plan_split(INFO, [], 100)


@pytest.mark.parametrize(
    ("text", "size"),
    [("256MB", 256_000_000), ("1GiB", 2**30), (" 1.5 kb ", 1500), ("12", 12), (".5KB", 500), (77, 77), ("2.KB", 2000)],
)
def test_sizes_are_read_as_written(text: str | int, size: int) -> None:
    """Powers of 1000, and of 1024 with an i."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", ".", "1.5.2MB", "-1", "0", 0, "1 parsec", "0.1", "1e9", "nan"])
def test_sizes_that_mean_nothing_are_refused(text: str | int) -> None:
    """Never another exception."""
    with pytest.raises(OptionError, match="size"):
        parse_size(text)
