"""Datasets on a FUSE mount: never mapped, read in large pieces, or around the mount; the same bytes in every way."""

from __future__ import annotations

import errno
import os
import pickle
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

import shardstream as ss
from shardstream.cli import main
from shardstream.loaders import ShardDataset
from shardstream.shard_writer.storage import Store, around, mount_of, open_store
from shardstream.shard_writer.storage.mounts import read_in_sequence
from shardstream.shard_writer.write import WriteOptions, write_dataset

from ..toy import ToySource, pack_toy
from ..toy_photos import Photos
from .conftest import Mounting, processes_with

TABLE = r"""
22 28 0:20 / /proc rw,nosuid - proc proc rw
28 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 28 0:50 / /mnt/data rw,nosuid shared:7 - fuse.rclone bucket:x rw,user_id=0
41 28 0:51 / /mnt/with\040space rw - fuse mountpoint-s3 ro
42 40 0:52 / /mnt/data/disk rw - ext4 /dev/vdb rw
43 28 0:53 / /mnt/usb rw - fuseblk /dev/sdb1 rw
44 28 0:54 / /home rw - fuse.fuse-overlayfs fuse-overlayfs rw
45 28 0:55 / /twice rw - fuse.rclone first: rw
46 45 0:56 / /twice rw - tmpfs tmpfs rw
"""


@pytest.fixture
def table(tmp_path: Path) -> str:
    path = tmp_path / "mountinfo"
    path.write_text(TABLE.lstrip())
    return str(path)


@pytest.mark.parametrize(
    ("path", "kind", "is_fuse"),
    [
        ("/mnt/data", "fuse.rclone", True),
        ("/mnt/data/a/b", "fuse.rclone", True),
        ("/mnt/database", "ext4", False),
        ("/mnt/with space/x", "fuse", True),
        ("/mnt/data/disk/x", "ext4", False),
        ("/mnt/usb/x", "fuseblk", False),
        ("/home/x", "fuse.fuse-overlayfs", False),
        ("/twice/x", "tmpfs", False),
        ("/x", "ext4", False),
    ],
)
def test_the_innermost_and_topmost_mount_tells_what_a_path_lies_on(
    table: str, path: str, kind: str, is_fuse: bool
) -> None:
    """By whole names; FUSE over a local disk is no mount of a bucket."""
    found = mount_of(path, table)
    assert found is not None
    assert (found.kind, found.is_fuse) == (kind, is_fuse)


def test_a_system_without_the_table_has_no_mounts(tmp_path: Path) -> None:
    """macOS: everything local is a disk, as before."""
    assert mount_of("/x", str(tmp_path / "absent")) is None


def test_the_table_of_this_machine_is_the_kernels(tmp_path: Path) -> None:
    """The folder of this test lies on the same device as the mount that is found for it."""
    found = mount_of(tmp_path)
    assert found is not None
    assert os.stat(found.point).st_dev == os.stat(tmp_path).st_dev


@pytest.mark.parametrize(
    ("url", "behind"),
    [
        ("/mnt/data", "s3://bucket"),
        ("/mnt/data/coco", "s3://bucket/coco"),
        ("file:///mnt/data/coco/", "s3://bucket/coco"),
        ("/mnt/data/../data/coco", "s3://bucket/coco"),
        ("/mnt/data/own/coco", "s3://other/x/coco"),
        ("/mnt/database/coco", "/mnt/database/coco"),
        ("s3://third/mnt/data", "s3://third/mnt/data"),
    ],
)
def test_an_address_around_a_mount_is_that_of_the_longest_point_above(url: str, behind: str) -> None:
    """Whole names, any spelling of the path; other addresses are left alone."""
    assert around(url, {"/mnt/data/": "s3://bucket/", "/mnt/data/own": "s3://other/x"}) == behind


@pytest.mark.parametrize("mapping", [{"mnt/data": "s3://b"}, {"s3://a": "s3://b"}, {"/mnt/data": "gopher://b"}])
def test_a_map_that_cannot_be_meant_is_refused(mapping: dict[str, str], tmp_path: Path) -> None:
    """Relative points, mounted addresses, schemes that are not allowed: at once, not when a path happens to match."""
    with pytest.raises(ss.OptionError):
        ss.open(pack_toy(tmp_path / "out", 5).store.url, mount_map=mapping)


def batches(ds: ShardDataset, workers: int = 0) -> list[tuple[list[str], torch.Tensor]]:
    loader = ss.Loader(ds, batch_size=16, shuffle=True, seed=3, num_workers=workers)
    return [(batch["key"], batch["image"]) for batch in loader]


def assert_same(left: list[tuple[list[str], torch.Tensor]], right: list[tuple[list[str], torch.Tensor]]) -> None:
    assert len(left) == len(right) > 0
    for (keys, images), (others, pixels) in zip(left, right, strict=True):
        assert keys == others
        assert torch.equal(images, pixels)


def mapped(below: Path) -> list[str]:
    """Files below a folder that this process has mapped."""
    return [line for line in Path("/proc/self/maps").read_text().splitlines() if f" {below}/" in line]


@pytest.mark.parametrize("cache_bytes", [10**9, 0])
@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_from_a_mount_is_that_of_the_disk(
    mounting: Mounting, tmp_path: Path, cache_bytes: int, workers: int
) -> None:
    """With and without a cache, in this process and in workers; the mount's files are not mapped."""
    local = pack_toy(tmp_path / "out", 60)
    point = mounting(tmp_path / "out")
    ds = ss.open(point, cache_dir=tmp_path / "cache", cache_bytes=cache_bytes)
    assert_same(batches(ds, workers), batches(local))
    assert mapped(point) == []
    assert mapped(tmp_path / "out")  # what would have shown a mapping
    assert ds[7]["key"] == local[7]["key"]


@pytest.mark.parametrize("cache_bytes", [10**9, 0])
def test_a_mount_is_read_in_blocks_and_each_byte_once(mounting: Mounting, tmp_path: Path, cache_bytes: int) -> None:
    """As S3 is: not a read per sample. ``block_bytes`` is how large they are at least."""
    write_dataset(Photos(100), open_store(tmp_path / "out"), WriteOptions(shard_size=1_000_000))
    point = mounting(tmp_path / "out")
    options: dict[str, Any] = {"cache_dir": tmp_path / "cache", "cache_bytes": cache_bytes, "block_bytes": 250_000}
    ds = ss.open(point, **options)
    assert sum(len(keys) for keys, _ in batches(ds)) == 96
    counted, total = ds.fetcher.counters, sum(shard.bytes for shard in ds.info.shards)
    assert counted.gets <= total // options["block_bytes"]
    assert 0.95 * total <= counted.bytes_fetched <= total


def test_a_mapped_mount_is_not_touched(tmp_path: Path) -> None:
    """``mount_map``: manifest, index and shards come from the address, and orders and states are the same."""
    local = pack_toy(tmp_path / "bucket" / "toy", 30)
    ds = ss.open("/mnt/absent/toy", mount_map={"/mnt/absent": str(tmp_path / "bucket")})
    assert ds.store.url == str(tmp_path / "bucket/toy")
    assert ds.digest == local.digest
    assert_same(batches(pickle.loads(pickle.dumps(ds))), batches(local))


def test_tars_indexed_on_a_mount_are_read_around_it(tmp_path: Path) -> None:
    """Their index may lie elsewhere and names the mount: the map holds for the tars themselves."""
    pack_toy(tmp_path / "bucket", 20)
    (tmp_path / "mnt").symlink_to(tmp_path / "bucket")
    ss.index(str(tmp_path / "mnt/train"), str(tmp_path / "index"), "train")
    (tmp_path / "mnt").unlink()
    ds = ss.open(tmp_path / "index", mount_map={str(tmp_path / "mnt"): str(tmp_path / "bucket")})
    assert len(batches(ds)) == 1
    with pytest.raises(ss.StorageError, match="mnt"):
        batches(ss.open(tmp_path / "index"))


@pytest.mark.s3
def test_local_disk_mount_and_address_give_the_same_epoch(weed: Any, mounting: Mounting, tmp_path: Path) -> None:
    """Around the mount to a real S3 server, with its options."""
    local, url = pack_toy(tmp_path / "out", 60), weed.url("mounted")
    write_dataset(ToySource(60), open_store(url, weed.storage_options), WriteOptions(shard_size=9_000))
    point = mounting(tmp_path / "out")
    options: dict[str, Any] = {"storage_options": weed.storage_options, "cache_dir": tmp_path / "cache"}
    ds = ss.open(point, mount_map={str(point): url}, **options)
    assert ds.store.url == url
    assert_same(batches(ds), batches(local))
    assert ds.fetcher.counters.bytes_fetched > 0


def test_a_store_on_a_mount_reads_whole_and_in_ranges(mounting: Mounting, tmp_path: Path) -> None:
    """``whole`` is memory, not a mapping; a range beyond the end is an error, as everywhere."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files/ten").write_bytes(b"0123456789")
    (tmp_path / "files/none").write_bytes(b"")
    store = Store(str(mounting(tmp_path / "files")))
    assert not store.is_mapped
    assert Store(str(tmp_path / "files")).is_mapped
    with store.whole("ten") as whole:
        assert bytes(whole.data) == whole.file.read() == b"0123456789"
        assert mapped(Path(store.url)) == []
    assert (store.read("ten", 3, 7), store.read("ten", 8), store.read("none")) == (b"3456", b"89", b"")
    with pytest.raises(ss.StorageError, match=r"ten.*got 2 of 4"):
        store.read("ten", 8, 12)
    with pytest.raises(FileNotFoundError):
        store.read("absent")


@pytest.mark.parametrize(
    ("number", "times", "survives"),
    [(errno.EIO, 2, True), (errno.ENOTCONN, 4, True), (errno.ESTALE, 5, False), (errno.EACCES, 1, False)],
)
def test_a_mount_that_fails_for_a_moment_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int, times: int, survives: bool
) -> None:
    """Five tries in all, for errors that pass; any other is raised at once, none is forgotten."""
    (tmp_path / "ten").write_bytes(b"0123456789")
    failures, pread = iter([number] * times), os.pread

    def failing(file: int, size: int, place: int) -> bytes:
        if (found := next(failures, 0)) != 0:
            raise OSError(found, os.strerror(found))
        return pread(file, size, place)

    monkeypatch.setattr(os, "pread", failing)
    monkeypatch.setattr("shardstream.shard_writer.storage.mounts.WAITS", (0.0,) * 4)
    if survives:
        assert read_in_sequence(str(tmp_path / "ten"), 2, 6) == b"2345"
    else:
        with pytest.raises(OSError, match=os.strerror(number)):
            read_in_sequence(str(tmp_path / "ten"), 2, 6)
    assert next(failures, None) is None


def test_a_large_file_is_read_in_large_pieces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One read where it fits into a piece, else as few as it takes; each byte once, in order."""
    (tmp_path / "file").write_bytes(bytes(range(200)))
    asked: list[tuple[int, int]] = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda file, size, place: asked.append((place, size)) or pread(file, size, place))
    monkeypatch.setattr("shardstream.shard_writer.storage.mounts.PIECE", 80)
    assert read_in_sequence(str(tmp_path / "file"), 5, None) == bytes(range(5, 200))
    assert asked == [(5, 80), (85, 80), (165, 35)]


def test_a_mount_whose_server_died_is_an_error_that_names_the_shard(mounting: Mounting, tmp_path: Path) -> None:
    """A mapping would kill the process by SIGBUS; a read raises."""
    pack_toy(tmp_path / "out", 30)
    point = mounting(tmp_path / "out")
    ds = ss.open(point, cache_bytes=0)
    assert ds.fetcher.rows(0).keys
    for server in processes_with(point):
        os.kill(server, signal.SIGKILL)
    with pytest.raises(ss.StorageError, match=r"train-00000\d\.tar"):
        batches(ds)


def test_commands_read_a_mount(mounting: Mounting, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``verify`` re-reads every byte of it; ``index`` makes an index of its tars."""
    pack_toy(tmp_path / "out", 20)
    point = mounting(tmp_path / "out")
    assert main(["verify", str(point)]) == 0
    assert main(["index", str(point / "train"), "--out", str(tmp_path / "index")]) == 0
    assert len(ss.open(tmp_path / "index", cache_dir=tmp_path / "cache")) == 20
    assert "20" in capsys.readouterr().out
