"""Stages of making a batch, timed where they happen: ``with FETCH: ...`` adds to the clock of the worker that runs it.

Where no worker runs (an item is read by hand, a block is fetched in the background) nothing is counted. A stage costs
two readings of the clock, about half a microsecond; ``thread_time`` costs as much as ten, so it is read once a batch.
"""

from __future__ import annotations

import threading
from enum import IntEnum
from time import perf_counter, thread_time
from types import TracebackType

import numpy as np
from numpy.typing import NDArray


class Column(IntEnum):
    """What one worker counts: seconds first, then numbers."""

    FETCH = 0
    """Inside of it: STORAGE."""
    STORAGE = 1
    DECODE = 2
    TRANSFORM = 3
    PIN = 4
    BATCH = 5
    """Seconds in which a batch was made; FETCH, DECODE, TRANSFORM and PIN lie inside."""
    IDLE = 6
    """Seconds between two batches: nobody wanted one."""
    PROCESSOR = 7
    """Seconds of BATCH in which the worker's thread was on a processor."""
    FETCHES = 8
    DECODES = 9
    TRANSFORMS = 10
    IMAGES = 11
    BATCHES = 12
    READY = 13
    """Batches made since the epoch began."""
    BYTES_FETCHED = 14
    BYTES_DELIVERED = 15
    GETS = 16
    BLOCKS_HIT = 17
    BLOCKS_MISSED = 18
    SHARDS_OPENED = 19


class Clock:
    """One worker's counters: a row of float64, which may lie in memory that processes share. One thread writes it.

    What a batch costs this worker is added up here and written when its part in it is done.
    """

    def __init__(self, row: NDArray[np.float64]) -> None:
        self.row = row
        self.counts = [0.0] * len(Column)
        self.begun = [0.0] * len(Column)
        self._ended = 0.0

    def begin_batch(self) -> None:
        """A batch is begun, or another's helped with; since the last one ended the worker was idle."""
        now = perf_counter()
        if self._ended:
            self.counts[Column.IDLE] += now - self._ended
        self.begun[Column.BATCH], self.begun[Column.PROCESSOR] = now, thread_time()

    def end_batch(self) -> None:
        """Its part in it is done, or has failed."""
        self._ended = perf_counter()
        self.counts[Column.BATCH] += self._ended - self.begun[Column.BATCH]
        self.counts[Column.PROCESSOR] += thread_time() - self.begun[Column.PROCESSOR]
        self.row += self.counts
        self.counts = [0.0] * len(Column)


class _Here(threading.local):
    clock: Clock | None = None


_here = _Here()


def exchange(clock: Clock | None) -> Clock | None:
    """Let this thread count on another clock from now on; returns the one before."""
    before, _here.clock = _here.clock, clock
    return before


class Stage:
    """Times what happens inside of it. Threads share it; not to be nested in itself."""

    def __init__(self, seconds: Column, times: Column | None = None) -> None:
        self._seconds, self._times = int(seconds), None if times is None else int(times)

    def __enter__(self) -> None:
        clock = _here.clock
        if clock is not None:
            clock.begun[self._seconds] = perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        clock = _here.clock
        if clock is not None:
            clock.counts[self._seconds] += perf_counter() - clock.begun[self._seconds]
            if self._times is not None:
                clock.counts[self._times] += 1


FETCH = Stage(Column.FETCH, Column.FETCHES)
"""The bytes of one member are read and verified."""
STORAGE = Stage(Column.STORAGE)
"""Inside of FETCH: a block is waited for."""
DECODE = Stage(Column.DECODE, Column.DECODES)
"""One picture is decoded, cropped and resized."""
TRANSFORM = Stage(Column.TRANSFORM, Column.TRANSFORMS)
"""The user's transform runs."""
PIN = Stage(Column.PIN)
"""A batch is copied to page-locked memory."""
