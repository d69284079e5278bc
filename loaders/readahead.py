"""Read-ahead: blocks that coming batches need are fetched while earlier ones are decoded.

``Outlook`` walks the order in front of a worker's batches and says which rows come; ``Background`` fetches their
blocks in the order in which they are needed. Neither changes what a batch holds: what is not there when a batch wants
it is fetched then, and what could not be fetched in the background fails there again, in the batch that needs it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import ShardstreamError
from .blocks import Span
from .steps import Pace

I64 = NDArray[np.int64]
THREADS = 8
"""Requests in flight per process: 8 blocks of 4 MB at 50 ms each are 640 MB/s."""
_QUEUED = 2 * THREADS
log = logging.getLogger("shardstream")


class Background:
    """Fetches pieces with a few threads, which live while there is something to fetch and never delay an exit."""

    def __init__(self, load: Callable[[Span], object], threads: int = THREADS) -> None:
        self._load, self._threads = load, threads
        self._wanted: deque[Span] = deque()
        self._alive = 0
        self._lock = threading.Lock()

    @property
    def idle(self) -> bool:
        """Whether more may be asked for."""
        return len(self._wanted) < _QUEUED

    def want(self, spans: Iterable[Span]) -> None:
        """Fetch these after what is wanted already."""
        with self._lock:
            self._wanted.extend(spans)
            missing = min(self._threads, self._alive + len(self._wanted)) - self._alive
            self._alive += missing
        for _ in range(missing):
            threading.Thread(target=self._run, name="shardstream-ahead", daemon=True).start()

    def forget(self) -> None:
        """Nothing of what was asked for is wanted any more."""
        with self._lock:
            self._wanted.clear()

    def _run(self) -> None:
        while (span := self._next()) is not None:
            try:
                self._load(span)
            except (ShardstreamError, OSError) as error:
                log.debug("reading ahead failed, the batch that needs it will try again: %s", error)

    def _next(self) -> Span | None:
        with self._lock:
            if self._wanted:
                return self._wanted.popleft()
            self._alive -= 1
            return None


class Reader(Protocol):
    """What can be told which rows come next: a ``Fetcher``."""

    @property
    def outlook(self) -> int:
        """How many bytes of coming samples it is worth to announce; 0: none."""
        ...

    @property
    def sample_bytes(self) -> float:
        """Bytes of a sample, on average."""
        ...

    @property
    def idle(self) -> bool:
        """Whether more may be asked for."""
        ...

    def begin_epoch(self) -> None:
        """What was asked for in another order is not wanted any more."""
        ...

    def ahead(self, shards: I64, rows: I64) -> None:
        """These rows come next, after those that were announced before."""
        ...


class Outlook:
    """Announces the rows of a worker's coming batches, as many as the reader can take. Threads may share it.

    ``bytes_each``: what a position costs one rank, on average over the positions of all.
    """

    def __init__(
        self, reader: Reader, rows: Callable[[int, int], tuple[I64, I64]], pace: Pace, bytes_each: float
    ) -> None:
        self._reader, self._rows, self._pace, self._bytes_each = reader, rows, pace, bytes_each
        self._next = 0
        self._lock = threading.Lock()
        reader.begin_epoch()

    def reach(self, start: int) -> None:
        """The batch at this position begins: announce it, and what comes after it."""
        pace = self._pace
        with self._lock:
            self._next = max(self._next, start)
            while self._next < min(pace.stop, self._horizon(start)) and self._reader.idle:
                shards, rows = self._rows(self._next, min(self._next + pace.batch, pace.stop))
                self._next += pace.stride
                self._reader.ahead(shards, rows)

    def _horizon(self, start: int) -> float:
        """Up to where it is worth to announce: at least the batch that begins."""
        return start + max(1.0, self._reader.outlook / self._bytes_each)
