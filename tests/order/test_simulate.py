"""The simulator against the order itself, item by item, and the figures that the project promises."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardstream.cli.main import main
from shardstream.errors import OptionError
from shardstream.loaders.epoch import Epoch
from shardstream.loaders.order import EpochOrder, OrderSpec
from shardstream.loaders.samplers.systematic import OneEach, Systematic
from shardstream.loaders.simulate import Scene, simulate

ROW = 100


def scene(items: list[int], ranks: int, spec: OrderSpec, block: int = 1_000, batch: int = 16) -> Scene:
    counts = np.array(items)
    size = int(counts.sum()) * ROW // len(counts)
    return Scene(items=counts, shard_bytes=size, ranks=ranks, global_batch=batch, block=block, spec=spec)


def read_by_rank(order: EpochOrder, ranks: int, rank: int, block: int, row: float) -> tuple[set[int], set[tuple]]:
    """Shards and (shard, block) that the items of a rank touch, item by item."""
    shards, rows = order.locate(np.arange(rank, order.items, ranks))
    blocks = set()
    for shard, slot in zip(shards.tolist(), rows.tolist(), strict=True):
        first, last = int(slot * row // block), int(-(-((slot + 1) * row) // block)) - 1
        blocks |= {(shard, number) for number in range(first, last + 1)}
    return set(shards.tolist()), blocks


@settings(max_examples=40)
@given(
    st.lists(st.integers(20, 60), min_size=8, max_size=30),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from([8, 16]),
    st.sampled_from([1, 8, 64]),
)
def test_shards_and_bytes_are_those_of_the_order_where_the_world_divides_the_lanes(
    items: list[int], ranks: int, lanes: int, window: int
) -> None:
    """Every rank's shards exactly; its blocks to within the two ends of each stretch that it reads."""
    spec = OrderSpec(True, 3, lanes, window)
    made = scene(items, ranks, spec)
    found = simulate(made)
    order = EpochOrder(made.items, spec, 0)
    row = made.shard_bytes * len(items) / order.items
    brute = [read_by_rank(order, ranks, rank, made.block, row) for rank in range(ranks)]
    assert found.shards_opened == pytest.approx(np.mean([len(shards) for shards, _ in brute]))
    assert found.shards_opened_most == max(len(shards) for shards, _ in brute)
    fetched = sum(len(blocks) for _, blocks in brute)
    counted = found.fetch_ratio * order.items * row / made.block
    assert fetched - 1e-6 <= counted <= fetched + 2 * lanes + 1e-6


@pytest.mark.parametrize(("ranks", "lanes"), [(3, 8), (6, 4), (5, 8), (16, 4)])
def test_a_world_that_does_not_divide_the_lanes_shares_them_and_it_shows(ranks: int, lanes: int) -> None:
    """W / gcd(W, L) ranks read each lane; small rows touch every block of it."""
    made = scene([400] * 32, ranks, OrderSpec(True, 0, lanes, 64))
    found = simulate(made)
    order = EpochOrder(made.items, made.spec, 0)
    brute = [read_by_rank(order, ranks, rank, made.block, ROW) for rank in range(ranks)]
    assert found.shards_opened == np.mean([len(shards) for shards, _ in brute])
    shared = ranks // np.gcd(ranks, lanes)
    assert found.fetch_ratio == pytest.approx(shared, rel=0.05)
    assert sum(len(blocks) for _, blocks in brute) * made.block / (order.items * ROW) == pytest.approx(shared, rel=0.12)


def test_64_ranks_over_1024_equal_shards_open_at_most_18_and_fetch_below_one_tenth_more() -> None:
    """Issue 5, point 6, with reads of 4 MB, for photos and for shards of another size."""
    for rows, size in ((1_281_167, 110_000), (1024 * 500, 300_000)):
        spec = OrderSpec.for_size(rows, True, 0)
        made = Scene.even(rows, 1024, size, ranks=64, global_batch=256, block=4_000_000, spec=spec)
        for epoch in range(3):
            found = simulate(made, epoch)
            assert found.shards_opened_most <= 18
            assert found.fetch_ratio_most < 1.1


def test_a_billion_rows_on_4096_ranks_are_planned_below_one_gigabyte() -> None:
    """Through the command, in a process of its own: torch and pyarrow included."""
    command = "bench --simulate --rows 1000000000 --shards 100000 --ranks 4096 --shuffle-lanes 8192 --json"
    code = (
        "from pathlib import Path; from shardstream.cli.main import main;"
        f"main({command.split()!r}); print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    body, _, peak = ran.stdout.rstrip().rpartition("\n")
    assert json.loads(body)["rows"] == 10**9
    assert json.loads(body)["shards_opened_most"] <= 27
    assert int(peak) * 1024 < 1e9


def test_planning_imagenet_takes_under_64_megabytes() -> None:
    """No table of N: an epoch of 1,281,167 rows in 1,000 shards, its first batch located."""
    counts = np.full(1000, 1281)
    counts[:167] += 1
    spec = OrderSpec.for_size(1_281_167, True, 0)
    tracemalloc.start()
    epoch = Epoch(OneEach(counts), spec, 0)
    epoch.locate(np.arange(256))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(epoch) == 1_281_167
    assert peak < 8_000_000


def test_shuffle_quality_rises_from_sequential_to_global() -> None:
    """Lanes and window are the parameter; neighbours travel nowhere, some way, or as far as in a uniform shuffle."""

    def travel(lanes: int, window: int) -> float:
        spec = OrderSpec(True, 0, lanes, window)
        return simulate(Scene.even(100_000, 100, 1_000, ranks=1, global_batch=256, block=1, spec=spec)).neighbour_travel

    sequential, default, wide, whole = travel(1, 1), travel(384, 64), travel(384, 4096), travel(1, 100_000)
    assert sequential < 0.001 < default < 0.5
    assert wide == pytest.approx(1, rel=0.05)
    assert whole == pytest.approx(1, rel=0.05)


def test_neighbour_travel_is_that_of_all_neighbours() -> None:
    """Sampled windows agree with every pair of neighbours of every shard."""
    made = scene([250] * 8, 1, OrderSpec(True, 5, 4, 50))
    shards, rows = EpochOrder(made.items, made.spec, 0).locate(np.arange(2000))
    place = np.empty((8, 250))
    place[shards, rows] = np.arange(2000)
    exact = np.abs(np.diff(place, axis=1)).mean() / (2000 / 3)
    assert simulate(made).neighbour_travel == pytest.approx(exact, rel=0.15)


def test_repeats_in_a_batch_are_counted() -> None:
    """Two items of weight 10 among 20: the same item stands several times in a batch of all."""
    weights = np.array([1] * 10 + [10] * 2) << 30
    copies = Systematic(30, 0, [0, int(weights.sum())], lambda _: weights)
    spec = OrderSpec(True, 0, 1, 64)
    made = Scene(items=np.array([12]), shard_bytes=1200, global_batch=30, spec=spec, copies=copies)
    epoch = Epoch(copies, spec, 0)
    _, items, _ = epoch.locate(np.arange(30))
    assert simulate(made).batch_repeats == pytest.approx(1 - len(set(items.tolist())) / 30)
    assert simulate(made).batch_repeats > 0.5


def test_the_command_says_what_to_change(capsys: pytest.CaptureFixture[str]) -> None:
    """Ranks that share lanes are told how many lanes would give each its own."""
    assert main(["bench", "--simulate", "--ranks", "10"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "10 ranks do not divide 384 lanes, so 5 of them read each lane: --shuffle-lanes 390" in shown
    assert main(["bench", "--simulate", "--ranks", "64"]) == 0
    assert "Every rank reads its own shards." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": 3, "shards": 4}, "3 rows in 4 shards"),
        ({"rows": 4, "shards": 0}, "4 rows in 0 shards"),
        ({"ranks": 0}, "ranks must be at least 1, not 0"),
        ({"block": 0}, "block must be at least 1, not 0"),
    ],
)
def test_scenes_that_cannot_be_are_refused(options: dict[str, int], message: str) -> None:
    """With both values."""
    given = {"rows": 100, "shards": 4, "row_bytes": 10, "ranks": 1, "global_batch": 8, "block": 100, **options}
    with pytest.raises(OptionError, match=message):
        Scene.even(**given, spec=OrderSpec(True))
