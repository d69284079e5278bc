"""Index rows of open shards: per shard the numpy columns a loader needs, kept while the shard is in use."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..counted import text_word
from ..shard_writer.fields import column_name
from ..shard_writer.manifest import SplitManifest

T = TypeVar("T")
NO_LABEL = -100  # what losses ignore
OPEN_SHARDS = 512  # > 384 lanes, so a world of one does not reopen shards; a mapping costs no memory by itself


class Recent(Generic[T]):
    """The most recently used values by integer key, at most ``limit`` of them. Threads may share it.

    A value is made once even where threads ask for it together. Pickled, it is empty: another process makes its own.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[int, T] = OrderedDict()
        self._lock = threading.RLock()

    def __reduce__(self) -> tuple[Any, ...]:
        return (Recent, (self._limit,))

    def get(self, key: int, make: Callable[[int], T]) -> T:
        """The value of a key, made where it is absent."""
        with self._lock:
            if key not in self._values:
                self._values[key] = make(key)
                if len(self._values) > self._limit:
                    self._values.popitem(last=False)
            self._values.move_to_end(key)
            return self._values[key]

    def forget(self, key: int) -> None:
        """Make the value anew when it is next asked for."""
        with self._lock:
            self._values.pop(key, None)


@dataclass(slots=True)
class Members:
    """Where one field's members lie in a shard; -1 offsets where a sample lacks the field."""

    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    checksum: NDArray[np.uint64]
    verified: NDArray[np.int64]
    """The piece of the shard, by its serial number, in which a member was last compared with its checksum; 0: none."""

    def extent(self, row: int) -> tuple[int, int]:
        """Bytes [start, stop) of a member in its shard; start -1 where the sample lacks it."""
        start = int(self.offset[row])
        return start, start + int(self.size[row])


@dataclass(slots=True)
class ShardRows:
    """Columns of one shard, row by row in tar order."""

    keys: pa.StringArray
    """(rows,); as Python strings they would be most of what an open shard holds."""
    sizes: NDArray[np.int64]
    """(rows, 2) image height and width, as stored or upright, as the dataset was opened."""
    orientation: NDArray[np.int64]
    """(rows,) EXIF orientation to turn pixels by; 1 where they are taken as stored."""
    members: dict[str, Members] = field(repr=False)
    label: NDArray[np.int64] | None = None
    numbers: dict[str, NDArray[np.int64]] = field(default_factory=dict, repr=False)
    """Integer columns that the source declared (counts, ids), -1 where null."""
    columns: pa.Table = field(default_factory=lambda: pa.table({}), repr=False)
    """All declared columns, for samplers."""
    _words: NDArray[np.uint64] = field(init=False, repr=False)
    _hashed: NDArray[np.bool_] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._words = np.zeros(len(self.keys), dtype=np.uint64)
        self._hashed = np.zeros(len(self.keys), dtype=np.bool_)

    def key(self, row: int) -> str:
        """One row's key."""
        return str(self.keys[row])

    def keys_of(self, rows: NDArray[np.int64]) -> NDArray[np.object_]:
        """(n,) str."""
        found: NDArray[np.object_] = self.keys.take(pa.array(rows)).to_numpy(zero_copy_only=False)
        return found

    def words(self, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
        """(n,) the numbers of rows' keys, hashed when they are first asked for: most shards are read bit by bit."""
        new = rows[~self._hashed[rows]]
        if len(new):
            self._words[new] = [text_word(key) for key in self.keys_of(new)]
            self._hashed[new] = True  # after the words: threads share them
        return self._words[rows]


def shard_rows(table: pa.Table, split: SplitManifest, upright: bool = False) -> ShardRows:
    """Turn the Arrow rows of one shard into what the loader uses."""
    label = None if split.label_column is None else _int64(table[split.label_column], NO_LABEL)
    sizes = np.stack([_int64(table["height"], 0), _int64(table["width"], 0)], axis=1)
    orientation = _int64(table["exif_orientation"], 1) if upright else np.ones(len(sizes), dtype=np.int64)
    lying = (orientation >= 5) & (orientation <= 8)
    return ShardRows(
        keys=table["key"].combine_chunks(),
        sizes=np.where(lying[:, None], sizes[:, ::-1], sizes),
        orientation=orientation,
        members={name: _members(table, name) for name in split.fields},
        label=label,
        numbers={name: _int64(table[name], -1) for name, kind in split.columns.items() if kind == "int64"},
        columns=table.select(list(split.columns)),
    )


def _members(table: pa.Table, name: str) -> Members:
    checksum = table[column_name(name, "xxh3")].fill_null(0).to_numpy()
    return Members(
        offset=_int64(table[column_name(name, "offset")], -1),
        size=_int64(table[column_name(name, "size")], 0),
        checksum=checksum,
        verified=np.zeros(table.num_rows, dtype=np.int64),
    )


def _int64(column: pa.ChunkedArray, missing: int) -> NDArray[np.int64]:
    values: NDArray[np.int64] = column.cast(pa.int64()).fill_null(missing).to_numpy()
    return values
