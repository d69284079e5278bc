"""``MixedDataset``: a dataset of datasets. Its shards are those of its parts, one part after another.

parts      a: shards 0 1 2        b: shards 0 1         (jpg)  (png)
mixture       shards 0 1 2                  3 4         rows of a, then rows of b; `dataset` 0 0 0 1 1

So order, ranks, resume, views and samplers work on it as on one split; weights are a scale per part (samplers/fit.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from ..errors import OptionError
from ..shard_writer.fields import FACTS
from .base import I64, Chunk, Dataset
from .mix_fetch import MixedFetcher
from .mix_info import DATASET, Labels, mixed_info
from .samples import Item


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is mixed, and how."""

    parts: tuple[Dataset, ...]
    shares: tuple[float, ...] | None
    """(D,) parts of an epoch, which add up to 1."""
    names: tuple[str, ...]
    labels: Labels


class MixedDataset(Dataset):
    """Several datasets as one: rows of the first, then those of the second, ... Made by ``ss.mix``.

    Items and batches say which part they come from (``dataset``, its number); two parts may hold the same key. The
    index has ``key``, the image facts, ``dataset`` and the columns that all parts have with the same type and classes.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self.counts = np.concatenate([part.counts for part in recipe.parts])
        self._starts = np.concatenate([[0], np.cumsum(self.counts)])
        self._firsts: I64 = np.cumsum([0, *(len(part.counts) for part in recipe.parts)])
        digests = [[part.digest for part in recipe.parts], recipe.shares]
        self._digest = hashlib.sha256(json.dumps(digests).encode()).hexdigest()
        self.manifest, self.info = mixed_info(recipe.parts, recipe.names, recipe.labels, self._digest)
        self.joined = tuple(name for name in self.info.columns if any(name in part.joined for part in recipe.parts))
        self.fetcher: MixedFetcher = MixedFetcher(recipe.parts, self._firsts.tolist(), self.info.image_field)

    def __repr__(self) -> str:
        shares = self.shares or [len(part) / max(1, len(self)) for part in self.datasets]
        parts = [
            f"{name} {share:.1%} ({len(part):,})"
            for name, share, part in zip(self.names, shares, self.datasets, strict=True)
        ]
        kind = "as they are" if self.shares is None else "by weight"
        return (
            f"MixedDataset({', '.join(parts)}, {kind}: {len(self):,} samples in {len(self.counts):,} shards,"
            f" digest {self.digest[:12]})"
        )

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """The parts; ``batch["dataset"]`` counts in this order."""
        return self._recipe.parts

    @property
    def names(self) -> tuple[str, ...]:
        """One for each part."""
        return self._recipe.names

    @property
    def shares(self) -> tuple[float, ...] | None:
        return self._recipe.shares

    @property
    def digest(self) -> str:
        """Identity of the parts' digests and their shares."""
        return self._digest

    @property
    def labelled(self) -> bool:
        return any(part.labelled for part in self.datasets)

    def scan(self, columns: Sequence[str] | None = None) -> Iterator[Chunk]:
        names = ["key", *FACTS, *self.info.columns] if columns is None else list(columns)
        own, first = [name for name in names if name != DATASET], 0
        for number, part in enumerate(self.datasets):
            for chunk in part.scan(own):
                table = pa.table({DATASET: np.full(int(chunk.counts.sum()), number)})
                for name in own:
                    table = table.append_column(name, chunk.table[name])
                yield Chunk(first + chunk.first, chunk.counts, table.select(names))
            first += len(part)

    def shard_column(self, shard: int, name: str) -> pa.Array:
        number, own = self.fetcher.at(shard)
        if name == DATASET:
            return pa.array(np.full(int(self.counts[shard]), number))
        return self.datasets[number].shard_column(own, name)

    def _selection(self, rows: I64) -> Self:
        starts = self._part_starts()
        cuts = np.searchsorted(rows, starts).tolist()
        return self._with(
            [
                part._selection(rows[cuts[number] : cuts[number + 1]] - starts[number])
                for number, part in enumerate(self.datasets)
            ]
        )

    def _widened(self, columns: pa.Table, kinds: Mapping[str, str]) -> Self:
        starts = self._part_starts().tolist()
        return self._with(
            [
                part._widened(columns.slice(starts[number], len(part)), kinds)
                for number, part in enumerate(self.datasets)
            ]
        )

    def _part_starts(self) -> I64:
        """(D + 1,) rows before each part."""
        starts: I64 = self._starts[self._firsts]
        return starts

    def _with(self, parts: Sequence[Dataset]) -> Self:
        """The same mixture of other parts; the transform stays."""
        check_parts(parts, self.shares, self.names)
        made = type(self)(Recipe(tuple(parts), self.shares, self.names, self._recipe.labels))
        made.transform = self.transform
        return made

    def row_numbers(self, shards: I64, places: I64) -> I64:
        rows = np.empty_like(places)
        numbers = self.part_numbers(shards)
        for number in np.unique(numbers).tolist():
            here = numbers == number
            rows[here] = self.datasets[number].row_numbers(shards[here] - self._firsts[number], places[here])
        return rows

    def part_numbers(self, shards: I64) -> I64:
        numbers: I64 = np.searchsorted(self._firsts, shards, side="right") - 1
        return numbers

    def read(self, shard: int, row: int) -> Item:
        number, own = self.fetcher.at(shard)
        item = self.datasets[number].read(own, row)
        return {"key": item["key"], DATASET: number} | {name: item[name] for name in item if name != DATASET}

    def record(self, shard: int, row: int) -> Item:
        number, own = self.fetcher.at(shard)
        return self.datasets[number].record(own, row)

    def where(self, shard: int, row: int) -> str:
        number, own = self.fetcher.at(shard)
        return self.datasets[number].where(own, row)


def check_parts(parts: Sequence[Dataset], shares: Sequence[float] | None, names: Sequence[str]) -> None:
    """Refuse what a mixture could only lose."""
    for name, part in zip(names, parts, strict=True):
        if part.transform is not None:
            raise OptionError(
                f"{name} has a with_transform function, which a mixture would drop; set it on the mixture."
            )
        if shares is not None and len(part) == 0:
            raise OptionError(f"nothing of {name} is left to fill its share of the epoch; mix without it.")
