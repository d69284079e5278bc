"""Bytes of a mixture: each shard is read by the part that it belongs to."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .base import I64, Dataset, RowReader
from .counters import Counters
from .raw import PlainRows
from .rows import ShardRows


@dataclass(frozen=True, slots=True)
class MixedFetcher:
    """Sends each shard to the part that it belongs to. Picklable."""

    parts: Sequence[Dataset]
    firsts: Sequence[int]
    """(D + 1,) first shard of each part."""
    image_field: str | None
    """What the mixture calls its image; each part has a name of its own."""

    def rows(self, shard: int) -> ShardRows:
        number, own = self.at(shard)
        return self.parts[number].fetcher.rows(own)

    def member(self, shard: int, row: int, name: str) -> memoryview | bytes | None:
        part, own, field = self._field(shard, name)
        return None if field is None else part.fetcher.member(own, row, field)

    def plain(self, shard: int, rows: I64, name: str) -> PlainRows | None:
        part, own, field = self._field(shard, name)
        return None if field is None else part.fetcher.plain(own, rows, field)

    def array_table(self, name: str) -> None:
        """Its shards are read one by one."""

    def count_delivered(self, size: int) -> None:
        self._fetchers[0].count_delivered(size)  # the counters are summed over all

    def url(self, shard: int) -> str:
        number, own = self.at(shard)
        return self.parts[number].fetcher.url(own)

    @property
    def counters(self) -> Counters:
        """What this process has read so far, of all parts."""
        return sum((fetcher.counters for fetcher in self._fetchers), Counters())

    @property
    def outlook(self) -> int:
        """How many bytes of coming samples it is worth to announce; 0: none, all shards are mapped."""
        return max(fetcher.outlook for fetcher in self._fetchers)

    @property
    def sample_bytes(self) -> float:
        """Bytes of a sample in its shard, on average."""
        shards = [shard for part in self.parts for shard in part.info.shards]
        return sum(shard.bytes for shard in shards) / max(1, sum(shard.samples for shard in shards))

    @property
    def idle(self) -> bool:
        """Whether more may be announced, to every part."""
        return all(fetcher.idle for fetcher in self._fetchers)

    def begin_epoch(self) -> None:
        for fetcher in self._fetchers:
            fetcher.begin_epoch()

    def ahead(self, shards: I64, rows: I64) -> None:
        numbers = np.searchsorted(self.firsts, shards, side="right") - 1
        for number in np.unique(numbers).tolist():
            here = numbers == number
            self.parts[number].fetcher.ahead(shards[here] - self.firsts[number], rows[here])

    def _field(self, shard: int, name: str) -> tuple[Dataset, int, str | None]:
        """A shard's part, its number there, and what the part calls a field."""
        number, own = self.at(shard)
        part = self.parts[number]
        return part, own, part.info.image_field if name == self.image_field else name

    @property
    def _fetchers(self) -> list[RowReader]:
        """Each once: a dataset and its selections read through one."""
        return list({id(part.fetcher): part.fetcher for part in self.parts}.values())

    def at(self, shard: int) -> tuple[int, int]:
        """The number of a shard's part, and its own number there."""
        number = bisect_right(self.firsts, shard) - 1
        return number, shard - self.firsts[number]
