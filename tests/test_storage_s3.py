"""S3 as it fails: absent objects, wrong keys, a server that is gone. Against a real server on loopback."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from shardstream.errors import StorageError
from shardstream.shard_writer.storage import Store

pytestmark = pytest.mark.s3


def _verbs(store: Store) -> dict[str, Callable[[], Any]]:
    return {
        "read": lambda: store.read("a"),
        "ranged read": lambda: store.read("a", 0, 1),
        "size": lambda: store.size("a"),
        "exists": lambda: store.exists("a"),
        "files": lambda: store.files(),
        "open": lambda: store.open("a").read(),
        "whole": lambda: store.whole("a").__enter__(),
        "write": lambda: store.write("a", b"x"),
        "delete": lambda: store.delete("a"),
    }


@pytest.mark.parametrize("verb", _verbs(Store("/nowhere")))
def test_wrong_credentials_are_an_error_not_an_empty_store(weed: Any, verb: str) -> None:
    """'Not allowed' must never read as 'not there': an empty answer would start a new dataset over an old one."""
    url = weed.url("denied")
    Store(url, weed.storage_options).write("a", b"x")
    denied = Store(url, weed.storage_options | {"secret": "wrong-secret-value"})
    with pytest.raises(StorageError, match="denied") as caught:
        _verbs(denied)[verb]()
    assert "wrong-secret-value" not in str(caught.value)
    assert not isinstance(caught.value, FileNotFoundError)


def test_a_missing_bucket_holds_no_files(weed: Any) -> None:
    """Reading there is FileNotFoundError, a listing is empty."""
    store = Store("s3://no-such-bucket-here/x", weed.storage_options)
    assert store.files() == []
    assert not store.exists("a")
    with pytest.raises(FileNotFoundError):
        store.read("a")


def test_an_upload_that_fails_keeps_the_finished_local_file(weed: Any) -> None:
    """Hours of packing are not thrown away because the network blinked."""
    store = Store(weed.url("denied"), weed.storage_options | {"secret": "wrong-secret-value"})
    scratch = store.scratch("shard.tar")
    scratch.write_bytes(b"precious")
    try:
        with pytest.raises(StorageError, match=r"shard\.tar"):
            store.publish(scratch, "shard.tar")
        assert scratch.read_bytes() == b"precious"
    finally:
        scratch.unlink(missing_ok=True)


def test_a_large_upload_is_whole(weed: Any) -> None:
    """Beyond one part: the multipart path gives the same bytes back, at any offset."""
    store = Store(weed.url("large"), weed.storage_options)
    data = bytes(range(256)) * (52 * 4096)  # 52 MiB: s3fs splits above 50
    scratch = store.scratch("shard.tar")
    scratch.write_bytes(data)
    store.publish(scratch, "shard.tar")
    assert store.size("shard.tar") == len(data)
    assert store.read("shard.tar") == data
    assert store.read("shard.tar", 52_428_795, 52_428_805) == data[52_428_795:52_428_805]


def test_a_dead_server_is_a_storage_error_and_a_restart_heals(weed: Any) -> None:
    """SIGKILL the server: an error within a bounded time; after its restart the same store reads the same bytes."""
    store = Store(weed.url("healed"), weed.storage_options)
    store.write("a", b"durable")
    weed.kill()
    started = time.monotonic()
    with pytest.raises(StorageError, match="healed"):
        store.read("a")
    assert time.monotonic() - started < 60
    weed.restart()
    assert store.read("a") == b"durable"


def test_two_addresses_of_the_server_never_collide(weed: Any) -> None:
    """The fixture itself: each test gets its own prefix."""
    assert weed.url("x") != weed.url("x")
