"""What an epoch fetches from a real S3 server, beside what it delivers and what the simulator says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import shardstream as ss
from shardstream.loaders import ShardDataset
from shardstream.loaders.counters import Counters
from shardstream.loaders.simulate import Scene, Simulation, simulate
from shardstream.shard_writer.storage import open_store
from shardstream.shard_writer.write import WriteOptions, write_dataset

from .toy_photos import Photos

pytestmark = pytest.mark.s3
COUNT, SHARD, BLOCK, BATCH = 380, 1_000_000, 64_000, 16
LANES, WINDOW = 8, 8


@pytest.fixture(scope="module")
def photos(_weed_server: Any) -> tuple[str, dict[str, Any]]:
    """19 shards of 1 MB on the server: cuts of lanes lie within them."""
    if _weed_server._process is None:
        _weed_server.start()
    url, options = _weed_server.url("photos"), _weed_server.storage_options
    write_dataset(Photos(COUNT), open_store(url, options), WriteOptions(shard_size=SHARD))
    return url, options


def opened(photos: tuple[str, dict[str, Any]], folder: Path, limit: int = 10**9) -> ShardDataset:
    return ss.open(photos[0], storage_options=photos[1], cache_dir=folder, cache_bytes=limit, block_bytes=BLOCK)


def loader(ds: ShardDataset, rank: int, ranks: int) -> ss.Loader:
    return ss.Loader(
        ds, global_batch_size=BATCH, shuffle=True, drop_last=False, world=ss.World(rank, ranks),
        shuffle_lanes=LANES, shuffle_window=WINDOW,
    )  # fmt: skip


def epoch(loading: ss.Loader) -> Counters:
    """What one epoch reads; its items are counted, so that a ratio is not good because nothing came."""
    before = loading.stream.ds.fetcher.counters
    assert sum(int(batch["valid"].sum()) for batch in loading) == COUNT // loading.stream.config.world.world_size
    return loading.stream.ds.fetcher.counters - before


def simulated(loading: ss.Loader) -> Simulation:
    ds, world = loading.stream.ds, loading.stream.config.world
    size = sum(shard.bytes for shard in ds.info.shards) // len(ds.info.shards)
    scene = Scene(
        items=ds.counts, shard_bytes=size, ranks=world.world_size, global_batch=BATCH, block=BLOCK,
        spec=loading.stream.spec,
    )  # fmt: skip
    return simulate(scene)


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("limit", [10**9, 0])
def test_an_epoch_fetches_less_than_a_tenth_more_than_it_delivers(
    photos: tuple[str, dict[str, Any]], tmp_path: Path, ranks: int, limit: int
) -> None:
    """Each rank with a cache folder of its own, or with none; in reads of a block or more; as simulated."""
    for rank in range(ranks):
        loading = loader(opened(photos, tmp_path / str(rank), limit), rank, ranks)
        read, expected = epoch(loading), simulated(loading)
        share = sum(shard.bytes for shard in loading.stream.ds.info.shards) / ranks
        assert 1.05 < read.fetch_ratio < 1.1
        assert read.bytes_fetched >= read.gets * BLOCK
        assert 0.93 * expected.fetch_ratio < read.bytes_fetched / share < 1.02 * expected.fetch_ratio
        assert 0.90 * expected.gets_per_gb < read.gets / share * 1e9 < 1.02 * expected.gets_per_gb
        assert read.shards_opened <= expected.shards_opened_most
        assert read.blocks_missed == read.gets


def test_a_warm_cache_fetches_nothing(photos: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    """The next epoch of one rank, and every epoch of ranks that share a folder, once all has been read."""
    loading = loader(opened(photos, tmp_path), 0, 1)
    epoch(loading)
    warm = epoch(loading)
    assert (warm.gets, warm.bytes_fetched, warm.blocks_missed) == (0, 0, 0)
    assert warm.blocks_hit >= COUNT
    for rank in range(4):
        again = loader(opened(photos, tmp_path), rank, 4)
        for _ in range(2):
            assert epoch(again).gets == 0


def test_the_same_epoch_again_fetches_nothing_on_any_rank(photos: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    """A restarted job finds in its own folder what its rank had read."""
    for rank in range(2):
        assert epoch(loader(opened(photos, tmp_path / str(rank)), rank, 2)).gets > 0
        assert epoch(loader(opened(photos, tmp_path / str(rank)), rank, 2)).gets == 0
