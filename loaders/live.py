"""The live line: what a loader does right now, on stderr, renewed in place; for people, so only in a terminal."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Literal

from .metrics import WORKER_STAGES, Metrics

IN_PLACE, IN_A_LOG = 0.5, 10.0
"""Seconds between two lines, in a terminal and elsewhere."""


class LiveLine:
    """Shows the metrics of the last moments. ``True``: only where stderr is a terminal; ``"always"``: as lines of a log."""

    def __init__(self, wanted: bool | Literal["always"]) -> None:
        self._wanted = wanted
        self._earlier: Metrics | None = None
        self._next = 0.0
        self._drawn = False

    def show(self, metrics: Callable[[], Metrics]) -> None:
        """Renew the line if it is time; costs one reading of the clock, and nothing where no line is wanted."""
        if not self._wanted or perf_counter() < self._next:
            return
        in_place = sys.stderr.isatty()
        if not in_place and self._wanted != "always":
            self._wanted = False
            return
        now = metrics()
        if self._earlier is not None:
            self._draw(line(now - self._earlier), in_place)
        self._earlier, self._next = now, perf_counter() + (IN_PLACE if in_place else IN_A_LOG)

    def close(self) -> None:
        """What is printed next begins on a line of its own; the time until the next epoch is not counted."""
        if self._drawn:
            print(file=sys.stderr, flush=True)  # noqa: T201 - asked for
        self._drawn, self._earlier, self._next = False, None, 0.0

    def _draw(self, text: str, in_place: bool) -> None:
        if in_place:
            columns = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[K{text[:columns]}", end="", file=sys.stderr, flush=True)  # noqa: T201 - asked for
        else:
            print(text, file=sys.stderr, flush=True)  # noqa: T201 - asked for
        self._drawn = in_place


def line(metrics: Metrics) -> str:
    """Rates, queue, the loop's waiting and the workers' time by stage: ``900 img/s  97 MB/s  queue 3.1/4 ...``."""
    waited = metrics.share("start") + metrics.share("wait")
    stages = "  ".join(f"{name} {metrics.share(name, of='busy'):.0%}" for name in WORKER_STAGES[:-1])
    rates = f"{metrics.images_per_second:,.0f} img/s  {metrics.bytes_per_second / 1e6:,.1f} MB/s"
    queue = f"queue {metrics.queue_depth:.1f}/{metrics.queue_limit}"
    idle = metrics.share("deliver", of="waiting")
    return f"{rates}  {queue}  loop waits {waited:.0%}  limit: {metrics.bottleneck.limit}  workers: {stages}  idle {idle:.0%}"
