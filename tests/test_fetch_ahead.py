"""Reading ahead and holding in memory, piece by piece: what is announced, loaded once, and how much is fetched again."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shardstream as ss
from shardstream.loaders.blocks import BLOCK as BLOCK_BYTES
from shardstream.loaders.blocks import GRANULE, Grid, Span
from shardstream.loaders.cache import ShardCache
from shardstream.loaders.counters import Tally
from shardstream.loaders.order import EpochOrder, OrderSpec
from shardstream.loaders.pieces import Piece, Pieces
from shardstream.loaders.readahead import Background, Outlook
from shardstream.loaders.shard_bytes import ShardBytes
from shardstream.loaders.steps import Pace
from shardstream.shard_writer.manifest import ShardEntry, SplitManifest
from shardstream.shard_writer.storage import Store

URL, COUNT, BLOCK = "memory://fetch-test", 60, 2_000
AHEAD = "shardstream-ahead"


class Order:
    """Stands for a fetcher, and notes what is announced."""

    def __init__(self, outlook: int, takes: int = 10**9) -> None:
        self.outlook, self.takes, self.told = outlook, takes, list[int]()

    sample_bytes = 1.0

    @property
    def idle(self) -> bool:
        return len(self.told) < self.takes

    def begin_epoch(self) -> None:
        self.told.clear()

    def ahead(self, shards: np.ndarray, rows: np.ndarray) -> None:  # noqa: ARG002 - a Reader's signature
        self.told += rows.tolist()


@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 60), st.integers(0, 40), st.integers(0, 20))
def test_every_row_of_a_workers_batches_is_announced_once_before_its_batch_ends(
    batch: int, workers: int, stop: int, outlook: int, start: int
) -> None:
    """In order, from the batch that begins, no further than the outlook; nothing of other workers."""
    order = Order(outlook)

    def rows(first: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(end - first, dtype=np.int64), np.arange(first, end)

    ahead = Outlook(order, rows, Pace(batch, batch * workers, stop), bytes_each=1.0)
    mine = list(range(start, stop, batch * workers))
    for begin in mine:
        ahead.reach(begin)
        done = [row for first in mine if first <= begin for row in range(first, min(first + batch, stop))]
        assert order.told[: len(done)] == done
        assert max(order.told) < max(begin + outlook, begin + 1) + batch
    assert order.told == [row for first in mine for row in range(first, min(first + batch, stop))]


def test_a_reader_that_is_busy_is_told_no_more(tmp_path: Path) -> None:
    """Until it has taken what it was told."""
    order = Order(outlook=1000, takes=10)
    ahead = Outlook(order, lambda a, b: (np.zeros(b - a), np.arange(a, b)), Pace(4, 4, 100), bytes_each=1.0)
    ahead.reach(0)
    assert order.told == list(range(12))
    order.takes = 30
    ahead.reach(4)
    assert order.told == list(range(32))


def test_background_threads_end_when_nothing_is_wanted_and_survive_failures() -> None:
    """They are started again when something is."""
    loaded = list[int]()

    def load(span: Span) -> None:
        if span.shard % 3 == 0:
            raise ss.StorageError("no")
        loaded.append(span.shard)

    background = Background(load, threads=2)
    for turn in range(3):
        background.want(Span(10 * turn + number, 0, 1) for number in range(10))
        while any(thread.name == AHEAD for thread in threading.enumerate()):
            time.sleep(0.001)
        assert background.idle
    assert sorted(loaded) == [number for number in range(30) if number % 3]


def test_a_piece_that_threads_want_together_is_loaded_once_and_a_failure_reaches_each_of_them() -> None:
    """Whoever waited for a load that failed tries it, and hears of its own."""
    calls, ready = list[Span](), threading.Barrier(4)
    failing = [True]

    def load(span: Span) -> Piece:
        calls.append(span)
        time.sleep(0.02)
        if failing[0]:
            raise ss.StorageError("no")
        return Piece(memoryview(bytes(10)), 0, 1, held=True)

    pieces, span = Pieces(load, Tally(), 100), Span(0, 0, 10)
    results = list[object]()

    def want() -> None:
        ready.wait()
        try:
            results.append(pieces.get(span))
        except ss.StorageError as error:
            results.append(str(error))

    for expected in (4, 1):
        calls.clear()
        results.clear()
        threads = [threading.Thread(target=want) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(calls) == expected
        assert len(set(map(id, results))) == 1 or results == ["no"] * 4
        failing[0] = False


class Length:
    """Stands for a block's bytes, of which only the number matters here."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, cut: slice) -> Length:
        return Length(max(0, min(cut.stop, self.size) - cut.start))


@pytest.mark.parametrize(("lanes", "most"), [(48, 1.1), (96, 2.5), (384, 4.5)])
def test_memory_that_is_too_small_for_the_lanes_multiplies_the_traffic_by_little(lanes: int, most: float) -> None:
    """Photos of 110 kB in blocks of 4 MB: keeping recent blocks alone would fetch 36 times what is delivered."""
    size, rows, memory = 110_000, 1_250, 700_000_000
    fetched = list[int]()

    def load(span: Span) -> Piece:
        fetched.append(span.stop - span.start)
        return Piece(cast("memoryview", Length(span.stop - span.start)), span.start, 1, held=True)

    entry = ShardEntry("x.tar", rows * size, rows, "0" * 64)
    split = cast("SplitManifest", SimpleNamespace(shards=(entry,) * lanes))
    reader = ShardBytes(Store("memory://nowhere"), split, ShardCache(Path("nowhere"), 0))
    reader._pieces = Pieces(load, Tally(), memory)
    order = EpochOrder(np.full(lanes, rows), OrderSpec(True, 0, lanes, 64), 0)
    shards, slots = order.locate(np.arange(lanes * 64 * 3))
    needed = set[Span]()
    for shard, slot in zip(shards.tolist(), slots.tolist(), strict=True):
        start, stop = slot * size, (slot + 1) * size
        needed |= {Span(shard, *bounds) for bounds in Grid(entry.bytes, BLOCK_BYTES).covering(start, stop)}
        assert sum(len(reader._pieces.get(span).cut(start, stop)) for span in reader._spans(shard, start, stop)) == size
    assert sum(fetched) < most * sum(span.stop - span.start for span in needed)
    assert min(fetched) >= GRANULE
    assert reader._pieces.crowded == (lanes > 48)
