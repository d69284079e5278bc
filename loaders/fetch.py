"""Fetch: member bytes of (shard, row), verified. Local shards are mapped; remote ones come through a disk cache."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import xxhash

from ..errors import ChecksumMismatch, CorruptData, StorageError
from ..shard_writer.index import SplitIndex
from ..shard_writer.manifest import SplitManifest
from ..shard_writer.storage import Store
from .cache import ShardCache
from .rows import OPEN_SHARDS, Recent, ShardRows, shard_rows


@dataclass(slots=True)
class Fetcher:
    """Reads members of one split. Picklable; mappings and clients are made per process.

    ``verify`` compares each member with its checksum the first time this process touches it, and each shard's size
    when it is opened. Raises CorruptData naming url, key and offset; never returns fewer bytes than the index says.
    """

    store: Store
    split: SplitManifest
    cache: ShardCache
    verify: bool = True
    upright: bool = False
    _index: SplitIndex = field(init=False, repr=False)
    _shards: Store = field(init=False, repr=False)
    _rows: Recent[ShardRows] = field(init=False, repr=False)
    _maps: Recent[memoryview] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._index = SplitIndex(self.store, self.split)
        self._shards = self.split.shard_store(self.store)
        self._rows = Recent(OPEN_SHARDS)
        self._maps = Recent(OPEN_SHARDS)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Fetcher, (self.store, self.split, self.cache, self.verify, self.upright))

    def rows(self, shard: int) -> ShardRows:
        """Index rows of one shard."""
        return self._rows.get(shard, self._read_rows)

    def member(self, shard: int, row: int, name: str) -> memoryview | bytes | None:
        """Payload of one member, None where the sample lacks it."""
        members = self.rows(shard).members[name]
        offset, size = int(members.offset[row]), int(members.size[row])
        if offset < 0:
            return None
        data = self._bytes(shard, offset, size)
        if self.verify and not members.verified[row]:
            expected, found = int(members.checksum[row]), xxhash.xxh3_64_intdigest(data)
            if found != expected and self._fetch_again(shard):
                data = self._bytes(shard, offset, size)
                found = xxhash.xxh3_64_intdigest(data)
            self._check(found, expected, shard, row, name)
            members.verified[row] = True
        return data

    def url(self, shard: int) -> str:
        """Address of a shard."""
        return self._shards.full(self.split.shard_path(shard))

    def _read_rows(self, shard: int) -> ShardRows:
        return shard_rows(self._index.shard_rows(shard), self.split, self.upright)

    def _fetch_again(self, shard: int) -> bool:
        """Drop a shard's cached copy, which may have rotted on this machine's disk; False where there is none."""
        if self._shards.is_local or not self.cache.drop(self.split.shards[shard]):
            return False
        self._maps.forget(shard)
        return True

    def _bytes(self, shard: int, offset: int, size: int) -> memoryview | bytes:
        mapped = self._maps.get(shard, self._open)
        if len(mapped) == 0:  # not cached: the cache is full
            with self._missing_named(shard):
                return self._shards.read(self.split.shard_path(shard), offset, offset + size)
        return mapped[offset : offset + size]

    def _open(self, shard: int) -> memoryview:
        """The mapped shard; an empty view where it is remote and may not be cached."""
        entry, name = self.split.shards[shard], self.split.shard_path(shard)
        with self._missing_named(shard):
            path = self._shards.local_path(name) or self.cache.fetch(self._shards, name, entry)
            if path is None:
                return memoryview(b"")
            with open(path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size != entry.bytes:
                    raise CorruptData(
                        f"shard {self.url(shard)} has {size:,} bytes, its manifest says {entry.bytes:,}: cut short or replaced."
                        " Restore it, or pack again."
                    )
                return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    @contextmanager
    def _missing_named(self, shard: int) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise StorageError(
                f"shard {self.url(shard)} is missing; its manifest lists {self.split.shards[shard].samples} samples in it."
                " Restore it, or pack again."
            ) from error

    def _check(self, found: int, expected: int, shard: int, row: int, name: str) -> None:
        if found != expected:
            rows = self.rows(shard)
            raise ChecksumMismatch(
                f"{self.url(shard)}: member {rows.keys[row]}.{name} at offset {rows.members[name].offset[row]} has checksum"
                f" {found:016x}, its index says {expected:016x}: the bytes changed after packing. Restore the shard, or"
                " pack again; `shardstream verify` lists all damage."
            )
