"""``Meter``: what a loader's workers and its training loop count, wherever they run.

    workers    row 0  [fetch, storage, decode, ..., images, batches, ...]  ┐ float64 in memory that processes share;
               row 1  [...]                                                ┘ each row is written by one worker alone
    the loop   a stopwatch that is always in one stage: start, wait, device or step

Nothing is sent and nothing is locked: a worker adds to its own row, and whoever wants the figures reads them all.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import get_worker_info

from .counters import Counters
from .stages import Clock, Column, exchange
from .steps import Span

if TYPE_CHECKING:
    from .base import RowReader
    from .batch import Batch

BatchMaker = Callable[[int, int], "Batch"]
LoopStage = Literal["start", "wait", "device", "step"]
LOOP_STAGES: tuple[LoopStage, ...] = ("start", "wait", "device", "step")


class Meter:
    """Counters of ``rows`` workers; 1 where the training loop makes its batches itself. Pickled, still the same memory."""

    def __init__(self, rows: int) -> None:
        self.table = torch.zeros(rows, len(Column), dtype=torch.float64).share_memory_()  # type: ignore[no-untyped-call]

    def row(self, number: int) -> NDArray[np.float64]:
        """The counters of one worker, (columns,)."""
        row: NDArray[np.float64] = self.table[number % len(self.table)].numpy()
        return row

    def begin_epoch(self) -> None:
        """No batch of the coming epoch is ready."""
        self.table[:, Column.READY] = 0

    @property
    def ready(self) -> int:
        """Batches of this epoch that were made."""
        return int(self.table.numpy()[:, Column.READY].sum())  # numpy's, which keeps the interpreter lock

    def totals(self) -> list[float]:
        """(columns,) sums over the workers."""
        sums: list[float] = self.table.sum(0).tolist()
        return sums


class Measured:
    """Makes batches as ``make`` does, and counts. Each thread that calls it takes a row of its own."""

    def __init__(self, meter: Meter, make: BatchMaker, rows: Callable[[int, int], int], reader: RowReader) -> None:
        self._meter, self._make, self._rows, self._reader = meter, make, rows, reader
        worker = get_worker_info()
        self._numbers = itertools.count(worker.id if worker else 0)
        self._local = threading.local()
        self._lock = threading.Lock()
        self._read = reader.counters
        if worker:
            self._meter.row(worker.id)[Column.READY] = 0

    def __call__(self, start: int, stop: int) -> Batch:
        with self.working([(start, stop)]):
            return self._make(start, stop)

    @contextmanager
    def working(self, spans: Sequence[Span] = ()) -> Iterator[None]:
        """While the calling thread works, on its own batches of positions ``spans`` or on another's: its time counts."""
        clock = self._clock()
        before = exchange(clock)
        clock.begin_batch()
        try:
            yield
            self._count(clock.counts, spans)
        finally:
            clock.end_batch()
            exchange(before)

    def _clock(self) -> Clock:
        if not hasattr(self._local, "clock"):
            self._local.clock = Clock(self._meter.row(next(self._numbers)))
        clock: Clock = self._local.clock
        return clock

    def _count(self, counts: list[float], spans: Sequence[Span]) -> None:
        if not spans:
            return
        with self._lock:  # threads share the reader: what one counts here, another must not count again
            now = self._reader.counters
            read, self._read = now - self._read, now
        for column, value in zip(range(Column.BYTES_FETCHED, len(Column)), read.numbers, strict=True):
            counts[column] += value
        counts[Column.IMAGES] += sum(self._rows(*span) for span in spans)
        counts[Column.BATCHES] += len(spans)
        counts[Column.READY] += len(spans)


@dataclass(slots=True)
class LoopTime:
    """What the training loop counts."""

    start: float = 0.0
    wait: float = 0.0
    device: float = 0.0
    step: float = 0.0
    images: int = 0
    batches: int = 0
    asked: int = 0
    """Times that the queue was looked at."""
    queued: int = 0
    """Batches that were ready then, summed."""


class Loop:
    """A stopwatch over the training loop's time, always in one stage, or out of the loop."""

    def __init__(self, meter: Meter) -> None:
        self.time = LoopTime()
        self.meter = meter
        self._stage: LoopStage | None = None
        self._since = 0.0

    def enter(self, stage: LoopStage | None) -> None:
        """The loop goes over to another stage; None: it is left."""
        now = perf_counter()
        if self._stage is not None:
            setattr(self.time, self._stage, getattr(self.time, self._stage) + now - self._since)
        self._stage, self._since = stage, now

    def arriving(self, batches: Iterable[Batch], first: LoopStage) -> Iterator[Batch]:
        """An epoch's batches, the time until each came counted as waiting (until the first: as ``first``)."""
        self.meter.begin_epoch()
        self.enter(first)
        for taken, batch in enumerate(batches, 1):
            self.enter("device")
            yield batch
            self.enter("wait")
            self.time.asked += 1
            self.time.queued += max(0, self.meter.ready - taken)

    def delivered(self, images: int) -> None:
        """A batch is handed to the caller, whose step begins."""
        self.time.images += images
        self.time.batches += 1
        self.enter("step")


def read_counters(totals: list[float]) -> Counters:
    """The counters of reading among the sums of a table."""
    return Counters(*(int(value) for value in totals[Column.BYTES_FETCHED :]))
