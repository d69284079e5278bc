"""Together: pictures of one batch decoded by several threads, where everybody waits for that batch.

Later batches are made side by side, one by each thread; the first of an epoch would keep one thread busy while the
others make what nobody waits for yet.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import TypeVar

import numpy as np
import torch

from .stages import Clock, Column, exchange

T = TypeVar("T")
R = TypeVar("R")


class Helpers:
    """``with Helpers(n):`` what this thread does to ``each`` item is done by n threads."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, "shardstream-first", initializer=one_thread_each)

    def __enter__(self) -> Helpers:
        _here.helpers = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        _here.helpers = None
        self._pool.shutdown()

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Results in the order of the items; the first error in that order is raised, as a loop would raise it.

        The clock of this thread counts what the helpers did, of their seconds the n-th part, since they passed at once.
        """
        found = list(self._pool.map(partial(_counted, function), items))
        clock = exchange(None)
        exchange(clock)
        if clock is not None:
            counts = np.sum([part for _, part in found], axis=0)
            counts[: Column.FETCHES] /= self._threads
            clock.counts = (np.array(clock.counts) + counts).tolist()
        return [result for result, _ in found]


class _Here(threading.local):
    helpers: Helpers | None = None


_here = _Here()


def each(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """``function`` of every item, in order: by this thread, or by its helpers."""
    helpers = _here.helpers
    return [function(item) for item in items] if helpers is None else helpers.map(function, items)


def one_thread_each() -> None:
    """Torch's own threads would fight with a loader's for the same cores; the setting is of this thread alone."""
    torch.set_num_threads(1)


def _counted(function: Callable[[T], R], item: T) -> tuple[R, list[float]]:
    clock = Clock(np.zeros(len(Column)))
    before = exchange(clock)
    try:
        return function(item), clock.counts
    finally:
        exchange(before)
