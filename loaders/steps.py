"""Steps: the rows of a rank's coming batches, planned several batches at a time.

A call of numpy costs as much as a few hundred rows, so one batch of small images is hardly dearer to plan than 16:

    batch     0 | 1  2 | 3  4  5  6 | 7 ... 14 | ...       planned together; the first one alone, so that it comes soon
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ShardstreamError

I64 = NDArray[np.int64]
Span = tuple[int, int]
PLANNED_ROWS = 4_096
"""Most rows that are planned together, where a batch has no more."""
PLANNED_BYTES = 2**24
"""Most bytes of images that are gathered together, where a batch has no more."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The samples of one batch on one rank, and what the index says of them; every array is (n, ...), n <= the batch."""

    shards: I64
    rows: I64
    index: I64
    copies: I64
    keys: list[str]
    seeds: NDArray[np.uint64]
    parts: I64
    """Which annotation of its image each item is; -1 for the whole image."""
    sizes: I64
    """(n, 2) height and width of the image."""
    labels: I64
    """-100 where there is none."""
    extra: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Fields (n, ...) that the sampler adds; missing rows are 0."""
    images: NDArray[np.uint8] | None = field(default=None, repr=False)
    """(n, H, W, 3) where images are plain arrays of one shape, which need no decoder."""

    def __len__(self) -> int:
        return len(self.keys)

    def cut(self, start: int, stop: int) -> Rows:
        """Rows [start, stop) of these."""
        here = slice(start, stop)
        return Rows(
            shards=self.shards[here],
            rows=self.rows[here],
            index=self.index[here],
            copies=self.copies[here],
            keys=self.keys[here],
            seeds=self.seeds[here],
            parts=self.parts[here],
            sizes=self.sizes[here],
            labels=self.labels[here],
            extra={name: values[here] for name, values in self.extra.items()},
            images=None if self.images is None else self.images[here],
        )


@dataclass(frozen=True, slots=True)
class Pace:
    """The batches that one worker makes: every ``stride`` positions one of ``batch``, up to ``stop``."""

    batch: int
    stride: int
    stop: int

    def spans(self, start: int, count: int) -> list[Span]:
        """The next ``count`` batches from a position on, as far as there are."""
        starts = range(start, min(self.stop, start + count * self.stride), self.stride)
        return [(begin, min(begin + self.batch, self.stop)) for begin in starts]


@dataclass(frozen=True, slots=True)
class Planned:
    """The rows of batches that follow each other."""

    rows: list[Rows]
    copy: Callable[[], None]
    """Puts the images into them, which needs no interpreter lock; to be called once, before they are looked at."""


class Steps:
    """Gives each batch its rows, whatever the order in which they are asked for. Threads may share it.

    At most ``most`` batches are planned together. What fails together is planned alone, so that an error comes with its
    own batch.
    """

    def __init__(self, plan: Callable[[Sequence[Span]], Planned], pace: Pace, most: int) -> None:
        self._plan, self._pace, self._most = plan, pace, most
        self._planned: dict[Span, Rows] = {}
        self._next: int | None = None
        self._count = 1
        self._lock = threading.Lock()

    def rows(self, start: int, stop: int) -> Rows:
        """Rows of positions [start, stop); planned ahead where these come in the worker's own sequence."""
        span = (start, stop)
        with self._lock:
            if span not in self._planned:
                self._plan_up_to(span)
            found = self._planned.pop(span, None)
        return self._made([span])[0] if found is None else found

    def together(self, spans: Sequence[Span]) -> Planned | None:
        """The rows of several batches, for one who makes them all; None where one of them fails."""
        with suppress(ShardstreamError, OSError):  # raised again by the batch that it belongs to
            return self._plan(spans)
        return None

    def _plan_up_to(self, span: Span) -> None:
        start = span[0]
        if self._next is None or start > self._next + self._most * self._pace.stride:
            self._planned.clear()  # the first batch, or a jump: what lies between is not wanted
            self._next = start
        while span not in self._planned and self._next <= start < self._pace.stop:
            spans = self._pace.spans(self._next, self._count)
            with suppress(ShardstreamError, OSError):  # as above
                self._planned.update(zip(spans, self._made(spans), strict=True))
            self._next = spans[-1][0] + self._pace.stride
            self._count = min(2 * self._count, self._most)

    def _made(self, spans: Sequence[Span]) -> list[Rows]:
        planned = self._plan(spans)
        planned.copy()
        return planned.rows
