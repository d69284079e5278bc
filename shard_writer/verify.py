"""``verify``: re-read every byte of a dataset and compare it with its checksums; all damage is listed, not the first."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import xxhash

from ..errors import CorruptTar, ManifestError
from .fields import column_name
from .index import SplitIndex
from .manifest import Manifest, ShardEntry, SplitManifest
from .storage import Store, Whole, join
from .tar_read import scan
from .write import Reporter, Silent


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is not as it was written."""

    shard: str
    """Address of the shard or index file."""
    key: str | None
    """Member name, None where the damage lies outside any member."""
    offset: int | None
    what: str


def verify(store: Store, manifest: Manifest, reporter: Reporter | None = None) -> list[Damage]:
    """Check every index file, shard and member; an empty list means that every byte is as it was packed."""
    reporter = reporter or Silent()
    damage: list[Damage] = []
    for split in manifest.splits.values():
        reporter.start(split.name, split.samples, 0, sum(shard.bytes for shard in split.shards))
        damage.extend(verify_split(store, split, reporter))
    return damage


def verify_split(store: Store, split: SplitManifest, reporter: Reporter) -> Iterator[Damage]:
    """Damage of one split, shard by shard."""
    index = SplitIndex(store, split)
    shards = split.shard_store(store)
    unreadable: set[int] = set()
    for file in split.index:
        try:
            index.check(file)
        except ManifestError as error:
            yield Damage(store.full(join(split.name, file.name)), None, None, str(error))
            unreadable.update(range(file.first_shard, file.first_shard + file.shards))
    for number, entry in enumerate(split.shards):
        rows = None if number in unreadable else index.shard_rows(number)
        yield from _shard_damage(shards, split.shard_path(number), entry, split, rows)
        reporter.advance(entry.samples, entry.bytes)


def _shard_damage(
    store: Store, path: str, entry: ShardEntry, split: SplitManifest, rows: pa.Table | None
) -> Iterator[Damage]:
    url = store.full(path)
    try:
        with store.whole(path) as shard:
            yield from _bytes_damage(url, shard, entry, split, rows)
    except FileNotFoundError:
        yield Damage(url, None, None, f"missing; it held {entry.samples} samples")


def _bytes_damage(
    url: str, shard: Whole, entry: ShardEntry, split: SplitManifest, rows: pa.Table | None
) -> Iterator[Damage]:
    data = shard.data
    if len(data) == entry.bytes and hashlib.sha256(data).hexdigest() == entry.sha256:
        return  # every member's bytes are inside the digest
    if len(data) != entry.bytes:
        yield Damage(url, None, min(len(data), entry.bytes), f"{len(data):,} bytes, packed were {entry.bytes:,}")
    named = list(_member_damage(url, data, split, rows)) if rows is not None else []
    yield from named
    if len(data) == entry.bytes and not named:
        yield _outside(url, shard)


def _member_damage(url: str, data: memoryview, split: SplitManifest, rows: pa.Table) -> Iterator[Damage]:
    keys = rows["key"].to_pylist()
    for field in split.fields:
        offsets = rows[column_name(field, "offset")].to_pylist()
        sizes = rows[column_name(field, "size")].to_pylist()
        sums = rows[column_name(field, "xxh3")].fill_null(0).to_numpy().astype(np.uint64)
        for key, offset, size, expected in zip(keys, offsets, sizes, sums, strict=True):
            if offset is None:
                continue
            payload = data[offset : offset + size]
            if len(payload) < size:
                yield Damage(url, f"{key}.{field}", offset, f"cut off: {len(payload)} of {size} bytes are there")
            elif (found := xxhash.xxh3_64_intdigest(payload)) != expected:
                yield Damage(url, f"{key}.{field}", offset, f"checksum {found:016x}, packed was {int(expected):016x}")


def _outside(url: str, shard: Whole) -> Damage:
    """All payloads are right but the shard's digest is not: a header, padding or the end was changed."""
    try:
        for _ in scan(shard.file, url=url, size=len(shard.data)):
            pass
    except CorruptTar as error:
        return Damage(url, None, None, str(error))
    return Damage(url, None, None, "bytes outside every payload (a header or padding) differ from what was packed")
