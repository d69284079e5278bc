"""Batches made by threads of this process, in order: what decoding leaves of the interpreter lock is enough for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial

from .batch import Batch
from .stages import PIN
from .stream import Stream
from .together import Helpers, one_thread_each

BatchMaker = Callable[[int], Batch]


class ThreadedBatches:
    """The batches of a stream's next epoch, ``workers`` of them in the making and ``ahead`` ready or begun.

    The same batches in the same order as the stream itself gives. An error of a batch is raised in its turn, and the
    ones begun after it are dropped; leaving the loop early ends the threads.
    """

    def __init__(self, stream: Stream, workers: int, ahead: int, pin: bool) -> None:
        self._stream, self._workers, self._ahead, self._pin = stream, workers, ahead, pin

    def __iter__(self) -> Iterator[Batch]:
        place = self._stream.place
        make = self._stream.maker(place.epoch)
        made = self._stream.measured(partial(_pinned, make) if self._pin else make)

        def batch(step: int) -> Batch:
            start = place.position + step * place.global_batch
            return made(start, min(start + place.global_batch, self._stream.size))

        def first(step: int) -> Batch:
            with Helpers(self._workers):
                return batch(step)

        with ThreadPoolExecutor(self._workers, "shardstream", initializer=one_thread_each) as pool:
            yield from _in_order(pool, first, batch, self._stream.steps(place.position), self._ahead)


def _in_order(
    pool: ThreadPoolExecutor, first: BatchMaker, batch: BatchMaker, steps: int, ahead: int
) -> Iterator[Batch]:
    """The first batch has all threads for itself: others are begun when it is made."""
    begun: deque[Future[Batch]] = deque()
    try:
        for step in range(steps):
            begun.append(pool.submit(batch if step else first, step))
            if step == 0:
                wait(begun)
            if len(begun) >= ahead:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        for future in begun:
            future.cancel()


def _pinned(make: Callable[[int, int], Batch], start: int, stop: int) -> Batch:
    batch = make(start, stop)
    with PIN:
        return batch.pin_memory()
