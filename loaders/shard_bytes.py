"""Bytes of a split's shards, as one process sees them: mapped where they are local, in blocks where they are remote."""

from __future__ import annotations

import itertools
import mmap
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import get_worker_info

from ..errors import CorruptData, StorageError
from ..shard_writer.manifest import SplitManifest
from ..shard_writer.storage import Store
from .array_table import ArrayTable
from .blocks import GRANULE, Grid, Span
from .cache import Kept, ShardCache
from .counters import Tally
from .pieces import HELD_BLOCKS, HELD_BYTES, Piece, Pieces
from .readahead import Background
from .rows import OPEN_SHARDS, Recent

I64 = NDArray[np.int64]
AHEAD_BYTES = 1_000_000_000
"""How far blocks are fetched ahead into the cache: all lanes enter a new window at once, and want more bytes then."""
_ASK_AGAIN = 60.0
"""Seconds after which a full cache is asked again."""


class ShardBytes:
    """Reads ranges of shards. Belongs to the process that made it: a forked child makes its own."""

    def __init__(self, store: Store, split: SplitManifest, cache: ShardCache) -> None:
        self.pid = os.getpid()
        self.tally = Tally()
        self.is_mapped = store.is_mapped
        """Whether shards are files to be mapped; on a mount they are read like remote ones."""
        self._store, self._split, self._cache = store, split, cache.of_split(split)
        self.tables: dict[str, ArrayTable] = {}
        """Of plain arrays, by field: addresses of this process."""
        self._serials = itertools.count(1)
        self._whole: Recent[Piece] = Recent(OPEN_SHARDS)
        self._memory = min(HELD_BYTES, HELD_BLOCKS * cache.block)
        self._pieces = Pieces(self._load, self.tally, self._memory)
        self._background = Background(self._load_ahead)
        self._refused: tuple[int, float] | None = None

    def url(self, shard: int) -> str:
        """Address of a shard."""
        return self._store.full(self._split.shard_path(shard))

    def read(self, shard: int, start: int, stop: int) -> tuple[memoryview | bytes, int]:
        """Bytes [start, stop), and the serial number of the piece that all of them lie in; 0 where it takes several.

        Raises CorruptData where the shard ends before, StorageError where it cannot be read: never fewer bytes.
        """
        data, serial = self._mapped(shard, start, stop) if self.is_mapped else self._remote(shard, start, stop)
        if len(data) != stop - start:
            raise CorruptData(
                f"shard {self.url(shard)} ends at {self._split.shards[shard].bytes:,}, its index has a member at"
                f" {start:,}..{stop:,}; restore both, or pack again."
            )
        return data, serial

    def whole(self, shard: int) -> Piece | None:
        """A whole mapped shard; None where shards are read in blocks."""
        return self._whole.get(shard, self._map_shard) if self.is_mapped else None

    def pieces(self, shard: int, starts: I64, stops: I64) -> Iterator[tuple[Piece, I64]]:
        """Pieces that hold bytes [starts, stops), each (n,), and the places of those; what lies in no one piece is left out."""
        whole = self.whole(shard)
        if whole is not None:
            yield whole, np.arange(len(starts), dtype=np.int64)
            return
        grid = self._cache.grid(self._split.shards[shard])
        first, last = grid.numbers(starts), grid.numbers(stops - 1)
        for number in np.unique(first[first == last]).tolist():
            span = Span(shard, *grid.bounds(number))
            if not self._pieces.wasted(span):
                yield self._pieces.get(span), np.flatnonzero((first == number) & (last == number))

    def drop(self, shard: int, start: int, stop: int) -> bool:
        """Forget what holds these bytes, on this machine's disk too: it may have rotted there, or on the way.

        False for local shards, which are what they are.
        """
        if self.is_mapped:
            return False
        entry = self._split.shards[shard]
        grid = self._cache.grid(entry)
        for span in self._spans(shard, start, stop):
            self._cache.drop(entry, grid.number(span.start))
            self._pieces.forget(span)
        return True

    @property
    def outlook(self) -> int:
        """How many bytes of coming samples it is worth to announce; 0: none, shards are mapped."""
        if self.is_mapped:
            return 0
        return self._memory // 8 if self._pieces.holds or not self._cache.limit else AHEAD_BYTES

    @property
    def idle(self) -> bool:
        """Whether more may be announced."""
        return self._background.idle

    def announce(self, ranges: Iterable[Span]) -> None:
        """Fetch the blocks of these bytes in the background, in this order."""
        spans = (found for wanted in ranges for found in self._spans(*wanted))
        self._background.want([span for span in dict.fromkeys(spans) if span not in self._pieces])

    def begin_epoch(self) -> None:
        """What was announced in another order is not wanted any more."""
        self._background.forget()
        self._pieces.begin_epoch()

    def _mapped(self, shard: int, start: int, stop: int) -> tuple[memoryview, int]:
        piece = self._whole.get(shard, self._map_shard)
        return piece.cut(start, stop), piece.serial

    def _remote(self, shard: int, start: int, stop: int) -> tuple[memoryview | bytes, int]:
        spans = self._spans(shard, start, stop)
        if len(spans) == 1:
            piece = self._pieces.get(spans[0])
            return piece.cut(start, stop), piece.serial
        parts, place = [], start
        for span in spans:
            parts.append(self._pieces.get(span).cut(place, stop))
            place = span.stop
        return b"".join(parts), 0

    def _spans(self, shard: int, start: int, stop: int) -> list[Span]:
        """The pieces that hold bytes [start, stop): blocks, or parts of a block that found no room."""
        spans: list[Span] = []
        for first, end in self._cache.grid(self._split.shards[shard]).covering(start, stop):
            block = Span(shard, first, end)
            if not self._pieces.wasted(block):
                spans.append(block)
                continue
            parts = Grid(end - first, min(GRANULE, self._cache.block)).covering(max(start, first) - first, stop - first)
            spans += [Span(shard, first + begin, first + finish) for begin, finish in parts]
        return spans

    def _map_shard(self, shard: int) -> Piece:
        entry = self._split.shards[shard]
        with self._missing_named(shard), open(self._store.full(self._split.shard_path(shard)), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != entry.bytes:
                raise CorruptData(
                    f"shard {self.url(shard)} has {size:,} bytes, its manifest says {entry.bytes:,}: cut short or replaced."
                    " Restore it, or pack again."
                )
            self.tally.open(shard)
            return Piece(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)), 0, next(self._serials))

    def _load(self, span: Span) -> Piece:
        """A piece from the cache, or what that has no room for from storage."""
        self.tally.open(span.shard)
        with self._missing_named(span.shard):
            while (kept := self._kept(span)) is not None:
                data = _contents(kept, span)
                if data is not None:
                    return Piece(data, span.start, next(self._serials), held=kept.rolls)
            data = memoryview(self.tally.read(self._store, self._split.shard_path(span.shard), span.start, span.stop))
            self.tally.block(hit=False)
            return Piece(data, span.start, next(self._serials), held=True)

    def _load_ahead(self, span: Span) -> None:
        entry = self._split.shards[span.shard]
        if span in self._pieces or self._cache.fetching(entry, self._cache.grid(entry).number(span.start)):
            return  # another process of this machine is at it
        self._pieces.get(span)

    def _kept(self, span: Span) -> Kept | None:
        """A file that holds the piece, fetched if need be; None where the cache has no room for it."""
        entry, path, size = self._split.shards[span.shard], self._split.shard_path(span.shard), span.stop - span.start
        grid = self._cache.grid(entry)
        number = grid.number(span.start)
        kept, whole = None, grid.bounds(number) == (span.start, span.stop)
        if whole and not self._is_refused(size):  # a part of a block finds it refused already
            kept = self._cache.fetch(self._store, path, entry, number, tally=self.tally)
            if kept is None:
                self._refused = size, time.monotonic() + _ASK_AGAIN
        if kept is None and (_shares_its_rank() or self._pieces.crowded):
            kept = self._cache.fetch(self._store, path, entry, number, tally=self.tally, rolls=True)
            if kept is None:
                self._pieces.warn()
        return kept or self._cache.find(entry, number, self.tally)

    def _is_refused(self, size: int) -> bool:
        """Whether the cache had no room for so much a moment ago."""
        return self._refused is not None and size >= self._refused[0] and time.monotonic() < self._refused[1]

    @contextmanager
    def _missing_named(self, shard: int) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise StorageError(
                f"shard {self.url(shard)} is missing; its manifest lists {self._split.shards[shard].samples} samples in it."
                " Restore it, or pack again."
            ) from error


def _shares_its_rank() -> bool:
    """Whether this is one of several worker processes, which all read from the same lanes."""
    worker = get_worker_info()
    return worker is not None and worker.num_workers > 1


def _contents(kept: Kept, span: Span) -> memoryview | None:
    """The bytes of a piece in a file of the cache; None where somebody has just removed it or cut it short."""
    begin, end = span.start - kept.start, span.stop - kept.start
    try:
        with open(kept.path, "rb") as file:
            if os.fstat(file.fileno()).st_size < end:
                return None
            if kept.rolls:
                return memoryview(os.pread(file.fileno(), end - begin, begin))
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[begin:end]
    except FileNotFoundError:
        return None
