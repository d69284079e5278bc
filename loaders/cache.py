"""A disk cache of remote shards in blocks, shared by the processes of a machine.

A block is fetched once (whoever claims it fetches it, others wait for the finished file) and appears under its name
only when whole; a shard of a single block is also checked against its sha256. When the bound is reached nothing more
is kept: on cyclic epochs a pinned subset keeps its hit rate, where LRU would drop to none.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import ChecksumMismatch, OptionError, StorageError
from ..shard_writer.manifest import ShardEntry
from ..shard_writer.storage import Store
from .blocks import BLOCK, Grid
from .counters import Tally
from .room import BLOCK_FILE, CLAIM, WHOLE_FILE, Room

ENVIRONMENT = "SHARDSTREAM_CACHE"
PIECE = 16_000_000
"""The most bytes of one request."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
log = logging.getLogger("shardstream")


def default_folder() -> Path:
    """``$SHARDSTREAM_CACHE``, else a folder of this user below the temporary directory."""
    return Path(os.environ.get(ENVIRONMENT) or Path(tempfile.gettempdir()) / f"shardstream-{os.getuid()}")


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of this machine that holds a part of a shard, or all of it."""

    path: Path
    start: int
    """Place in the shard of the file's first byte."""


@dataclass(frozen=True, slots=True)
class ShardCache:
    """Where blocks are kept, how many bytes of them, and how large they are."""

    folder: Path
    limit: int = 100_000_000_000
    block: int = BLOCK

    def __post_init__(self) -> None:
        for name, value, least in (("cache_bytes", self.limit, 0), ("block_bytes", self.block, 1)):
            if value < least:
                raise OptionError(f"{name} must be at least {least}, not {value}.")

    @property
    def room(self) -> Room:
        return Room(self.folder, self.limit)

    def grid(self, entry: ShardEntry) -> Grid:
        """How a shard is cut."""
        return Grid(entry.bytes, self.block)

    def fetch(
        self, store: Store, path: str, entry: ShardEntry, number: int = 0, tally: Tally | None = None
    ) -> Kept | None:
        """A block of a shard as a local file, None where it does not fit. ``tally`` counts what had to be fetched.

        Files are named by content, so equal shards of any dataset share one, and different ones never meet. Raises
        ChecksumMismatch for wrong bytes of a whole shard (of blocks the members are checked when they are read),
        FileNotFoundError for an absent shard, StorageError where it cannot be kept.
        """
        start, stop = self.grid(entry).bounds(number)
        if stop - start > self.limit:
            return None
        tally = Tally() if tally is None else tally
        try:
            return self.find(entry, number, tally) or self._fill(store, path, entry, number, tally)
        except (FileNotFoundError, StorageError):
            raise
        except OSError as error:
            if error.errno in _FULL:
                log.warning("the disk of the cache %s is full: blocks beyond it are kept in memory", self.folder)
                return None
            raise StorageError(
                f"cannot keep {store.full(path)} in the cache {self.folder}: {error.strerror or error}. Choose another"
                " cache_dir, or cache_bytes that fit its disk."
            ) from error

    def find(self, entry: ShardEntry, number: int, tally: Tally) -> Kept | None:
        """What is there already: a whole shard serves all its blocks. Nothing where the bound is below a block."""
        start, stop = self.grid(entry).bounds(number)
        if stop - start > self.limit:
            return None
        target = self._target(entry, number)
        whole = self._whole(entry)
        for file, first, size in ((target, start, stop - start), (whole, 0, entry.bytes)):
            if _size(file) == size:
                tally.block(hit=True)
                return Kept(file, first)
        return None

    def fetching(self, entry: ShardEntry, number: int) -> bool:
        """Whether somebody is fetching a block at this moment."""
        return self.room.claimed(self._target(entry, number))

    def drop(self, entry: ShardEntry, number: int = 0) -> bool:
        """Remove what holds a block that turned out damaged; whether anything was there."""
        dropped = [self.room.give_up(file) for file in {self._target(entry, number), self._whole(entry)}]
        return any(dropped)

    def _whole(self, entry: ShardEntry) -> Path:
        return self.folder / f"{entry.sha256}{WHOLE_FILE}"

    def _target(self, entry: ShardEntry, number: int = 0) -> Path:
        grid = self.grid(entry)
        if grid.count == 1:
            return self._whole(entry)
        start, stop = grid.bounds(number)
        return self.folder / f"{entry.sha256}.{start}-{stop}{BLOCK_FILE}"

    def _fill(self, store: Store, path: str, entry: ShardEntry, number: int, tally: Tally) -> Kept | None:
        target, (start, stop) = self._target(entry, number), self.grid(entry).bounds(number)
        with self.room.claim(target) as claim:
            found = self.find(entry, number, tally)  # made while we waited for the claim
            if found is not None:
                return found
            self.room.give_up(target)  # of another size: cut short
            if not self.room.reserve(claim, stop - start):
                return None
            _download(store, path, entry, (start, stop), claim, tally)
            os.replace(target.with_suffix(CLAIM), target)
        tally.block(hit=False)
        return Kept(target, start)


def _download(
    store: Store, path: str, entry: ShardEntry, bounds: tuple[int, int], file: BinaryIO, tally: Tally
) -> None:
    """Bytes [start, stop) of a shard into a file; where that is all of it, its sha256 must be right."""
    start, stop = bounds
    digest = hashlib.sha256() if stop - start == entry.bytes else None
    for place in range(start, stop, PIECE):
        data = tally.read(store, path, place, min(place + PIECE, stop))
        file.write(data)
        if digest is not None:
            digest.update(data)
    file.flush()
    if digest is not None and digest.hexdigest() != entry.sha256:
        raise ChecksumMismatch(
            f"{store.full(path)} arrived with sha256 {digest.hexdigest()[:12]}..., its manifest says"
            f" {entry.sha256[:12]}...: the shard was changed or damaged after packing. Restore it, or pack again."
        )


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return None
