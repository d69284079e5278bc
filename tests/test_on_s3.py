"""The same datasets on a real S3 server: packed, verified, resumed and streamed there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import shardstream as ss
from shardstream.cli import main
from shardstream.loaders import ShardDataset
from shardstream.shard_writer.storage import open_store
from shardstream.shard_writer.write import WriteOptions, write_dataset

from .toy import ToySource, pack_toy

pytestmark = pytest.mark.s3


def stored(url: str, options: dict[str, Any] | None = None) -> dict[str, bytes]:
    store = open_store(url, options)
    return {entry.path: store.read(entry.path) for entry in store.files()}


def test_a_benchmark_on_s3_is_byte_identical_to_one_on_disk(weed: Any, real_data: Path, tmp_path: Path) -> None:
    """Shards, index and manifest of cifar10, packed by two workers there and by one here."""
    source, url = real_data / "cifar10/cifar-10-batches-py", weed.url("cifar10")
    ss.write("cifar10", source, out=tmp_path / "out", shard_size="2MB")
    ss.write(
        "cifar10", source, out=url, shard_size="2MB", workers=2, storage_options=weed.storage_options,
        source_storage_options={},
    )  # fmt: skip
    assert stored(url, weed.storage_options) == stored(str(tmp_path / "out"))


def batches(ds: ShardDataset, workers: int) -> list[tuple[list[str], torch.Tensor]]:
    loader = ss.Loader(ds, batch_size=16, shuffle=True, seed=3, num_workers=workers)
    return [(batch["key"], batch["image"]) for batch in loader]


@pytest.mark.parametrize("cache_bytes", [10**9, 30_000, 0])
@pytest.mark.parametrize("workers", [0, 2])
def test_streaming_from_s3_gives_the_batches_of_the_disk(
    weed: Any, tmp_path: Path, cache_bytes: int, workers: int
) -> None:
    """Whole shards through the cache, some of them, or ranges only."""
    local, url = pack_toy(tmp_path / "out", 60), weed.url("toy")
    write_dataset(ToySource(60), open_store(url, weed.storage_options), WriteOptions(shard_size=9000))
    remote = ss.open(url, storage_options=weed.storage_options, cache_dir=tmp_path / "cache", cache_bytes=cache_bytes)
    for (keys, images), (mine, pixels) in zip(batches(local, 0), batches(remote, workers), strict=True):
        assert keys == mine
        assert torch.equal(images, pixels)
    kept = sum(path.stat().st_size for path in (tmp_path / "cache").glob("*.tar"))
    assert kept <= cache_bytes
    assert (kept > 0) == (cache_bytes > 0)


def test_a_changed_object_is_named(weed: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The loader raises, verify names the shard and the member and exits 1."""
    url = weed.url("changed")
    store = open_store(url, weed.storage_options)
    write_dataset(ToySource(20), store, WriteOptions(shard_size=9000))
    data = bytearray(store.read("train/train-000001.tar"))
    data[600] ^= 1
    store.write("train/train-000001.tar", bytes(data))
    for cache_bytes in (10**9, 0):
        ds = ss.open(url, storage_options=weed.storage_options, cache_dir=tmp_path / "cache", cache_bytes=cache_bytes)
        with pytest.raises(ss.ChecksumMismatch, match=r"train-000001\.tar"):
            list(ss.Loader(ds, batch_size=4))
    options = weed.storage_options
    flags = [
        f"key={options['key']}",
        f"secret={options['secret']}",
        f"endpoint_url={options['client_kwargs']['endpoint_url']}",
    ]
    arguments = [part for flag in flags for part in ("--storage-option", flag)]
    assert main(["verify", url, *arguments]) == 1
    assert "train-000001.tar" in capsys.readouterr().out


def test_webdataset_reads_shards_on_s3_through_us(weed: Any) -> None:
    """webdataset has no s3 client of its own; ds.webdataset() brings ours."""
    url = weed.url("wds")
    write_dataset(ToySource(20), open_store(url, weed.storage_options), WriteOptions(shard_size=9000))
    ds = ss.open(url, storage_options=weed.storage_options)
    assert [sample["__key__"] for sample in ds.webdataset()] == ds.index["key"].to_pylist()
