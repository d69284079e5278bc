"""The index at rest: Parquet files with one row group per shard, so one shard's rows are one ranged read."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import ManifestError
from .manifest import IndexEntry, SplitManifest
from .storage import Store, join

SHARDS_PER_FILE = 2_000  # a footer costs 1.2 to 2 kB per row group, and every reader of the file pays for it


def write_index(store: Store, split: str, tables: Iterable[pa.Table]) -> tuple[IndexEntry, ...]:
    """Write the rows of all shards, in shard order, as bounded Parquet files."""
    entries: list[IndexEntry] = []
    batch: list[pa.Table] = []
    for table in tables:
        batch.append(table)
        if len(batch) == SHARDS_PER_FILE:
            entries.append(_write_file(store, split, len(entries), batch))
            batch = []
    if batch:
        entries.append(_write_file(store, split, len(entries), batch))
    return tuple(entries)


def _write_file(store: Store, split: str, number: int, tables: Sequence[pa.Table]) -> IndexEntry:
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, tables[0].schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table, row_group_size=max(1, table.num_rows))
    data = buffer.getvalue()
    name = f"index-{number:05d}.parquet"
    store.write(join(split, name), data)
    return IndexEntry(name, len(data), hashlib.sha256(data).hexdigest(), number * SHARDS_PER_FILE, len(tables))


@dataclass(slots=True)
class SplitIndex:
    """Reads a split's index; footers are read once per process, rows when asked."""

    store: Store
    split: SplitManifest
    _files: dict[str, pq.ParquetFile] = field(default_factory=dict, init=False, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return (SplitIndex, (self.store, self.split))

    def shard_rows(self, shard: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows of one shard, in tar order."""
        for entry in self.split.index:
            if entry.first_shard <= shard < entry.first_shard + entry.shards:
                return self._checked(entry).read_row_group(shard - entry.first_shard, columns=columns)
        raise IndexError(f"split {self.split.name!r} has {len(self.split.shards)} shards, there is no {shard}.")

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows, in canonical order (shard order, then tar order); ``columns`` reads only those."""
        return pa.concat_tables([self._checked(entry).read(columns=columns) for entry in self.split.index])

    def _checked(self, entry: IndexEntry) -> pq.ParquetFile:
        file = self._files.get(entry.name)
        if file is None:
            file = self._files[entry.name] = self._open(entry)
        return file

    def _open(self, entry: IndexEntry) -> pq.ParquetFile:
        path = join(self.split.name, entry.name)
        try:
            data = self.store.read(path)
        except FileNotFoundError as error:
            raise ManifestError(f"index file {self.store.full(path)} is missing; restore it or pack again.") from error
        found = hashlib.sha256(data).hexdigest()
        if found != entry.sha256:
            raise ManifestError(
                f"index file {self.store.full(path)} has digest {found[:12]}..., the manifest says {entry.sha256[:12]}...;"
                " restore it or pack again."
            )
        return pq.ParquetFile(pa.BufferReader(data))
