"""Batches made by threads of this process, in order: what decoding leaves of the interpreter lock is enough for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import nullcontext
from functools import partial

from .batch import Batch
from .meter import Measured
from .stages import PIN
from .stream import Stream
from .together import Crew


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
        working = made.working if isinstance(made, Measured) else nullcontext

        def batch(step: int) -> Batch:
            start = place.position + step * place.global_batch
            return made(start, min(start + place.global_batch, self._stream.size))

        with Crew(self._workers, working) as crew:
            yield from _in_order(crew, batch, self._stream.steps(place.position), self._ahead)


def _in_order(crew: Crew, batch: Callable[[int], Batch], steps: int, ahead: int) -> Iterator[Batch]:
    """The first batch has all threads for itself: others are begun when it is made."""
    begun: deque[Future[Batch]] = deque()
    try:
        for step in range(steps):
            begun.append(crew.submit(batch, step))
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
