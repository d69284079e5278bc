"""The cache of remote shards: one download a machine, wrong bytes never, a broken copy replaced, a bound that holds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import shardstream as ss
from shardstream.loaders.cache import ENVIRONMENT, ShardCache, default_folder
from shardstream.shard_writer.manifest import ShardEntry
from shardstream.shard_writer.storage import Store, open_store
from shardstream.shard_writer.write import WriteOptions, write_dataset

from .helpers import command, flip, picture_folder, tree
from .toy import ToySource, pack_toy

URL = "memory://cache-test"


@pytest.fixture
def remote() -> Iterator[Store]:
    """A packed toy set of 30 samples that is not on local disk."""
    store = open_store(URL)
    store.delete("")
    write_dataset(ToySource(30), store, WriteOptions(shard_size=9_000))
    yield store
    store.delete("")


def opened(folder: Path, limit: int = 10**9) -> ss.ShardDataset:
    return ss.open(URL, cache_dir=folder, cache_bytes=limit)


def keys(ds: ss.ShardDataset) -> list[str]:
    return [key for batch in ss.Loader(ds, batch_size=4) for key in batch["key"] if key]


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.tar"))


class Reads:
    """Counts ranged and whole reads of shards through a Store."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths: list[str] = []
        real = Store.read

        def read(store: Store, path: str, start: int = 0, end: int | None = None) -> bytes:
            if path.endswith(".tar"):
                self.paths.append(path)
            return real(store, path, start, end)

        monkeypatch.setattr(Store, "read", read)


def test_each_shard_is_downloaded_once_and_again_never(
    remote: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two epochs, then a new dataset object as another process would have it."""
    expected = opened(tmp_path).index["key"].to_pylist()
    reads = Reads(monkeypatch)
    ds = opened(tmp_path)
    assert keys(ds) == keys(ds) == keys(opened(tmp_path)) == expected
    assert sorted(reads.paths) == sorted(entry.path for entry in remote.files("train") if entry.path.endswith(".tar"))
    assert len(kept(tmp_path)) == len(ds.info.shards)
    assert not list(tmp_path.glob("*.part"))


def test_what_does_not_fit_is_read_once_an_epoch_and_what_is_kept_stays(
    remote: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pinned subset: a later reader fetches no kept shard again, of the others one range each; the bound holds."""
    size = opened(tmp_path).info.shards[0].bytes
    ds = opened(tmp_path, limit=2 * size + 100)
    first = keys(ds)
    before = {path: path.stat().st_mtime_ns for path in kept(tmp_path)}
    reads = Reads(monkeypatch)
    assert keys(opened(tmp_path, limit=2 * size + 100)) == first
    assert {path: path.stat().st_mtime_ns for path in kept(tmp_path)} == before
    assert 1 <= len(before) < len(ds.info.shards)
    assert sum(path.stat().st_size for path in kept(tmp_path)) <= 2 * size + 100
    pinned = {path.stem for path in before}
    assert sorted(reads.paths) == [f"train/{shard.name}" for shard in ds.info.shards if shard.sha256 not in pinned]


def test_the_bound_holds_while_many_shards_are_loading(
    remote: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room is claimed before the first byte is fetched; a claim whose process died is dropped."""
    first, second = opened(tmp_path).info.shards[:2]
    cache = ShardCache(tmp_path, limit=first.bytes + second.bytes - 1)
    (tmp_path / f"{second.sha256}.part").write_bytes(bytes(second.bytes))  # left by a kill -9
    real, meanwhile = Store.read, list[Any]()

    def read(store: Store, path: str, start: int = 0, end: int | None = None) -> bytes:
        if not meanwhile:
            meanwhile.append("started")
            meanwhile.append(cache.fetch(remote, f"train/{second.name}", second))
        return real(store, path, start, end)

    monkeypatch.setattr(Store, "read", read)
    assert cache.fetch(remote, f"train/{first.name}", first) is not None
    assert meanwhile == ["started", None]
    assert [path.stat().st_size for path in kept(tmp_path)] == [first.bytes]
    assert not list(tmp_path.glob("*.part"))


def test_a_copy_that_rotted_is_fetched_again(remote: Store, tmp_path: Path) -> None:
    """The damage is this machine's; the shard itself is whole, so nobody needs to hear of it."""
    expected = [item["number"] for item in opened(tmp_path)]
    for path in kept(tmp_path):
        flip(path, 600)
    assert [item["number"] for item in opened(tmp_path)] == expected
    assert [item["number"] for item in opened(tmp_path)] == expected
    for path in kept(tmp_path):
        path.write_bytes(path.read_bytes()[:1000])
    assert [item["number"] for item in opened(tmp_path)] == expected


def test_a_shard_that_is_wrong_at_its_source_raises_and_is_not_kept(remote: Store, tmp_path: Path) -> None:
    """Also where a copy was dropped and the source turned out to be no better."""
    path = "train/train-000001.tar"
    data = bytearray(remote.read(path))
    data[600] ^= 1
    remote.write(path, bytes(data))
    with pytest.raises(ss.ChecksumMismatch, match=r"train-000001\.tar arrived with sha256"):
        keys(opened(tmp_path))
    assert opened(tmp_path).info.shards[1].sha256 not in {file.stem for file in kept(tmp_path)}
    with pytest.raises(ss.ChecksumMismatch, match=r"train-000001\.tar: member train-\d+\.png at offset 512"):
        keys(opened(tmp_path / "small", limit=0))
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("limit", [0, 10**9])
def test_a_missing_or_shortened_remote_shard_is_named(remote: Store, tmp_path: Path, limit: int) -> None:
    """Never fewer samples, whole shards or ranges."""
    path = "train/train-000002.tar"
    remote.write(path, remote.read(path)[:2000])
    with pytest.raises(ss.StorageError, match=r"train-000002\.tar"):
        keys(opened(tmp_path, limit))
    remote.delete(path)
    with pytest.raises(ss.StorageError, match=r"train-000002\.tar is missing; its manifest lists \d+ samples"):
        keys(opened(tmp_path, limit))
    assert not list(tmp_path.glob("*.part"))


def test_a_cache_that_cannot_be_written_is_named(remote: Store, tmp_path: Path) -> None:
    """With what to do; it is no fault of the shard."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ss.StorageError, match=r"in the cache .*file/cache: .* Choose another cache_dir"):
        keys(opened(tmp_path / "file" / "cache"))


def test_the_folder_is_private_and_named_by_the_environment(
    remote: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """$SHARDSTREAM_CACHE, else below the temporary folder, one for each user."""
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "mine"))
    keys(ss.open(URL))
    assert kept(tmp_path / "mine")
    assert (tmp_path / "mine").stat().st_mode & 0o077 == 0
    monkeypatch.delenv(ENVIRONMENT)
    assert default_folder().name == f"shardstream-{os.getuid()}"


def test_equal_shards_of_two_datasets_share_one_copy(tmp_path: Path) -> None:
    """Files are named by content."""
    entry = ShardEntry("x.tar", 5, 1, "0" * 64)
    cache = ss.open(pack_toy(tmp_path / "a", 3).store.url, cache_dir=tmp_path / "c").fetcher.cache
    assert cache._target(entry) == tmp_path / "c" / ("0" * 64 + ".tar")


READER = """
import json, os, sys, time
import shardstream as ss
from shardstream.shard_writer.storage import Store
url, options, cache, log, go = sys.argv[1], json.loads(sys.argv[2]), *sys.argv[3:]
real = Store.read
def read(store, path, start=0, end=None):
    if path.endswith(".tar"):
        with open(log, "a") as file:
            file.write(path + "\\n")
        time.sleep(0.05)
    return real(store, path, start, end)
Store.read = read
ds = ss.open(url, storage_options=options, cache_dir=cache)
open(f"{go}.{os.getpid()}", "w").close()
while not os.path.exists(go):
    time.sleep(0.001)
print(json.dumps([key for batch in ss.Loader(ds, batch_size=4) for key in batch["key"] if key]))
"""


@pytest.mark.s3
def test_two_processes_download_each_shard_once(weed: Any, tmp_path: Path) -> None:
    """Started together on the same shards: one fetches, the other waits for the finished file."""
    url = weed.url("single-flight")
    manifest = write_dataset(ToySource(30), open_store(url, weed.storage_options), WriteOptions(shard_size=9_000))
    assert manifest is not None
    log, go = tmp_path / "log", tmp_path / "go"
    arguments = [url, json.dumps(weed.storage_options), tmp_path / "cache", log, go]
    readers = [
        subprocess.Popen([sys.executable, "-c", READER, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    while len(list(tmp_path.glob("go.*"))) < 2 and all(reader.poll() is None for reader in readers):
        time.sleep(0.01)
    go.touch()
    outputs = [json.loads(reader.communicate(timeout=60)[0]) for reader in readers]
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) == 30
    assert sorted(log.read_text().split()) == [f"train/{shard.name}" for shard in manifest.splits["train"].shards]


@pytest.mark.s3
def test_a_write_to_s3_that_was_killed_resumes_to_the_same_objects(
    weed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL after some shards; no dataset stands; --resume gives what one run gives on disk."""
    source, url = picture_folder(tmp_path / "source", 40), weed.url("killed")
    store = open_store(url, weed.storage_options)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    options = weed.storage_options
    flags = [f"key={options['key']}", f"secret={options['secret']}", f"endpoint_url={weed.endpoint_url}"]
    storage = [part for flag in flags for part in ("--storage-option", flag)]
    arguments = command("write", "folder", "--source", source, "--out", url, "--shard-size", "3KB", *storage)
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    while process.poll() is None and len(store.files()) < 20:
        time.sleep(0.01)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with pytest.raises(ss.DatasetNotFound, match="repeat it with --resume"):
        ss.open(url, storage_options=options)
    with pytest.raises(ss.OutputExists, match="an interrupted write: add --resume"):
        ss.write("folder", source, out=url, shard_size="3KB", storage_options=options, source_storage_options={})
    before = {path: store.fs.info(store.full(path))["LastModified"] for path in shards(store)[:5]}
    ss.write(
        "folder", source, out=url, shard_size="3KB", storage_options=options, source_storage_options={}, resume=True
    )
    assert {path: store.fs.info(store.full(path))["LastModified"] for path in before} == before
    ss.write("folder", source, out=tmp_path / "disk", shard_size="3KB")
    for entry in store.files():
        target = tmp_path / "fetched" / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(store.read(entry.path))
    assert tree(tmp_path / "fetched") == tree(tmp_path / "disk")


def shards(store: Store) -> list[str]:
    return [entry.path for entry in store.files("train") if entry.path.endswith(".tar")]


@pytest.mark.s3
@pytest.mark.parametrize("limit", [0, 10**9])
def test_a_missing_or_shortened_object_is_named(weed: Any, tmp_path: Path, limit: int) -> None:
    """As a real server answers: 404, and 416 for a range behind the end."""
    url = weed.url("gone")
    store = open_store(url, weed.storage_options)
    write_dataset(ToySource(20), store, WriteOptions(shard_size=9_000))
    path = "train/train-000001.tar"
    for damage in (lambda: store.write(path, store.read(path)[:300]), lambda: store.delete(path)):
        damage()
        ds = ss.open(url, storage_options=weed.storage_options, cache_dir=tmp_path, cache_bytes=limit)
        with pytest.raises(ss.StorageError, match=r"train-000001\.tar"):
            keys(ds)
