"""Reading ahead, holding in memory, checking and counting: what lies between storage and a member's bytes."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import shardstream as ss
from shardstream.loaders import ShardDataset, shard_bytes
from shardstream.loaders.counters import Counters
from shardstream.loaders.readahead import THREADS
from shardstream.shard_writer.storage import Store, open_store
from shardstream.shard_writer.write import WriteOptions, write_dataset

from .toy import ToySource, pack_toy

URL, COUNT, BLOCK = "memory://fetch-test", 60, 2_000
AHEAD = "shardstream-ahead"


@pytest.fixture
def remote() -> Iterator[Store]:
    """Seven shards of about 28 kB that are not on local disk."""
    store = open_store(URL)
    store.delete("")
    write_dataset(ToySource(COUNT), store, WriteOptions(shard_size=9_000))
    yield store
    store.delete("")


def opened(folder: Path, limit: int = 10**9, **options: Any) -> ShardDataset:
    return ss.open(URL, cache_dir=folder, cache_bytes=limit, block_bytes=BLOCK, **options)


def keys(ds: ShardDataset, **options: Any) -> list[list[str]]:
    return [batch["key"] for batch in ss.Loader(ds, **{"batch_size": 4, "shuffle": True, **options})]


Change = Callable[[str, int, bytes], bytes]
Reading = Callable[[Change], None]


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Reading:
    """Put something between storage and its answers to ranged reads of shards."""

    def install(change: Change) -> None:
        real = MemoryFileSystem.cat_file

        def cat_file(self: Any, path: str, start: int | None = None, end: int | None = None, **extra: Any) -> bytes:
            data = real(self, path, start=start, end=end, **extra)
            return change(path, start or 0, data) if path.endswith(".tar") else data

        monkeypatch.setattr(MemoryFileSystem, "cat_file", cat_file)

    return install


@pytest.mark.parametrize("limit", [10**9, 0])
def test_blocks_are_fetched_ahead_by_a_bounded_number_of_threads(
    remote: Store, tmp_path: Path, reading: Reading, limit: int
) -> None:
    """While a batch waits for its first block, others come; the order is that of the local disk."""
    busy, most, names = [0], [0], set[str]()
    lock = threading.Lock()

    def slow(path: str, start: int, data: bytes) -> bytes:
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
            names.add(threading.current_thread().name)
        time.sleep(0.01)
        with lock:
            busy[0] -= 1
        return data

    reading(slow)
    assert keys(opened(tmp_path / "cache", limit)) == keys(pack_toy(tmp_path / "out", COUNT))
    assert AHEAD in names
    assert 2 < most[0] <= THREADS + 1


def test_local_shards_are_mapped_without_threads_or_requests(tmp_path: Path) -> None:
    """Nothing to read ahead; what is delivered is counted all the same."""
    ds = pack_toy(tmp_path / "out", COUNT)
    started = threading.active_count()
    keys(ds, drop_last=False)
    found = ds.fetcher.counters
    images = sum(int(ds.fetcher.rows(shard).members["png"].size.sum()) for shard in range(len(ds.counts)))
    assert found == Counters(bytes_delivered=images, shards_opened=len(ds.counts))
    assert threading.active_count() == started
    assert ds.fetcher.outlook == 0


def test_the_outlook_is_short_where_blocks_wait_in_memory(remote: Store, tmp_path: Path) -> None:
    """Or those that are read ahead push out those in use."""
    short = shard_bytes.HELD_BLOCKS * BLOCK // 8
    assert opened(tmp_path, 0).fetcher.outlook == short
    full = opened(tmp_path, 8_000)
    assert full.fetcher.outlook > 100 * short
    for shard in range(len(full.counts)):
        full.fetcher.member(shard, 0, "png")
    assert full.fetcher.outlook == short


@pytest.mark.parametrize("limit", [10**9, 0])
def test_an_error_is_raised_by_the_batch_that_needs_the_block(
    remote: Store, tmp_path: Path, reading: Reading, limit: int
) -> None:
    """Reading ahead has met it before; the batches in front of it come as they should."""
    ds = opened(tmp_path, limit)
    number, last = len(ds.counts) - 1, ds.info.shards[-1].name
    met = threading.Event()

    def broken(path: str, start: int, data: bytes) -> bytes:
        if path.endswith(last):
            met.set()
            raise ConnectionError("the cable was pulled")
        return data

    reading(broken)
    loader = iter(ss.Loader(ds, batch_size=4))
    got = [next(loader)["key"]]
    ds.fetcher.ahead(np.array([number]), np.array([0]))
    assert met.wait(60)
    with pytest.raises(ss.StorageError, match=rf"{last}: the cable was pulled"):
        got.extend(batch["key"] for batch in loader)
    whole = int(ds.counts[:-1].sum()) // 4
    assert got == keys(pack_toy(tmp_path / "out", COUNT), shuffle=False)[:whole]


@pytest.mark.parametrize("limit", [10**9, 0])
def test_a_short_answer_is_an_error_and_never_short_data(
    remote: Store, tmp_path: Path, reading: Reading, limit: int
) -> None:
    """Also with verify=False, where no checksum would tell; nothing of it is kept."""
    reading(lambda _path, _start, data: data[:-1])
    ds = opened(tmp_path, limit, verify=False)
    with pytest.raises(ss.StorageError, match=r"train-000000\.tar: asked for bytes 0\.\.2000, got 1999 of 2000"):
        ds[0]
    assert not [file for file in tmp_path.glob("*") if file.suffix != ".lock"]


def test_an_index_that_points_behind_its_shard_is_an_error(remote: Store, tmp_path: Path) -> None:
    """With verify=False too, local and remote."""
    for ds in (opened(tmp_path, verify=False), ss.open(pack_toy(tmp_path / "out", COUNT).store.url, verify=False)):
        members = ds.fetcher.rows(0).members["png"]
        members.offset = np.where(np.arange(len(members.offset)) == 0, ds.info.shards[0].bytes - 10, members.offset)
        with pytest.raises(ss.CorruptData, match=r"train-000000\.tar ends at 28,672, its index has a member at 28,662"):
            ds.fetcher.member(0, 0, "png")


@pytest.mark.parametrize("limit", [10**9, 0])
def test_a_bit_that_flipped_on_the_way_is_fetched_again(
    remote: Store, tmp_path: Path, reading: Reading, limit: int
) -> None:
    """Once for each block that needs it; no client of S3 checks ranged reads."""
    seen = set[tuple[str, int]]()

    def flip_first(path: str, start: int, data: bytes) -> bytes:
        if (path, start) in seen:
            return data
        seen.add((path, start))
        return data[:600] + bytes([data[600] ^ 1]) + data[601:]

    reading(flip_first)
    expected = [item["number"] for item in pack_toy(tmp_path / "out", COUNT)]
    assert [item["number"] for item in opened(tmp_path / "cache", limit)] == expected


def test_what_is_fetched_a_second_time_is_checked_a_second_time(
    remote: Store, tmp_path: Path, reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block that was dropped for others comes over the wire anew, long after its members were checked once."""
    monkeypatch.setattr(shard_bytes, "HELD_BLOCKS", 2)
    ds = opened(tmp_path, 0)
    first = ds.fetcher.member(0, 0, "png")
    ds.fetcher.member(3, 0, "png")
    ds.fetcher.member(4, 0, "png")
    reading(lambda _path, _start, data: data[:600] + bytes([data[600] ^ 1]) + data[601:])
    with pytest.raises(ss.ChecksumMismatch, match=r"train-000000\.tar: member .*\.png at offset 512"):
        ds.fetcher.member(0, 0, "png")
    assert first is not None


@pytest.mark.parametrize("limit", [10**9, 0])
def test_a_fetcher_travels_to_a_child_that_is_forked_in_the_middle_of_reading(
    remote: Store, tmp_path: Path, reading: Reading, limit: int
) -> None:
    """Threads and locks stay behind: the workers begin with their own, and the parent goes on."""

    def slow(path: str, start: int, data: bytes) -> bytes:
        time.sleep(0.002)
        return data

    reading(slow)
    ds = opened(tmp_path / "cache", limit)
    expected = keys(pack_toy(tmp_path / "out", COUNT))
    going = iter(ss.Loader(ds, batch_size=4, shuffle=True))
    got = [next(going)["key"]]
    assert keys(ds, num_workers=2) == expected
    got += [batch["key"] for batch in going]
    assert got == expected


def test_a_pickled_fetcher_reads_the_same_and_counts_for_itself(remote: Store, tmp_path: Path) -> None:
    """As a spawned worker gets it."""
    ds = opened(tmp_path)
    data = ds.fetcher.member(1, 2, "json")
    copy = pickle.loads(pickle.dumps(ds.fetcher))
    assert copy.counters == Counters()
    assert copy.member(1, 2, "json") == data
    assert copy.counters.gets == 0
    assert copy.counters.bytes_delivered == ds.fetcher.counters.bytes_delivered > 0


LEAVING = """
import sys, threading, time
import numpy as np
import shardstream as ss
from fsspec.implementations.memory import MemoryFileSystem
from shardstream.shard_writer.storage import open_store
from shardstream.shard_writer.write import WriteOptions, write_dataset
from shardstream.tests.toy import ToySource
write_dataset(ToySource(60), open_store("memory://x"), WriteOptions(shard_size=9_000))
real, stuck = MemoryFileSystem.cat_file, threading.Event()
def slow(self, path, **options):
    if path.endswith("4.tar"):
        stuck.set()
        time.sleep(3600)
    return real(self, path, **options)
MemoryFileSystem.cat_file = slow
ds = ss.open("memory://x", cache_dir=sys.argv[1], block_bytes=2000)
for batch in ss.Loader(ds, batch_size=4):
    ds.fetcher.ahead(np.array([4]), np.array([0]))
    stuck.wait()
    break
print("left")
"""


def test_a_process_leaves_while_a_request_ahead_never_ends(tmp_path: Path) -> None:
    """An exit does not wait for the network, and says nothing."""
    ran = subprocess.run([sys.executable, "-c", LEAVING, str(tmp_path)], capture_output=True, text=True, timeout=200)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "left\n", "")


def test_a_broken_off_epoch_leaves_nothing_to_fetch(remote: Store, tmp_path: Path, reading: Reading) -> None:
    """The next one begins with its own blocks."""
    gate, order = threading.Semaphore(0), list[tuple[str, int]]()

    def gated(path: str, start: int, data: bytes) -> bytes:
        if threading.current_thread().name == AHEAD:
            gate.acquire(timeout=60)
        order.append((path, start))
        return data

    reading(gated)
    ds = opened(tmp_path)
    ds.fetcher.ahead(np.full(9, 5), np.arange(9))
    ds.fetcher.begin_epoch()
    for _ in range(THREADS):
        gate.release()
    while any(thread.name == AHEAD for thread in threading.enumerate()):
        time.sleep(0.001)
    assert len(order) <= THREADS
