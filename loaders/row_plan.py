"""RowPlan: which rows a rank takes at given positions of an epoch, with everything that the index says of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..counted import mix, text_word, uniform
from .array_table import ArrayTable, Found
from .config import StreamConfig
from .epoch import Epoch
from .gather import Gather
from .raw import gathered
from .rows import NO_LABEL
from .steps import Planned, Rows, Span

if TYPE_CHECKING:
    from .base import Dataset, RowReader
    from .samplers.delivered import Delivered
    from .views import Items

_SAMPLE, _PART, _DATASET = text_word("sample"), text_word("part"), text_word("dataset")
I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]


class RowPlan:
    """A pure function of (items, config, epoch): the same positions, the same rows, however many are asked for at once."""

    def __init__(
        self, items: Items, delivered: Delivered, config: StreamConfig, epoch: Epoch, arrays: str | None = None
    ) -> None:
        self._items, self._delivered, self._config, self._epoch = items, delivered, config, epoch
        self._arrays = arrays  # the field whose plain arrays come along, if they are such
        self._ds: Dataset = items.ds

    def places(self, start: int, stop: int) -> tuple[I64, I64]:
        """Shards and rows of this rank's part of global batch [start, stop)."""
        shards, items, _ = self._epoch.locate(_array(self._config.positions(start, stop)))
        return shards, self._ds.row_numbers(shards, self._items.locate(shards, items)[0])

    def rows(self, spans: Sequence[Span]) -> Planned:
        """The rows of this rank's parts of global batches, planned together."""
        positions = [self._config.positions(*span) for span in spans]
        stops = np.cumsum([len(part) for part in positions]).tolist()
        table = None if self._arrays is None else self._ds.fetcher.array_table(self._arrays)
        with nullcontext() if table is None else table.lock:
            together, found = self._rows(np.concatenate([_array(part) for part in positions]), table)
        if found.images is not None:
            self._ds.fetcher.count_delivered(found.images.nbytes)
        return Planned([together.cut(start, stop) for start, stop in zip([0, *stops], stops, strict=False)], found.copy)

    def _rows(self, positions: I64, table: ArrayTable | None) -> tuple[Rows, Found]:
        shards, items, copies = self._epoch.locate(positions)
        places, parts = self._items.locate(shards, items)
        rows = self._ds.row_numbers(shards, places)
        found = None if table is None or not len(rows) else table.found(shards, rows)
        if found is None:
            found = _by_shard(self._ds.fetcher, shards, rows, self._arrays)
        seeds = self._seeds(self._told_apart(found.words, shards), parts, copies)
        planned = Rows(
            shards=shards,
            rows=rows,
            index=self._ds.shard_start(shards) + places,
            copies=copies,
            keys=found.keys,
            seeds=seeds,
            parts=self._drawn(shards, rows, seeds) if self._items.view.policy == "random" else parts,
            sizes=found.sizes,
            labels=found.labels,
            extra=self._delivered.of(shards, items),
            images=found.images,
        )
        return planned, found

    def _drawn(self, shards: I64, rows: I64, seeds: U64) -> I64:
        """One part of each image, uniformly, from its seed of this epoch."""
        column = self._items.view.column or ""
        counts: I64 = Gather(self._ds.fetcher, shards, rows).take(lambda shard: shard.numbers[column], np.int64)
        drawn: I64 = np.floor(uniform(mix(seeds, _PART)) * counts).astype(np.int64)
        return drawn

    def _told_apart(self, words: U64, shards: I64) -> U64:
        """A number of each sample: of its key, and of its part where a mixture may hold the key several times."""
        datasets = self._ds.part_numbers(shards)
        if datasets is None:
            return words
        return np.where(datasets > 0, mix(_DATASET, datasets.astype(np.uint64), words), words)

    def _seeds(self, words: U64, parts: I64, copies: I64) -> U64:
        # Evaluation draws nothing, and must not differ between epochs even if a transform draws.
        epoch = self._epoch.number if self._config.shuffle else 0
        seeds = mix(self._config.seed, epoch, words, copies.astype(np.uint64), _SAMPLE)
        # Each caption of an image gets a crop of its own; whole images keep the seed they always had.
        return np.where(parts > 0, mix(seeds, _PART, np.maximum(parts, 0).astype(np.uint64)), seeds)


def _array(numbers: range) -> I64:
    return np.arange(numbers.start, numbers.stop, numbers.step, dtype=np.int64)


def _by_shard(reader: RowReader, shards: I64, rows: I64, arrays: str | None) -> Found:
    found = Gather(reader, shards, rows)
    plain = None
    if arrays is not None and len(rows):
        plain = gathered(found, lambda shard, own: reader.plain(shard, own, arrays))
    return Found(
        words=found.join([share.index.words(share.rows) for share in found.shares], np.uint64),
        keys=found.join([share.index.keys_of(share.rows) for share in found.shares], object).tolist(),
        sizes=found.take(lambda shard: shard.sizes, np.int64).reshape(-1, 2),
        labels=found.take(lambda shard: shard.label, np.int64, NO_LABEL),  # of mixed parts some may have no labels
        plain=plain,
        images=None if plain is None else plain.room(),
    )
