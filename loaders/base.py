"""``Dataset``: what every dataset offers, one split or a mixture of several: items, index, selections, joins.

Stream, views, samplers, batches          see shards with rows, and a digest
─────────────────────────────── Dataset ──────────────────────────────────
ShardDataset: the shards of one split     MixedDataset: those of its parts, one part after another
"""

from __future__ import annotations

import operator
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..shard_writer.manifest import Manifest, SplitManifest
from .array_table import ArrayTable
from .counters import Counters
from .join import joined_columns
from .raw import PlainRows
from .readahead import Reader
from .rows import ShardRows
from .samples import Item
from .selection import selected_rows

I64 = NDArray[np.int64]
ItemTransform = Callable[[dict[str, list[Any]]], Mapping[str, Sequence[Any]]]
Selector = Any
"""``Sequence[int] | Sequence[str] | NDArray | pc.Expression | Callable[[Dataset], Selector]``, as ``select`` takes it."""
Joinable = Mapping[str, Any] | str | os.PathLike[str] | Any
"""An Arrow table or what gives one, a dict of columns, or the address of a file."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Index rows of some shards after another."""

    first: int
    """Canonical index of the first row."""
    counts: I64
    """(shards,) rows of each."""
    table: pa.Table


class RowReader(Reader, Protocol):
    """Index rows and member bytes of numbered shards: a ``Fetcher``."""

    @property
    def counters(self) -> Counters: ...
    def rows(self, shard: int) -> ShardRows: ...
    def member(self, shard: int, row: int, name: str) -> memoryview | bytes | None: ...
    def plain(self, shard: int, rows: I64, name: str) -> PlainRows | None: ...
    def array_table(self, name: str) -> ArrayTable | None: ...
    def count_delivered(self, size: int) -> None: ...
    def url(self, shard: int) -> str: ...


class Dataset(ABC):
    """Rows in canonical order (shard order, then tar order), one per image. ``ds[i]`` is a dict: ``key``, ``image``
    (PIL, RGB), ``label`` where there is one, joined columns, and everything of the sample's JSON. Slices and lists of
    indices give a dict of lists. Picklable; safe to use in DataLoader workers.
    """

    manifest: Manifest
    info: SplitManifest
    """Its fields, columns and shards; of a mixture those that its parts share."""
    fetcher: RowReader
    counts: I64
    """(S,) rows in each shard."""
    _starts: I64
    """(S + 1,) rows before each shard."""
    joined: tuple[str, ...] = ()
    """Index columns that were joined: they come with items and batches."""
    transform: ItemTransform | None = None

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    @abstractmethod
    def digest(self) -> str:
        """Identity of content, selection, joined columns and shares; orders and saved states depend on it."""

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """The datasets that this one is made of: of a mixture several, else itself."""
        return (self,)

    @property
    def shares(self) -> tuple[float, ...] | None:
        """What part of an epoch each dataset of a mixture gets; None: what its items make."""
        return None

    @property
    def labelled(self) -> bool:
        """Whether rows have a class label."""
        return self.info.label_column is not None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the label column's classes; empty where there is none."""
        return self.manifest.classes.get(self.info.label_column or "", ())

    @property
    def statistics(self) -> Mapping[str, Any]:
        """What was counted while packing: image sizes, label histograms, pixel mean and std where known."""
        return self.info.statistics

    @property
    def urls(self) -> list[str]:
        """Addresses of the shards, in order."""
        return [self.fetcher.url(shard) for shard in range(len(self.counts))]

    @property
    def index(self) -> pa.Table:
        """The whole index, one row per image, in canonical order."""
        return self.index_columns(None)

    def index_columns(self, columns: Sequence[str] | None) -> pa.Table:
        """Some columns of the index; labels scan without touching offsets."""
        return pa.concat_tables(chunk.table for chunk in self.scan(columns))

    def column(self, name: str) -> I64:
        """An integer column of the index, (len(ds),), -1 where null."""
        values: I64 = self.index_columns([name])[name].cast(pa.int64()).fill_null(-1).to_numpy()
        return values

    @abstractmethod
    def scan(self, columns: Sequence[str] | None = None) -> Iterator[Chunk]:
        """The index piece by piece, at most 2,000 shards each: a split of any size in bounded memory."""

    @abstractmethod
    def shard_column(self, shard: int, name: str) -> pa.Array:
        """One declared column of a shard's rows."""

    def select(self, rows: Selector) -> Self:
        """A view of some rows, in canonical order, with a digest of its own; no byte is rewritten.

        ``rows``: positions; a mask (len(ds),); keys; an expression over the index, ``pc.field("karpathy") == "val"``;
        or a function of the dataset that returns one of these, as those of ``ss.subsets`` do. Selections of selections
        count from what was selected. Raises OptionError for rows or keys that are not there or stand there twice.
        """
        return self._selection(selected_rows(self, rows))

    def join(
        self,
        table: Joinable,
        on: str = "key",
        *,
        missing: Literal["error", "null"] = "error",
        extra: Literal["error", "ignore"] = "error",
        storage_options: Mapping[str, Any] | None = None,
    ) -> Self:
        """A view with more index columns, matched by the values of ``on``; no byte is rewritten.

        ``table``: an Arrow table, a dict of columns, or the address of a .parquet or .csv file. ``on`` is in both and
        has each value once in both. The columns stand in ``index``, items and batches, and samplers, selections and
        views take them; they enter the digest. Numbers become int64 or float64 where that loses nothing.

        Raises OptionError, with counts: rows without a partner (``missing="null"`` leaves them null), table rows
        without one (``extra="ignore"`` leaves them out), values that come twice, names that exist, other types.
        """
        return self._widened(*joined_columns(self, table, on, missing, extra, storage_options))

    @abstractmethod
    def _selection(self, rows: I64) -> Self:
        """A view of rows (n,), ascending, each once."""

    @abstractmethod
    def _widened(self, columns: pa.Table, kinds: Mapping[str, str]) -> Self:
        """A view with more columns, one row for each of this dataset's."""

    @abstractmethod
    def row_numbers(self, shards: I64, places: I64) -> I64:
        """Rows in their shards' tars of places among the selected rows, each (n,)."""

    def rows_of(self, shard: int) -> I64:
        """The selected rows of a shard, in tar order."""
        places = np.arange(int(self.counts[shard]))
        return self.row_numbers(np.full(len(places), shard), places)

    def part_numbers(self, shards: I64) -> I64 | None:  # noqa: ARG002 - most are no mixture
        """Which dataset of a mixture each shard (n,) belongs to; None where this is no mixture."""
        return None

    def locate(self, index: int) -> tuple[int, int]:
        """Shard and row of a canonical index."""
        shard = int(np.searchsorted(self._starts, index, side="right")) - 1
        place = np.array([index]) - self._starts[shard]
        return shard, int(self.row_numbers(np.array([shard]), place)[0])

    def shard_start(self, shard: I64) -> I64:
        """Index of each shard's first selected row."""
        starts: I64 = self._starts[shard]
        return starts

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int]) -> dict[str, list[Any]]: ...
    def __getitem__(self, index: int | slice | Sequence[int]) -> Item | dict[str, list[Any]]:
        if isinstance(index, slice):
            return self._many(range(*index.indices(len(self))))
        if isinstance(index, Sequence):
            return self._many(index)
        columns = self._many([operator.index(index)])
        return {name: values[0] for name, values in columns.items()}

    def __iter__(self) -> Iterator[Item]:
        return (self[i] for i in range(len(self)))

    def with_transform(self, transform: ItemTransform | None) -> Self:
        """A view whose items pass through ``transform`` when they are read, as Hugging Face ``datasets`` does it.

        ``transform`` takes a dict of lists (a batch, of one for ``ds[i]``) and returns such a dict.
        """
        view = copy(self)
        view.transform = transform
        return view

    @abstractmethod
    def read(self, shard: int, row: int) -> Item:
        """One sample as a dict, without the transform."""

    @abstractmethod
    def record(self, shard: int, row: int) -> Item:
        """A sample's JSON, without its image; raises CorruptData where it has none or it is no object."""

    @abstractmethod
    def where(self, shard: int, row: int) -> str:
        """A sample's address for messages: shard, key, offset."""

    def _many(self, indices: Sequence[int]) -> dict[str, list[Any]]:
        items = [self.read(*self.locate(self._wrapped(index))) for index in indices]
        # samples of foreign tars and of mixtures need not have the same members: None where one is absent
        names = dict.fromkeys(name for item in items for name in item)
        columns = {name: [item.get(name) for item in items] for name in names}
        if self.transform is None or not columns:
            return columns
        return {name: list(values) for name, values in self.transform(columns).items()}

    def _wrapped(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is outside {self.info.name!r}, which has {len(self):,} samples.")
        return index % len(self)
