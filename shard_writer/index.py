"""The index at rest: Parquet files with one row group per shard, so one shard's rows are one ranged read."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import ManifestError
from .fields import schema
from .manifest import IndexEntry, SplitManifest
from .parquet import opened
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
                file = self._checked(entry)
                with _as_damage(self._where(entry)):
                    return file.read_row_group(shard - entry.first_shard, columns=columns)
        raise IndexError(f"split {self.split.name!r} has {len(self.split.shards)} shards, there is no {shard}.")

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows, in canonical order (shard order, then tar order); ``columns`` reads only those."""
        return pa.concat_tables(table for _, table in self.tables(columns))

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[tuple[IndexEntry, pa.Table]]:
        """The rows of one index file after another: a bounded share of a split of any size."""
        for entry in self.split.index:
            file = self._checked(entry)
            with _as_damage(self._where(entry)):
                table = file.read(columns=columns)
            yield entry, table

    def check(self, entry: IndexEntry) -> None:
        """Open one index file and compare it with the manifest; raises ManifestError."""
        self._checked(entry)

    def _where(self, entry: IndexEntry) -> str:
        return self.store.full(join(self.split.name, entry.name))

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
        with _as_damage(self.store.full(path)):
            file = opened(data)
        self._check_rows(entry, file)
        return file

    def _check_rows(self, entry: IndexEntry, file: pq.ParquetFile) -> None:
        """A row group per shard with a row per sample, and all columns that the split declares."""
        where, metadata = self._where(entry), file.metadata
        rows = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        wanted = [shard.samples for shard in self.split.shards[entry.first_shard : entry.first_shard + entry.shards]]
        if rows != wanted:
            raise ManifestError(
                f"index file {where} holds {sum(rows):,} rows in {len(rows):,} groups, the manifest says {sum(wanted):,}"
                f" samples in {len(wanted):,} shards, and they must agree shard by shard; restore it or pack again."
            )
        expected = schema(self.split.fields, self.split.columns)
        if not file.schema_arrow.equals(expected):
            differing = sorted(set(map(str, file.schema_arrow)) ^ set(map(str, expected)))
            raise ManifestError(
                f"index file {where}: columns differ from the manifest's ({differing}); restore it or pack again."
            )


@contextmanager
def _as_damage(where: str) -> Iterator[None]:
    """Whatever Parquet says about bytes it cannot read, as our error."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise ManifestError(f"index file {where} cannot be read ({error}); restore it or pack again.") from error
