"""``ShardDataset``: one split of a packed dataset, by index. ``open_dataset`` finds it."""

from __future__ import annotations

import hashlib
import json
import operator
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..errors import CorruptData, OptionError
from ..shard_writer import manifest as manifests
from ..shard_writer.index import SplitIndex
from ..shard_writer.manifest import Manifest, SplitManifest
from ..shard_writer.storage import Store, open_store
from .blocks import BLOCK
from .cache import ShardCache, default_folder
from .decode import decode_image
from .fetch import Fetcher
from .selection import selected_rows

Item = dict[str, Any]
Exif = Literal["ignore", "apply"]
ItemTransform = Callable[[dict[str, list[Any]]], Mapping[str, Sequence[Any]]]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Index rows of some shards after another."""

    first: int
    """Canonical index of the first row."""
    counts: NDArray[np.int64]
    """(shards,) rows of each."""
    table: pa.Table


class ShardDataset:
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
        self.info = split
        self.transform: ItemTransform | None = None
        self.fetcher = Fetcher(store, split, cache, verify, upright=_upright(exif, split))
        self.counts: NDArray[np.int64] = np.array([shard.samples for shard in split.shards], dtype=np.int64)
        self._starts = np.concatenate([[0], np.cumsum(self.counts)])
        self._selected: NDArray[np.int64] | None = None  # rows of the split, sorted
        self._first_rows = self._starts  # of each shard in the whole split

    def __len__(self) -> int:
        return int(self.counts.sum())

    def __repr__(self) -> str:
        return (
            f"ShardDataset({self.manifest.name}/{self.info.name}: {len(self):,} samples in {len(self.info.shards):,} shards,"
            f" fields {', '.join(self.info.fields)}, digest {self.info.digest[:12]})"
        )

    @property
    def datasets(self) -> tuple[ShardDataset, ...]:
        """The datasets that this one is made of: of a mixture several, else itself."""
        return (self,)

    @property
    def shares(self) -> tuple[float, ...] | None:
        """What part of an epoch each dataset of a mixture gets; None: what its items make."""
        return None

    @property
    def digest(self) -> str:
        """Identity of the content and selection; orders and saved states depend on it."""
        if self._selected is None:
            return self.info.digest
        return hashlib.sha256(self.info.digest.encode() + self._selected.tobytes()).hexdigest()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the label column's classes; empty where there is none."""
        return self.manifest.classes.get(self.info.label_column or "", ())

    @property
    def statistics(self) -> Mapping[str, Any]:
        """What was counted while packing: image sizes, label histograms, pixel mean and std where known."""
        return self.info.statistics

    @property
    def index(self) -> pa.Table:
        """The whole index, one row per image, in canonical order."""
        return self.index_columns(None)

    def index_columns(self, columns: Sequence[str] | None) -> pa.Table:
        """Some columns of the index; labels scan without touching offsets."""
        return pa.concat_tables(chunk.table for chunk in self.scan(columns))

    def scan(self, columns: Sequence[str] | None = None) -> Iterator[Chunk]:
        """The index piece by piece, at most 2,000 shards each: a split of any size in bounded memory."""
        for entry, table in SplitIndex(self.store, self.info).tables(columns):
            first, stop = entry.first_shard, entry.first_shard + entry.shards
            if self._selected is not None:
                chosen = self._selected[self._starts[first] : self._starts[stop]]
                table = table.take(chosen - self._first_rows[first])
            yield Chunk(int(self._starts[first]), self.counts[first:stop], table)

    def shard_column(self, shard: int, name: str) -> pa.Array:
        """One declared column of a shard's selected rows."""
        column = self.fetcher.rows(shard).columns[name].combine_chunks()
        return column if self._selected is None else column.take(pa.array(self.rows_of(shard)))

    def column(self, name: str) -> NDArray[np.int64]:
        """An integer column of the index, (len(ds),), -1 where null."""
        values: NDArray[np.int64] = self.index_columns([name])[name].cast(pa.int64()).fill_null(-1).to_numpy()
        return values

    def select(self, rows: Sequence[int] | NDArray[Any] | pc.Expression) -> ShardDataset:
        """A view of some rows, in canonical order: positions, a mask (len(ds),), or an expression over the index.

        ``ds.select(pc.field("karpathy") == "val")`` is Karpathy's validation split; no byte is rewritten. Raises
        OptionError for rows that do not exist or stand there twice, or a mask of another length.
        """
        chosen = selected_rows(self, rows)
        view = copy(self)
        view._selected = chosen if self._selected is None else self._selected[chosen]
        view._starts = np.searchsorted(view._selected, self._first_rows)
        view.counts = np.diff(view._starts)
        return view

    def row_numbers(self, shards: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows in their shards' tars of places among the selected rows, each (n,)."""
        if self._selected is None:
            return places
        rows: NDArray[np.int64] = self._selected[self._starts[shards] + places] - self._first_rows[shards]
        return rows

    def rows_of(self, shard: int) -> NDArray[np.int64]:
        """The selected rows of a shard, in tar order."""
        if self._selected is None:
            return np.arange(self.info.shards[shard].samples)
        chosen = self._selected[self._starts[shard] : self._starts[shard + 1]] - self._first_rows[shard]
        return np.asarray(chosen, dtype=np.int64)

    @property
    def urls(self) -> list[str]:
        """Addresses of the shards, in order."""
        return [self.fetcher.url(shard) for shard in range(len(self.info.shards))]

    def locate(self, index: int) -> tuple[int, int]:
        """Shard and row of a canonical index."""
        shard = int(np.searchsorted(self._starts, index, side="right")) - 1
        place = index - int(self._starts[shard])
        return shard, place if self._selected is None else int(self.rows_of(shard)[place])

    def shard_start(self, shard: NDArray[np.int64]) -> NDArray[np.int64]:
        """Index of each shard's first selected row."""
        starts: NDArray[np.int64] = self._starts[shard]
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

    def with_transform(self, transform: ItemTransform | None) -> ShardDataset:
        """A view whose items pass through ``transform`` when they are read, as Hugging Face ``datasets`` does it.

        ``transform`` takes a dict of lists (a batch, of one for ``ds[i]``) and returns such a dict.
        """
        view = copy(self)
        view.transform = transform
        return view

    def read(self, shard: int, row: int) -> Item:
        """One sample as a dict, without the transform."""
        rows = self.fetcher.rows(shard)
        item: Item = {"key": rows.keys[row]}
        if self.info.image_field is not None:
            data = self.fetcher.member(shard, row, self.info.image_field)
            item["image"] = (
                None if data is None else decode_image(data, self.where(shard, row), int(rows.orientation[row]))
            )
        if rows.label is not None:
            item["label"] = int(rows.label[row])
        for name, kind in self.info.fields.items():
            if name == self.info.image_field or kind == "class":
                continue
            payload = self.fetcher.member(shard, row, name)
            if kind == "json" and payload is not None:
                found = self._json(payload, name, shard, row)
                found = found if isinstance(found, dict) else {name: found}
                item.update({key: value for key, value in found.items() if key not in item})
            else:
                # somebody else's member may be called .key or .label
                item[f".{name}" if name in item else name] = None if payload is None else bytes(payload)
        return item

    def record(self, shard: int, row: int) -> Item:
        """A sample's JSON, without its image; raises CorruptData where it has none or it is no object."""
        payload = self.fetcher.member(shard, row, "json")
        found = None if payload is None else self._json(payload, "json", shard, row)
        if not isinstance(found, dict):
            raise CorruptData(
                f"{self.where(shard, row)}: its 'json' member is {type(found).__name__}, expected an object."
            )
        return found

    def _json(self, payload: memoryview | bytes, name: str, shard: int, row: int) -> Any:
        try:
            return json.loads(bytes(payload))
        except (ValueError, RecursionError) as error:
            raise CorruptData(f"{self.where(shard, row)}: its {name!r} member is no JSON: {error}") from error

    def where(self, shard: int, row: int) -> str:
        """A sample's address for messages: shard, key, offset."""
        rows = self.fetcher.rows(shard)
        offset = rows.members[self.info.image_field].offset[row] if self.info.image_field else 0
        return f"{self.fetcher.url(shard)}: sample {rows.keys[row]!r} at offset {offset}"

    def _many(self, indices: Sequence[int]) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {}
        for index in indices:
            item = self.read(*self.locate(self._wrapped(index)))
            for name, value in item.items():
                columns.setdefault(name, []).append(value)
        if self.transform is None or not columns:
            return columns
        return {name: list(values) for name, values in self.transform(columns).items()}

    def _wrapped(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is outside {self.info.name!r}, which has {len(self):,} samples.")
        return index % len(self)

    def webdataset(self, **options: Any) -> Any:
        """A plain ``wds.WebDataset`` pipeline over these shards; options go to webdataset unchanged."""
        if self._selected is not None:
            raise OptionError("webdataset reads whole shards, this is a selection of rows; call it on the whole split.")
        from .interop import webdataset_pipeline

        return webdataset_pipeline(self, options)


def open_dataset(
    url: str | os.PathLike[str],
    split: str | None = None,
    *,
    storage_options: Mapping[str, Any] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    cache_bytes: int = 100_000_000_000,
    block_bytes: int = BLOCK,
    verify: bool = True,
    exif: Exif = "ignore",
) -> ShardDataset:
    """Open one split of a packed or indexed dataset on disk, S3 or HTTP.

    ``split`` may be left out where there is only one. Remote shards are read in blocks of at least ``block_bytes``,
    which are kept below ``cache_dir`` (``$SHARDSTREAM_CACHE``) up to ``cache_bytes``. ``verify`` checks every member
    once per process and block against its checksum. ``exif="apply"`` turns pictures upright by their EXIF orientation in every reader; by default they come as
    stored, as annotations and published numbers take them. Raises DatasetNotFound, ManifestError, OptionError.
    """
    from pathlib import Path

    store = open_store(url, storage_options)
    manifest = manifests.load(store)
    if split is None and len(manifest.splits) == 1:
        split = next(iter(manifest.splits))
    if split is None or split not in manifest.splits:
        raise OptionError(
            f"split {split!r} is not in {store.url}, which has {', '.join(manifest.splits)}. Pass split=..."
        )
    cache = ShardCache(Path(cache_dir) if cache_dir is not None else default_folder(), cache_bytes, block_bytes)
    return ShardDataset(store, manifest, manifest.splits[split], cache, verify, exif)


def _upright(exif: str, split: SplitManifest) -> bool:
    if exif not in ("ignore", "apply"):
        raise OptionError(f"exif={exif!r} is not one of 'ignore', 'apply'.")
    if exif == "apply" and not split.columns.keys().isdisjoint(("n_objects", "n_persons")):
        raise OptionError(
            f"exif='apply' would turn the pictures of {split.name!r} away from their boxes, which are in stored pixels."
        )
    return exif == "apply"
