"""``ShardDataset``: one split of a packed dataset, by index. ``open_dataset`` finds it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Literal, Self

import pyarrow as pa

from ..errors import OptionError
from ..shard_writer.index import SplitIndex
from ..shard_writer.manifest import Manifest, SplitManifest
from ..shard_writer.storage import Store
from .base import I64, Chunk, Dataset
from .cache import ShardCache
from .fetch import Fetcher
from .joined import LABEL, JoinedIndex, beside, columns_digest, spread
from .rowset import RowSet
from .samples import Item, read_record, read_sample, where

Exif = Literal["ignore", "apply"]


class ShardDataset(Dataset):
    """One split: ``len(ds)``, ``ds[i]``, ``ds.index``, ``ds.info``, ``ds.classes``, ``ds.statistics``.

    Rows stand in canonical order (shard order, then tar order). ``ds[i]`` is a dict: ``key``, ``image`` (PIL, RGB,
    as stored unless opened with ``exif="apply"``), ``label`` where the split has one, and everything of the sample's
    JSON. Slices and lists of indices give a dict of lists. Picklable; safe to use in DataLoader workers.
    """

    def __init__(
        self,
        store: Store,
        manifest: Manifest,
        split: SplitManifest,
        cache: ShardCache,
        verify: bool = True,
        exif: Exif = "ignore",
    ) -> None:
        self.store = store
        self.manifest = manifest
        self.info = self.packed = split  # `info` has joined columns too
        self.fetcher: Fetcher = Fetcher(store, split, cache, verify, upright=_upright(exif, split))
        self._columns: pa.Table | None = None  # joined ones, a row for each of the whole split
        self._hold(RowSet.whole([shard.samples for shard in split.shards]))

    def _hold(self, rows: RowSet) -> None:
        self._rows, self._starts, self.counts = rows, rows.starts, rows.counts
        self._digest: str | None = None

    def __repr__(self) -> str:
        joined = f", joined {', '.join(self.joined)}" if self.joined else ""
        return (
            f"ShardDataset({self.manifest.name}/{self.info.name}: {len(self):,} samples in {len(self.info.shards):,} shards,"
            f" fields {', '.join(self.info.fields)}{joined}, digest {self.digest[:12]})"
        )

    @property
    def digest(self) -> str:
        """Identity of content, selection and joined columns; orders and saved states depend on it."""
        if self._digest is None:
            self._digest = self._identity()
        return self._digest

    def _identity(self) -> str:
        chosen, found = self._rows.chosen, self.packed.digest
        if chosen is not None:
            found = hashlib.sha256(found.encode() + chosen.astype("<i8").tobytes()).hexdigest()
        if self._columns is None:
            return found
        columns = self._columns if chosen is None else self._columns.take(pa.array(chosen))
        return hashlib.sha256((found + columns_digest(columns)).encode()).hexdigest()

    def scan(self, columns: Sequence[str] | None = None) -> Iterator[Chunk]:
        for entry, table in self._index().tables(columns):
            first, stop = entry.first_shard, entry.first_shard + entry.shards
            rows = self._rows.between(first, stop)
            table = table if rows is None else table.take(pa.array(rows))
            yield Chunk(int(self._starts[first]), self.counts[first:stop], table)

    def _index(self) -> SplitIndex | JoinedIndex:
        """Made anew: what one scan has read is not kept."""
        index = SplitIndex(self.store, self.packed)
        return index if self._columns is None else JoinedIndex(index, self._columns, self._rows.firsts)

    def shard_column(self, shard: int, name: str) -> pa.Array:
        column = self.fetcher.rows(shard).columns[name].combine_chunks()
        rows = self._rows.between(shard, shard + 1)
        return column if rows is None else column.take(pa.array(rows))

    def _selection(self, rows: I64) -> Self:
        view = copy(self)
        view._hold(self._rows.select(rows))
        return view

    def _widened(self, columns: pa.Table, kinds: Mapping[str, str]) -> Self:
        view = copy(self)
        view._columns, view.joined = beside(self._columns, spread(columns, self._rows)), (*self.joined, *kinds)
        label = self.info.label_column or (LABEL if kinds.get(LABEL) == "int64" else None)
        view.info = replace(self.info, columns={**self.info.columns, **kinds}, label_column=label)
        view.fetcher = replace(self.fetcher, split=view.info, index=view._index())
        view._hold(self._rows)
        return view

    def row_numbers(self, shards: I64, places: I64) -> I64:
        return self._rows.in_tar(shards, places)

    def read(self, shard: int, row: int) -> Item:
        return read_sample(self.fetcher, self.info, self.joined, shard, row)

    def record(self, shard: int, row: int) -> Item:
        return read_record(self.fetcher, self.info, shard, row)

    def where(self, shard: int, row: int) -> str:
        return where(self.fetcher, self.info, shard, row)

    def webdataset(self, **options: Any) -> Any:
        """A plain ``wds.WebDataset`` pipeline over these shards; options go to webdataset unchanged."""
        if self._rows.chosen is not None:
            raise OptionError("webdataset reads whole shards, this is a selection of rows; call it on the whole split.")
        if self.joined:
            raise OptionError(f"webdataset reads shards, which lack {', '.join(self.joined)}; call it before join.")
        from .interop import webdataset_pipeline

        return webdataset_pipeline(self, options)


def _upright(exif: str, split: SplitManifest) -> bool:
    if exif not in ("ignore", "apply"):
        raise OptionError(f"exif={exif!r} is not one of 'ignore', 'apply'.")
    if exif == "apply" and not split.columns.keys().isdisjoint(("n_objects", "n_persons")):
        raise OptionError(
            f"exif='apply' would turn the pictures of {split.name!r} away from their boxes, which are in stored pixels."
        )
    return exif == "apply"
