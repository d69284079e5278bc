"""Batches made by threads of this process, in order: what decoding leaves of the interpreter lock is enough for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import nullcontext
from dataclasses import dataclass, field

from .batch import Batch
from .meter import Measured
from .stages import PIN
from .steps import Span
from .stream import Maker, Stream
from .together import Crew


class ThreadedBatches:
    """The batches of a stream's next epoch, ``workers`` of them in the making and ``ahead`` ready or begun.

    The same batches in the same order as the stream itself gives. An error of a batch is raised in its turn, and the
    ones begun after it are dropped; leaving the loop early ends the threads.

    Where images are copied, not decoded, a thread makes several batches that follow each other: one job, planned and
    copied in one step.
    """

    def __init__(self, stream: Stream, workers: int, ahead: int, pin: bool) -> None:
        self._stream, self._workers, self._ahead, self._pin = stream, workers, ahead, pin

    def __iter__(self) -> Iterator[Batch]:
        place = self._stream.place
        maker = self._stream.maker(place.epoch)
        measured = self._stream.measured(maker)
        working = measured.working if isinstance(measured, Measured) else nullcontext

        def made(steps: range) -> Made:
            start, size = place.position + steps.start * place.global_batch, place.global_batch
            spans = [(at, min(at + size, self._stream.size)) for at in range(start, start + len(steps) * size, size)]
            with working(spans):
                return _made(_batches(maker, spans), self._pin)

        jobs = _jobs(self._stream.steps(place.position), maker.together, self._workers)
        with Crew(self._workers, working) as crew:
            yield from _in_order(crew, made, jobs, self._ahead)


def _batches(maker: Maker, spans: Sequence[Span]) -> Iterator[Batch]:
    planned = maker.steps.together(spans) if maker.together > 1 else None
    if planned is None:
        return (maker(*span) for span in spans)
    planned.copy()
    return map(maker.of, planned.rows)


@dataclass(slots=True)
class Made:
    """Batches that follow each other, and what the one after them failed with."""

    batches: deque[Batch] = field(default_factory=deque)
    error: BaseException | None = None

    def taken(self) -> Iterator[Batch]:
        """The batches, of which none is kept; then the error is raised."""
        while self.batches:
            yield self.batches.popleft()
        if self.error is not None:
            raise self.error


def _made(batches: Iterator[Batch], pin: bool) -> Made:
    made = Made()
    try:
        for batch in batches:
            with PIN if pin else nullcontext():
                made.batches.append(batch.pin_memory() if pin else batch)
    except BaseException as error:  # noqa: BLE001 - raised in its turn, by whoever takes the batches
        made.error = error
    return made


def _jobs(steps: int, most: int, workers: int) -> Iterator[range]:
    """Steps 0, 1-4, 5-20, ... so that the first batch comes soon; small ones at the end, so that no thread ends late."""
    start, size = 0, 1
    while start < steps:
        size = min(size, most, -(-(steps - start) // (workers + 1)))
        yield range(start, start + size)
        start, size = start + size, 4 * size


def _in_order(crew: Crew, make: Callable[[range], Made], jobs: Iterable[range], ahead: int) -> Iterator[Batch]:
    """The first batch has all threads for itself: others are begun when it is made."""
    begun: deque[Future[Made]] = deque()
    try:
        for number, steps in enumerate(jobs):
            begun.append(crew.submit(make, steps))
            if number == 0:
                wait(begun)
            if len(begun) >= ahead:
                yield from begun.popleft().result().taken()
        while begun:
            yield from begun.popleft().result().taken()
    finally:
        for future in begun:
            future.cancel()
