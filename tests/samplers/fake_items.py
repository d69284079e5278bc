"""The items of a view without a dataset: columns in memory, cut into shards of any sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

from shardstream.loaders.samplers import Sampler
from shardstream.loaders.samplers.fit import Fitted
from shardstream.loaders.views import ItemChunk, View


class FakeItems:
    """What samplers ask of ``Items``. ``together`` shards come in one chunk of a scan."""

    def __init__(
        self, columns: Mapping[str, Any], counts: Sequence[int], view: str = "image", names: Sequence[str] = ()
    ) -> None:
        self.columns = {
            name: value if isinstance(value, pa.Array) else pa.array(value) for name, value in columns.items()
        }
        self.counts = np.array(counts, dtype=np.int64)
        self.view, self.together = View.parse(view), 2
        self.parts: Sequence[FakeItems] = [self]  # others, and shares, make it a mixture
        self.shares: Sequence[float] | None = None
        self.starts = np.concatenate([[0], np.cumsum(self.counts)])
        info = SimpleNamespace(name="train", columns=dict.fromkeys(columns, "int64"), label_column=None)
        classes = {name: tuple(names) for name in columns} if names else {}
        self.ds = SimpleNamespace(info=info, manifest=SimpleNamespace(classes=classes))

    def __len__(self) -> int:
        return int(self.counts.sum())

    def values(self, shard: int, column: str | None) -> pa.Array:
        return self._between(shard, shard + 1, column)

    def scan(self, column: str | None) -> Iterator[ItemChunk]:
        for first in range(0, len(self.counts), self.together):
            stop = min(first + self.together, len(self.counts))
            yield ItemChunk(int(self.starts[first]), self.counts[first:stop], self._between(first, stop, column))

    def _between(self, first: int, stop: int, column: str | None) -> pa.Array:
        count = int(self.starts[stop] - self.starts[first])
        return pa.nulls(count) if column is None else self.columns[column].slice(int(self.starts[first]), count)


def fitted(sampler: Sampler, items: Any, seed: int = 0) -> Fitted:
    return sampler.fit(items, seed)


def copies_of(found: Fitted, items: Any, epoch: int = 0) -> list[int]:
    """Copies of all items of an epoch, in the view's order; the shards' totals are checked on the way."""
    shards = [found.copies.of(epoch, shard) for shard in range(len(items.counts))]
    assert found.copies.totals(epoch).tolist() == [int(shard.sum()) for shard in shards]
    return [int(count) for shard in shards for count in shard]


def expected_of(found: Fitted, items: Any) -> list[float]:
    return [float(mean) for shard in range(len(items.counts)) for mean in found.copies.expected(shard)]
