"""What every store promises, the same on local disk, in memory and on a real S3 server."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shardstream.errors import OptionError, StorageError
from shardstream.shard_writer.storage import Entry, Store, open_store


@pytest.fixture(params=["local", "memory", pytest.param("s3", marks=pytest.mark.s3)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return Store(str(tmp_path / "store"))
    if request.param == "memory":
        return Store(f"memory://{tmp_path.name}")
    weed = request.getfixturevalue("weed")
    return Store(weed.url("store"), weed.storage_options)


def test_what_was_written_is_read_back(store: Store) -> None:
    """Bytes of any size, in folders that did not exist, and overwritten whole."""
    store.write("a/b/c.bin", b"first and longer")
    store.write("a/b/c.bin", b"second")
    store.write("empty", b"")
    assert store.read("a/b/c.bin") == b"second"
    assert store.read("empty") == b""
    assert (store.size("a/b/c.bin"), store.size("empty")) == (6, 0)
    assert store.exists("a/b/c.bin")
    assert not store.exists("a/b")
    assert not store.exists("a/b/d.bin")


@pytest.mark.parametrize(
    ("start", "end"), [(0, None), (0, 10), (3, 7), (3, None), (9, 10), (10, 10), (0, 0), (5, 5), (0, 1)]
)
def test_a_ranged_read_gives_exactly_that_range(store: Store, start: int, end: int | None) -> None:
    """[start, end) as in Python slices, also where it is empty."""
    store.write("ten", b"0123456789")
    assert store.read("ten", start, end) == b"0123456789"[start:end]


@pytest.mark.parametrize(("start", "end"), [(0, 11), (8, 12), (10, 11), (20, 30)])
def test_a_range_beyond_the_end_is_an_error(store: Store, start: int, end: int) -> None:
    """A short answer would become a cut image; it is refused, naming the address."""
    store.write("ten", b"0123456789")
    with pytest.raises(StorageError, match="ten"):
        store.read("ten", start, end)


@pytest.mark.parametrize(("start", "end"), [(-1, None), (-3, 5), (5, 3)])
def test_a_range_that_runs_backwards_is_refused(store: Store, start: int, end: int | None) -> None:
    """Negative or reversed ends are a bug of the caller, never a quiet other range."""
    store.write("ten", b"0123456789")
    with pytest.raises(OptionError, match=r"start <= end"):
        store.read("ten", start, end)


def test_a_missing_file_is_file_not_found(store: Store) -> None:
    """The builtin, as open() would raise it, for whole and ranged reads, size and open."""
    store.write("other", b"x")
    attempts: list[Callable[[], Any]] = [
        lambda: store.read("absent"),
        lambda: store.read("absent", 0, 4),
        lambda: store.size("absent"),
        lambda: store.open("absent").read(),
        lambda: store.whole("absent").__enter__(),
    ]
    for attempt in attempts:
        with pytest.raises(FileNotFoundError):
            attempt()


def test_files_are_listed_sorted_relative_and_recursive(store: Store) -> None:
    """Names are relative to the store, also when only a folder of it is listed; a prefix is no folder."""
    for name in ("train/b", "train/a", "train/sub/c", "train2/d", "z", "trainer"):
        store.write(name, name.encode())
    assert [entry.path for entry in store.files()] == ["train/a", "train/b", "train/sub/c", "train2/d", "trainer", "z"]
    inside = [Entry("train/a", 7), Entry("train/b", 7), Entry("train/sub/c", 11)]
    assert store.files("train") == inside
    assert store.files("train/") == inside
    assert store.files("absent") == []


def test_listing_is_never_stale(store: Store) -> None:
    """A file written after a listing is in the next one: listing caches are off."""
    store.write("a", b"1")
    assert [entry.path for entry in store.files()] == ["a"]
    Store(store.url, store.options).write("b", b"22")
    assert [entry.path for entry in store.files()] == ["a", "b"]
    Store(store.url, store.options).write("a", b"333")
    assert store.size("a") == 3


def test_delete_takes_a_file_or_a_folder_and_nothing_else(store: Store) -> None:
    """Neighbours that share the prefix stay; deleting what is absent is no error."""
    for name in ("train/a", "train/sub/b", "train2/c", "file", "file2"):
        store.write(name, b"x")
    store.delete("train")
    store.delete("file")
    store.delete("absent")
    assert [entry.path for entry in store.files()] == ["file2", "train2/c"]


def test_a_published_file_leaves_no_scratch_file(store: Store, tmp_path: Path) -> None:
    """The scratch file moves to its final name; nothing else is left in the store or beside it."""
    scratch = store.scratch("train/shard.tar")
    scratch.write_bytes(b"whole shard")
    assert store.files() == [] or store.is_local
    store.publish(scratch, "train/shard.tar")
    assert store.files() == [Entry("train/shard.tar", 11)]
    assert not scratch.exists()


def test_open_files_seek_and_whole_maps_all_bytes(store: Store) -> None:
    """Two ways to the same bytes."""
    store.write("ten", b"0123456789")
    with store.open("ten") as file:
        file.seek(6)
        assert file.read() == b"6789"
    with store.whole("ten") as whole:
        assert bytes(whole.data) == b"0123456789"


@pytest.mark.parametrize("path", ["../x", "a/../../x", "a/..", "..", "/etc/passwd", "a\0b"])
def test_a_path_that_leaves_the_store_is_refused(store: Store, path: str) -> None:
    """Manifests name files: none may reach outside, by any verb."""
    verbs: list[Callable[[], Any]] = [
        lambda: store.read(path),
        lambda: store.write(path, b"x"),
        lambda: store.size(path),
        lambda: store.exists(path),
        lambda: store.files(path),
        lambda: store.delete(path),
        lambda: store.open(path),
        lambda: store.scratch(path),
        lambda: store.local_path(path) or store.full(path),
    ]
    for verb in verbs:
        with pytest.raises(OptionError, match="leaves its store"):
            verb()


def test_a_pickled_store_carries_options_but_no_client(store: Store) -> None:
    """Workers get the address and the options; each makes its own client."""
    store.write("a", b"1")
    copy = pickle.loads(pickle.dumps(store))
    assert copy._fs is None
    assert (copy.url, dict(copy.options)) == (store.url, dict(store.options))
    assert copy.scheme == "memory" or copy.read("a") == b"1"


def _read_in_child(store: Store, result: Any) -> None:
    result.put(store.read("a"))


def test_a_store_used_before_a_fork_works_in_the_child(store: Store) -> None:
    """The child makes its own client: with the parent's it would wait for ever for an event loop that is not there."""
    store.write("a", b"forked")
    context = multiprocessing.get_context("fork")
    result = context.Queue()
    child = context.Process(target=_read_in_child, args=(store, result))
    child.start()
    try:
        assert result.get(timeout=30) == b"forked"
        child.join(timeout=30)
        assert child.exitcode == 0
    finally:
        child.kill()
        child.join()
    assert store.read("a") == b"forked"


def test_options_are_never_shown(store: Store) -> None:
    """A repr ends up in logs; a secret must not."""
    secretive = Store(store.url, {"key": "AKIA-VISIBLE", "secret": "hunter2"})
    for shown in (repr(secretive), str(secretive), f"{[secretive]}"):
        assert "hunter2" not in shown
        assert "AKIA-VISIBLE" not in shown


def test_an_address_opens_once_and_a_store_stays_itself(tmp_path: Path) -> None:
    """Plain paths, path objects, file:// and stores are all accepted."""
    store = open_store(tmp_path)
    assert open_store(store) is store
    assert open_store(f"file://{tmp_path}/").url == open_store(f"{tmp_path}/").url == str(tmp_path)
