"""A split in parquet files, read by row groups through the store; needs pyarrow alone."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import SourceError
from ..storage import Store

CACHE_BYTES = 1 << 30
"""Unpacked row groups that one process keeps."""


@dataclass(slots=True)
class ParquetTable:
    """Parquet files one after another. Footers and the last row groups are kept, no file stays open."""

    store: Store
    files: tuple[str, ...]
    _footers: list[pq.FileMetaData] | None = field(default=None, init=False, repr=False, compare=False)
    _groups: OrderedDict[int, pa.Table] = field(default_factory=OrderedDict, init=False, repr=False, compare=False)
    _places: list[tuple[int, int]] = field(default_factory=list, init=False, repr=False, compare=False)
    """Row group -> (file, group in the file)."""
    _ends: list[int] = field(default_factory=list, init=False, repr=False, compare=False)
    """Row group -> number of the row after its last."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (ParquetTable, (self.store, self.files))

    def footers(self) -> list[pq.FileMetaData]:
        if self._footers is None:
            footers = [self._footer(name) for name in self.files]
            for name, footer in zip(self.files, footers, strict=True):
                if not footer.schema.to_arrow_schema().equals(footers[0].schema.to_arrow_schema()):
                    first = self.store.full(self.files[0])
                    raise SourceError(
                        f"{self.store.full(name)} has other columns than {first}; one split has one schema."
                    )
            self._places = [(number, group) for number, f in enumerate(footers) for group in range(f.num_row_groups)]
            self._ends = list(accumulate(footers[n].row_group(group).num_rows for n, group in self._places))
            self._footers = footers
        return self._footers

    @property
    def schema(self) -> pa.Schema:
        return self.footers()[0].schema.to_arrow_schema()

    @property
    def rows(self) -> int:
        return int(sum(footer.num_rows for footer in self.footers()))

    @property
    def random_access(self) -> bool:
        footers = self.footers()
        return bool(sum(footers[n].row_group(group).total_byte_size for n, group in self._places) <= CACHE_BYTES)

    def row(self, index: int) -> dict[str, Any]:
        self.footers()
        place = bisect_right(self._ends, index)
        (row,) = self._group(place).slice(index - (self._ends[place - 1] if place else 0), 1).to_pylist()
        return dict(row)

    def column(self, name: str) -> list[Any]:
        return [value for number in range(len(self.files)) for value in self._read(number, [name])[name].to_pylist()]

    def image_sizes(self, name: str) -> list[int]:
        sizes: list[int] = []
        footers = self.footers()
        for number, group in self._places:
            meta = footers[number].row_group(group)
            chunks = [meta.column(i) for i in range(meta.num_columns)]
            total = sum(c.total_uncompressed_size for c in chunks if c.path_in_schema.split(".")[0] == name)
            sizes += [total // max(meta.num_rows, 1)] * meta.num_rows
        return sizes

    def arrow(self) -> pa.Table:
        return pa.concat_tables(self._read(number) for number in range(len(self.files)))

    def _footer(self, name: str) -> pq.FileMetaData:
        with self._damage(name), self.store.open(name) as file:
            return pq.read_metadata(file)

    def _read(self, number: int, columns: list[str] | None = None) -> pa.Table:
        name = self.files[number]
        with self._damage(name), self.store.open(name) as file:
            return pq.ParquetFile(file, metadata=self.footers()[number]).read(columns=columns, use_threads=False)

    def _group(self, place: int) -> pa.Table:
        if place not in self._groups:
            number, group = self._places[place]
            name = self.files[number]
            with self._damage(name), self.store.open(name) as file:
                self._groups[place] = pq.ParquetFile(file, metadata=self.footers()[number]).read_row_group(
                    group, use_threads=False
                )
            while len(self._groups) > 1 and sum(table.nbytes for table in self._groups.values()) > CACHE_BYTES:
                self._groups.popitem(last=False)
        self._groups.move_to_end(place)
        return self._groups[place]

    @contextmanager
    def _damage(self, name: str) -> Iterator[None]:
        """Name the file in what pyarrow says of damaged bytes."""
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            raise SourceError(
                f"{self.store.full(name)}: {self.store.size(name):,} bytes are no whole parquet file ({error})."
                " Download it again."
            ) from error
