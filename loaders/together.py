"""Together: threads that make batches side by side, and take pictures of each other's where there is no batch to begin.

    thread 0   batch 0, pictures 0 2 4 5     batch 1 ..............   batch 3, pictures 40 42 ...
    thread 1            pictures 1 3 6 7     batch 2 ........   batch 3 .........................

So it is for the first batch of an epoch, for which everybody waits, and at its end, where batches are fewer than threads.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Generic, TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


class Crew:
    """``threads`` threads that make batches. ``working`` is entered by one while it works on another's batch."""

    def __init__(self, threads: int, working: Callable[[], AbstractContextManager[object]]) -> None:
        self._threads, self._working = threads, working
        self._waiting = 0
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(threads, "shardstream", initializer=self._joined)

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    def submit(self, make: Callable[[T], R], what: T) -> Future[R]:
        """Have batches made, after those that were submitted before."""
        self._count(1)
        return self._pool.submit(self._begin, make, what)

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Results in the order of the items, made by this thread and those that have no batch to begin.

        The first error in that order is raised, as a loop would raise it.
        """
        shared = _Shared(function, items)
        if self._waiting < self._threads:  # else each of them has a batch to begin when it is done with its own
            with suppress(RuntimeError):  # nobody wants batches any more, and the pool takes nothing new
                for _ in range(self._threads - 1):
                    self._pool.submit(self._help, shared)
        shared.work()
        return shared.results()

    def _begin(self, make: Callable[[T], R], what: T) -> R:
        self._count(-1)
        return make(what)

    def _help(self, shared: _Shared[T, R]) -> None:
        if shared.left:
            with self._working():
                shared.work()

    def _count(self, submitted: int) -> None:
        with self._lock:
            self._waiting += submitted

    def _joined(self) -> None:
        _here.crew = self
        # torch's own threads would fight with these for the same cores; the setting is of this thread alone
        torch.set_num_threads(1)


class _Here(threading.local):
    crew: Crew | None = None


_here = _Here()


def each(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """``function`` of every item, in order: by this thread, or with the help of its crew."""
    crew = _here.crew
    return [function(item) for item in items] if crew is None else crew.map(function, items)


class _Shared(Generic[T, R]):
    """Items that several threads take one by one, until there is none or one has failed."""

    def __init__(self, function: Callable[[T], R], items: Iterable[T]) -> None:
        self._function = function
        self.left = deque(enumerate(items))
        self._made: dict[int, R] = {}
        self._failed: dict[int, BaseException] = {}
        self._working = 0
        self._changed = threading.Condition()

    def work(self) -> None:
        """Take items; what fails is kept for the thread whose batch it is."""
        self._count(1)
        try:
            while True:
                try:
                    place, item = self.left.popleft()
                except IndexError:
                    return
                try:
                    self._made[place] = self._function(item)
                except BaseException as error:  # noqa: BLE001 - raised by ``results``, in the batch's own thread
                    self._failed[place] = error
                    self.left.clear()
        finally:
            self._count(-1)

    def results(self) -> list[R]:
        """Once every thread is done; of errors the first in the order of the items, all before which were taken."""
        with self._changed:
            while self._working:
                self._changed.wait()
        if self._failed:
            raise self._failed[min(self._failed)]
        return [self._made[place] for place in range(len(self._made))]

    def _count(self, working: int) -> None:
        with self._changed:
            self._working += working
            self._changed.notify_all()
