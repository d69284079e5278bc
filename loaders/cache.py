"""A disk cache of remote shards in blocks, shared by the processes of a machine.

A block is fetched once (whoever claims it fetches it, others wait for the finished file) and appears under its name
only when whole; a shard of a single block is also checked against its sha256. Where the bound is reached nothing more
is kept: on cyclic epochs a pinned subset keeps its hit rate, where LRU would drop to none. Of a split that does not
fit, a quarter of the bound (at most 8 GB) is left for rolling files: worker processes of one rank pass through them
what finds no other room, or each of them would fetch it.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from ..errors import ChecksumMismatch, OptionError, StorageError
from ..shard_writer.manifest import ShardEntry, SplitManifest
from ..shard_writer.storage import Store
from .blocks import BLOCK, Grid
from .counters import Tally
from .room import BLOCK as BLOCK_FILE
from .room import ROLLING as ROLLING_FILE
from .room import WHOLE as WHOLE_FILE
from .room import Room, claim_of

ENVIRONMENT = "SHARDSTREAM_CACHE"
PIECE = 16_000_000
"""The most bytes of one request."""
_SPARE_SHARE, _SPARE_BYTES = 4, 8_000_000_000
_FULL = (errno.ENOSPC, errno.EDQUOT)
log = logging.getLogger("shardstream")


def default_folder() -> Path:
    """``$SHARDSTREAM_CACHE``, else a folder of this user below the temporary directory."""
    return Path(os.environ.get(ENVIRONMENT) or Path(tempfile.gettempdir()) / f"shardstream-{os.getuid()}")


@dataclass(frozen=True, slots=True)
class Source:
    """A shard in storage."""

    store: Store
    path: str
    entry: ShardEntry


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of this machine that holds a part of a shard, or all of it."""

    path: Path
    start: int
    """Place in the shard of the file's first byte."""

    @property
    def rolls(self) -> bool:
        """Whether it will make room for others: to be copied, since a mapping would keep its bytes on the disk."""
        return self.path.suffix == ROLLING_FILE


@dataclass(frozen=True, slots=True)
class ShardCache:
    """Where blocks are kept, how many bytes of them, and how large they are."""

    folder: Path
    limit: int = 100_000_000_000
    block: int = BLOCK
    spare: int = 0
    """How many of the bytes are for rolling files."""

    def __post_init__(self) -> None:
        for name, value, least in (("cache_bytes", self.limit, 0), ("block_bytes", self.block, 1)):
            if value < least:
                raise OptionError(f"{name} must be at least {least}, not {value}.")

    def of_split(self, split: SplitManifest) -> ShardCache:
        """The same cache, with room for rolling files where the split does not fit."""
        fits = sum(shard.bytes for shard in split.shards) <= self.limit
        return replace(self, spare=0 if fits else min(_SPARE_BYTES, self.limit // _SPARE_SHARE))

    def grid(self, entry: ShardEntry) -> Grid:
        """How a shard is cut."""
        return Grid(entry.bytes, self.block)

    def fetch(
        self,
        store: Store,
        path: str,
        entry: ShardEntry,
        number: int = 0,
        *,
        tally: Tally | None = None,
        rolls: bool = False,
    ) -> Kept | None:
        """A block of a shard as a local file, None where it does not fit. ``tally`` counts what had to be fetched.

        Files are named by content, so equal shards of any dataset share one, and different ones never meet. Raises
        ChecksumMismatch for wrong bytes of a whole shard (of blocks the members are checked when they are read),
        FileNotFoundError for an absent shard, StorageError where it cannot be kept.
        """
        tally, (start, stop) = tally or Tally(), self.grid(entry).bounds(number)
        try:
            found = self.find(entry, number, tally)
            if found is not None or stop - start > (self.spare if rolls else self.limit - self.spare):
                return found
            return self._fill(Source(store, path, entry), number, tally, rolls)
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
        """What is there already: a whole shard serves all its blocks. Nothing where nothing may be kept."""
        if not self.limit:
            return None
        start, stop = self.grid(entry).bounds(number)
        own, whole, rolling = self._places(entry, number)
        for file, first, size in ((own, start, stop - start), (whole, 0, entry.bytes), (rolling, start, stop - start)):
            if _size(file) == size:
                tally.block(hit=True)
                return Kept(file, first)
        return None

    def fetching(self, entry: ShardEntry, number: int) -> bool:
        """Whether somebody is fetching a block at this moment."""
        return any(claim_of(file).exists() for file in self._places(entry, number))

    def drop(self, entry: ShardEntry, number: int = 0) -> bool:
        """Remove what holds a block that turned out damaged; whether anything was there."""
        dropped = [self._room.give_up(file) for file in self._places(entry, number)]
        return any(dropped)

    @property
    def _room(self) -> Room:
        return Room(self.folder, self.limit, self.spare)

    def _target(self, entry: ShardEntry, number: int = 0) -> Path:
        return self._places(entry, number)[0]

    def _places(self, entry: ShardEntry, number: int) -> tuple[Path, Path, Path]:
        """Files that may hold a block: its own, the whole shard's, a rolling one."""
        grid, whole = self.grid(entry), self.folder / f"{entry.sha256}{WHOLE_FILE}"
        start, stop = grid.bounds(number)
        own = self.folder / f"{entry.sha256}.{start}-{stop}{BLOCK_FILE}"
        return whole if grid.count == 1 else own, whole, own.with_suffix(ROLLING_FILE)

    def _fill(self, source: Source, number: int, tally: Tally, rolls: bool) -> Kept | None:
        entry, room = source.entry, self._room
        own, _, rolling = self._places(entry, number)
        target, (start, stop) = rolling if rolls else own, self.grid(entry).bounds(number)
        with room.claim(target) as claim:
            found = self.find(entry, number, tally)  # made while we waited for the claim
            if found is not None:
                return found
            room.give_up(target)  # of another size: cut short
            if not room.reserve(claim, stop - start, rolls=rolls):
                return None
            _download(source, start, stop, claim, tally)
            os.replace(claim_of(target), target)
        tally.block(hit=False)
        return Kept(target, start)


def _download(source: Source, start: int, stop: int, file: BinaryIO, tally: Tally) -> None:
    """Bytes [start, stop) of a shard into a file; where that is all of it, its sha256 must be right."""
    entry = source.entry
    digest = hashlib.sha256() if stop - start == entry.bytes else None
    for place in range(start, stop, PIECE):
        data = tally.read(source.store, source.path, place, min(place + PIECE, stop))
        file.write(data)
        if digest is not None:
            digest.update(data)
    file.flush()
    if digest is not None and digest.hexdigest() != entry.sha256:
        raise ChecksumMismatch(
            f"{source.store.full(source.path)} arrived with sha256 {digest.hexdigest()[:12]}..., its manifest says"
            f" {entry.sha256[:12]}...: the shard was changed or damaged after packing. Restore it, or pack again."
        )


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return None
