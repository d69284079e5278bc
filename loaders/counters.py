"""Counters of reading: what came from storage, and what was handed out."""

from __future__ import annotations

import operator
import threading
from dataclasses import dataclass

from ..shard_writer.storage import Store


@dataclass(frozen=True, slots=True)
class Counters:
    """What one process has read of a dataset's shards since it opened it. The difference of two is a time between."""

    bytes_fetched: int = 0
    """Bytes that came from remote storage. Local shards are mapped: they count nothing here."""
    bytes_delivered: int = 0
    """Bytes of members handed out, each time they are; tar headers and padding are not."""
    gets: int = 0
    """Requests to remote storage for bytes of shards."""
    blocks_hit: int = 0
    """Times that a block was wanted and this machine had it, in memory or in the cache."""
    blocks_missed: int = 0
    """Blocks that were fetched."""
    shards_opened: int = 0
    """Different shards that bytes were read from."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """All counts, in the order above; ``astuple`` would copy each number deeply, and batches are counted one by one."""
        return (
            self.bytes_fetched,
            self.bytes_delivered,
            self.gets,
            self.blocks_hit,
            self.blocks_missed,
            self.shards_opened,
        )

    @property
    def fetch_ratio(self) -> float:
        """Bytes fetched / bytes delivered."""
        return self.bytes_fetched / max(1, self.bytes_delivered)

    @property
    def gets_per_gb(self) -> float:
        """Requests per 10^9 bytes delivered."""
        return self.gets * 1e9 / max(1, self.bytes_delivered)

    def __add__(self, other: Counters) -> Counters:
        return Counters(*map(operator.add, self.numbers, other.numbers))

    def __sub__(self, earlier: Counters) -> Counters:
        return Counters(*map(operator.sub, self.numbers, earlier.numbers))


class Tally:
    """Counts for one process; threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fetched = self._delivered = self._gets = self._hit = self._missed = 0
        self._shards: set[int] = set()

    def read(self, store: Store, path: str, start: int, stop: int) -> bytes:
        """Bytes [start, stop) of a remote file, counted; a short answer is an error, as the store promises."""
        data = store.read(path, start, stop)
        with self._lock:
            self._fetched += len(data)
            self._gets += 1
        return data

    def deliver(self, size: int) -> None:
        """A member of so many bytes was handed out."""
        with self._lock:
            self._delivered += size

    def block(self, *, hit: bool) -> None:
        """A block was wanted and here, or had to be fetched."""
        with self._lock:
            self._hit += hit
            self._missed += not hit

    def open(self, shard: int) -> None:
        """A shard is read from."""
        with self._lock:
            self._shards.add(shard)

    def counters(self) -> Counters:
        """The counts so far."""
        with self._lock:
            return Counters(self._fetched, self._delivered, self._gets, self._hit, self._missed, len(self._shards))
