"""A disk cache of whole remote shards, shared by the processes of a machine.

A shard is downloaded once (a lock file that the kernel releases with its holder makes it single-flight), checked
against its sha256, and appears under its name only when whole. When the bound is reached further shards are not
cached but read in ranges: on cyclic epochs a pinned subset keeps its hit rate, where LRU would drop to none.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import ChecksumMismatch, StorageError
from ..shard_writer.manifest import ShardEntry
from ..shard_writer.storage import Store

BLOCK = 16_000_000
ENVIRONMENT = "SHARDSTREAM_CACHE"


def default_folder() -> Path:
    """``$SHARDSTREAM_CACHE``, else a folder of this user below the temporary directory."""
    return Path(os.environ.get(ENVIRONMENT) or Path(tempfile.gettempdir()) / f"shardstream-{os.getuid()}")


@dataclass(frozen=True, slots=True)
class ShardCache:
    """Where shards are kept and how many bytes of them."""

    folder: Path
    limit: int = 100_000_000_000

    def fetch(self, store: Store, path: str, entry: ShardEntry) -> Path | None:
        """The shard as a local file, None where it does not fit.

        Files are named by content, so equal shards of any dataset share one, and different ones never meet. Raises
        ChecksumMismatch for wrong bytes, FileNotFoundError for an absent shard, StorageError where it cannot be kept.
        """
        target = self._target(entry)
        try:
            if _whole(target, entry):
                return target
            with self._lock(entry.sha256):
                if _whole(target, entry):
                    return target
                return self._download(store, path, entry, target) if self._reserve(target, entry.bytes) else None
        except (FileNotFoundError, StorageError):
            raise
        except OSError as error:
            raise StorageError(
                f"cannot keep {store.full(path)} in the cache {self.folder}: {error.strerror or error}. Choose another"
                " cache_dir, or cache_bytes that fit its disk."
            ) from error

    def drop(self, entry: ShardEntry) -> bool:
        """Remove a shard that turned out damaged; whether one was there."""
        with self._lock(entry.sha256):
            target = self._target(entry)
            there = target.exists()
            target.unlink(missing_ok=True)
        return there

    def _target(self, entry: ShardEntry) -> Path:
        return self.folder / f"{entry.sha256}.tar"

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(self.folder / f"{name}.lock", "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _reserve(self, target: Path, size: int) -> bool:
        """Claim room for a shard with an empty file of its full size, which every other process counts."""
        with self._lock("used"):
            self._remove_abandoned()
            if self._used() + size > self.limit:
                return False
            with open(_partial(target), "wb") as file:
                file.truncate(size)
        return True

    def _used(self) -> int:
        """Bytes kept and claimed; parts first, so that one that becomes whole meanwhile is rather counted twice."""
        return sum(_size(file) or 0 for kind in ("*.part", "*.tar") for file in self.folder.glob(kind))

    def _remove_abandoned(self) -> None:
        """Drop what a killed process left half-loaded: its lock is free."""
        for partial in self.folder.glob("*.part"):
            with open(partial.with_suffix(".lock"), "wb") as lock, suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                partial.unlink(missing_ok=True)

    def _download(self, store: Store, path: str, entry: ShardEntry, target: Path) -> Path:
        partial = _partial(target)
        try:
            with open(partial, "r+b") as file:
                found = _copy(store, path, entry.bytes, file)
            if found != entry.sha256:
                raise ChecksumMismatch(
                    f"{store.full(path)} arrived with sha256 {found[:12]}..., its manifest says {entry.sha256[:12]}...:"
                    " the shard was changed or damaged after packing. Restore it, or pack again."
                )
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)
        return target


def _partial(target: Path) -> Path:
    """Where a shard grows: whoever holds the shard's lock owns this name."""
    return target.with_suffix(".part")


def _whole(target: Path, entry: ShardEntry) -> bool:
    """Whether the shard is there in its full size; its members are checked when they are read."""
    return _size(target) == entry.bytes


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return None


def _copy(store: Store, path: str, size: int, file: BinaryIO) -> str:
    digest = hashlib.sha256()
    for start in range(0, size, BLOCK):
        block = store.read(path, start, min(start + BLOCK, size))
        digest.update(block)
        file.write(block)
    return digest.hexdigest()
