"""Atomic writes on local disk: a file is there whole, or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shardstream.errors import StorageError
from shardstream.shard_writer.storage import Store

DIES_WHILE_WRITING = """
import os, sys
from shardstream.shard_writer.storage import Store

store = Store(sys.argv[1])
scratch = store.scratch("shard.tar")
with open(scratch, "wb") as file:
    file.write(b"half")
    file.flush()
    print("written", flush=True)
    sys.stdin.read()
"""


def test_a_killed_writer_leaves_nothing_under_the_final_name(tmp_path: Path) -> None:
    """SIGKILL between the first byte and publish: the old file stays, whole."""
    store = Store(str(tmp_path))
    store.write("shard.tar", b"the old one, whole")
    command = [sys.executable, "-c", DIES_WHILE_WRITING, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"written\n"
        writer.send_signal(signal.SIGKILL)
    assert store.read("shard.tar") == b"the old one, whole"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failing_disk_leaves_the_old_file_and_no_scratch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """ENOSPC or EIO while writing is a StorageError that names the file; neither old bytes nor the folder suffer."""
    store = Store(str(tmp_path))
    store.write("a", b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(StorageError, match=r"cannot write .*a: .*No space left"):
        store.write("a", b"new")
    assert store.read("a") == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def test_an_interrupted_write_leaves_no_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of a write is passed on and leaves the folder clean."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Store(str(tmp_path)).write("a", b"new")
    assert list(tmp_path.iterdir()) == []


def test_bytes_are_flushed_before_the_name_appears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fsync comes before rename: after a power loss the name never stands for an empty file."""
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (calls.append("fsync"), fsync(file))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("replace"), replace(a, b))[1])
    Store(str(tmp_path)).write("a", b"x")
    assert calls == ["fsync", "replace"]


def test_what_the_disk_refuses_is_a_storage_error(tmp_path: Path) -> None:
    """A folder read as a file, or a file used as a folder, names the address; exists() stays a plain question."""
    store = Store(str(tmp_path))
    store.write("folder/file", b"x")
    with pytest.raises(StorageError, match="folder"):
        store.read("folder")
    with pytest.raises(StorageError, match="file/below"):
        store.write("folder/file/below", b"x")
    assert not store.exists("folder/file/below")


def test_deleting_a_link_to_a_folder_spares_the_folder(tmp_path: Path) -> None:
    """The link goes, what it points at stays."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").write_bytes(b"x")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "link").symlink_to(tmp_path / "elsewhere")
    Store(str(tmp_path / "store")).delete("link")
    assert (tmp_path / "elsewhere" / "kept").exists()
    assert list((tmp_path / "store").iterdir()) == []


def test_linked_files_and_folders_are_listed(tmp_path: Path) -> None:
    """A partly linked image folder is whole; a link to nothing or in a circle is an error, not fewer files."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a.jpg").write_bytes(b"abc")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/b.jpg").symlink_to(tmp_path / "real/a.jpg")
    (tmp_path / "set/folder").symlink_to(tmp_path / "real")
    store = Store(str(tmp_path / "set"))
    assert [(entry.path, entry.size) for entry in store.files()] == [("b.jpg", 3), ("folder/a.jpg", 3)]
    (tmp_path / "set/c.jpg").symlink_to(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match=r"c\.jpg"):
        store.files()
    (tmp_path / "set/c.jpg").unlink()
    (tmp_path / "real/up").symlink_to(tmp_path / "set")
    with pytest.raises(StorageError, match="a link leads to a folder above it"):
        store.files()
