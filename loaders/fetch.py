"""Fetch: member bytes of (shard, row), verified.

Local shards are mapped. Remote ones are read in blocks (``blocks``) of at least 4 MB, which come through a disk cache
(``cache``) or, where that has no room, are held in memory (``pieces``), and are fetched ahead of need (``readahead``).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from ..errors import ChecksumMismatch
from ..shard_writer.index import SplitIndex
from ..shard_writer.manifest import SplitManifest
from ..shard_writer.storage import Store
from .array_table import MOST_ROWS, ArrayTable
from .blocks import Span
from .cache import ShardCache
from .counters import Counters
from .joined import JoinedIndex
from .plain import PlainReader
from .raw import PlainRows
from .rows import OPEN_SHARDS, Recent, ShardRows, shard_rows
from .shard_bytes import ShardBytes
from .stages import FETCH

I64 = NDArray[np.int64]


@dataclass(slots=True)
class Fetcher:
    """Reads members of one split. Picklable and fork-safe: mappings, blocks and threads belong to one process.

    ``verify`` compares each member with its checksum the first time it is touched in a piece that this process has
    mapped or fetched. Raises CorruptData naming url, key and offset; never returns fewer bytes than the index says.
    """

    store: Store
    split: SplitManifest
    cache: ShardCache
    verify: bool = True
    upright: bool = False
    index: SplitIndex | JoinedIndex | None = field(default=None, repr=False)
    """Where rows come from; None: the split's own index. ``split`` names the columns that it has."""
    _index: SplitIndex | JoinedIndex = field(init=False, repr=False)
    _shards: Store = field(init=False, repr=False)
    _rows: Recent[ShardRows] = field(init=False, repr=False)
    _bytes: ShardBytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._index = self.index or SplitIndex(self.store, self.split)
        self._shards = self.split.shard_store(self.store)
        self._rows = Recent(OPEN_SHARDS)
        self._bytes = ShardBytes(self._shards, self.split, self.cache)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Fetcher, (self.store, self.split, self.cache, self.verify, self.upright, self.index))

    @property
    def counters(self) -> Counters:
        """What this process has read so far."""
        return self._here.tally.counters()

    def rows(self, shard: int) -> ShardRows:
        """Index rows of one shard."""
        return self._rows.get(shard, self._read_rows)

    def member(self, shard: int, row: int, name: str) -> memoryview | bytes | None:
        """Payload of one member, None where the sample lacks it."""
        with FETCH:
            return self._member(shard, row, name)

    def plain(self, shard: int, rows: I64, name: str) -> PlainRows | None:
        """Where rows' images lie, verified; None where some are no plain arrays of one form. Whoever copies them counts."""
        members, here = self.rows(shard).members[name], self._here
        return PlainReader(
            here, members, name, self.verify, lambda row: self._member(shard, row, name, counted=False)
        ).read(shard, rows)

    def array_table(self, name: str) -> ArrayTable | None:
        """The table of a field whose members may be plain arrays; None where shards are not mapped, or are too many rows."""
        here = self._here
        if not here.is_mapped or self.split.samples > MOST_ROWS:
            return None
        if name not in here.tables:
            here.tables[name] = ArrayTable(self, name, [shard.samples for shard in self.split.shards])
        return here.tables[name]

    def count_delivered(self, size: int) -> None:
        """So many bytes of images were handed out that ``plain`` told the places of."""
        self._here.tally.deliver(size)

    def _member(self, shard: int, row: int, name: str, counted: bool = True) -> memoryview | bytes | None:
        members = self.rows(shard).members[name]
        start, stop = members.extent(row)
        if start < 0:
            return None
        here = self._here
        data, serial = here.read(shard, start, stop)
        if self.verify and (serial == 0 or members.verified[row] != serial):
            data, serial = self._verified(data, serial, shard, row, name)
            members.verified[row] = serial
        if counted:
            here.tally.deliver(stop - start)
        return data

    def url(self, shard: int) -> str:
        """Address of a shard."""
        return self._bytes.url(shard)

    @property
    def outlook(self) -> int:
        """How many bytes of coming samples it is worth to announce; 0: none, shards are mapped."""
        return self._here.outlook

    @property
    def sample_bytes(self) -> float:
        """Bytes of a sample in its shard, on average."""
        return sum(shard.bytes for shard in self.split.shards) / max(1, self.split.samples)

    @property
    def idle(self) -> bool:
        """Whether more may be announced."""
        return self._here.idle

    def begin_epoch(self) -> None:
        """What was announced in another order is not wanted any more."""
        self._here.begin_epoch()

    def ahead(self, shards: I64, rows: I64) -> None:
        """Announce samples (n,) that come next: their blocks are fetched in the background, where they are remote."""
        here = self._here
        if not here.is_mapped:
            here.announce(self._extent(int(shard), int(row)) for shard, row in zip(shards, rows, strict=True))

    @property
    def _here(self) -> ShardBytes:
        if self._bytes.pid != os.getpid():
            self._bytes = ShardBytes(self._shards, self.split, self.cache)
        return self._bytes

    def _read_rows(self, shard: int) -> ShardRows:
        return shard_rows(self._index.shard_rows(shard), self.split, self.upright)

    def _extent(self, shard: int, row: int) -> Span:
        """The image of a sample, or all its members where it has none; what else is read lies beside it."""
        members = self.rows(shard).members
        image = self.split.image_field
        extents = [found.extent(row) for name, found in members.items() if image is None or name == image]
        present = [extent for extent in extents if extent[0] >= 0] or [(0, 0)]
        return Span(shard, min(start for start, _ in present), max(stop for _, stop in present))

    def _verified(
        self, data: memoryview | bytes, serial: int, shard: int, row: int, name: str
    ) -> tuple[memoryview | bytes, int]:
        """Bytes that have the member's checksum: these, or what a second fetch brings."""
        members = self.rows(shard).members[name]
        (start, stop), expected = members.extent(row), int(members.checksum[row])
        found = xxhash.xxh3_64_intdigest(data)
        if found != expected and self._here.drop(shard, start, stop):
            data, serial = self._here.read(shard, start, stop)
            found = xxhash.xxh3_64_intdigest(data)
        if found == expected:
            return data, serial
        self._here.drop(shard, start, stop)
        raise ChecksumMismatch(
            f"{self.url(shard)}: member {self.rows(shard).key(row)}.{name} at offset {start} has checksum {found:016x},"
            f" its index says {expected:016x}: the bytes changed after packing. Restore the shard, or pack again;"
            " `shardstream verify` lists all damage."
        )
