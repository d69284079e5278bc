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
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import ChecksumMismatch
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
        """The shard as a local file, None where it does not fit; raises ChecksumMismatch for wrong bytes.

        Files are named by content, so equal shards of any dataset share one, and different ones never meet.
        """
        target = self.folder / f"{entry.sha256}.tar"
        if target.exists():
            return target
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock(entry.sha256):
            if target.exists():
                return target
            if self._used() + entry.bytes > self.limit:
                return None
            return self._download(store, path, entry, target)

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        with open(self.folder / f"{name}.lock", "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _used(self) -> int:
        return sum(file.stat().st_size for file in self.folder.glob("*.tar"))

    def _download(self, store: Store, path: str, entry: ShardEntry, target: Path) -> Path:
        partial = target.with_suffix(".part")  # under the lock, so this name is ours
        with open(partial, "wb") as file:
            found = _copy(store, path, entry.bytes, file)
        if found != entry.sha256:
            partial.unlink()
            raise ChecksumMismatch(
                f"{store.full(path)} arrived with sha256 {found[:12]}..., its manifest says {entry.sha256[:12]}...:"
                " the shard was changed or damaged after packing. Restore it, or pack again."
            )
        os.replace(partial, target)
        return target


def _copy(store: Store, path: str, size: int, file: BinaryIO) -> str:
    digest = hashlib.sha256()
    for start in range(0, size, BLOCK):
        block = store.read(path, start, min(start + BLOCK, size))
        digest.update(block)
        file.write(block)
    return digest.hexdigest()
