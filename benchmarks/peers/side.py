"""One side of the speed benchmark, as a process: the benchmark writes a word a line, this answers with a line of JSON.

    -> (start)   <- {"ready": true, "settings": ..., "open_s": ...}
    -> check     <- one untimed epoch, looked at closely: ``checks.py``
    -> go        <- one timed epoch: images, seconds, first_batch_s, cpu_s, idle_cpu_s, peak_rss_mb
    -> (end)

A side's own script says how it opens each recipe. Whatever else prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TextIO

from checks import Check
from process_tree import cpu_seconds, peak_rss


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be delivered. ``folder`` holds the images in every form: ``material`` says which."""

    recipe: str
    """``imagenet``: RandomResizedCrop(224), flip, normalised, shuffled. ``eval``: Resize(256), CenterCrop(224),
    normalised. ``read``: the files' bytes. ``cifar``: uint8 (B, 3, 32, 32), shuffled."""
    folder: str
    images: int
    batch: int
    workers: int

    def text(self) -> str:
        return json.dumps(asdict(self))

    @property
    def photos(self) -> str:
        """``<class>/<name>.JPEG``, the classes numbered."""
        return os.path.join(self.folder, "photos")

    @property
    def tars(self) -> list[str]:
        """Tars of ``.jpg``, ``.cls`` and ``.json`` members, for cifar ``.npy`` (32, 32, 3), ``.cls`` and ``.json``."""
        folder = os.path.join(self.folder, "rows" if self.recipe == "cifar" else "packed", "train")
        return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".tar")]

    @property
    def rows(self) -> str:
        """``images.npy`` (N, 32, 32, 3) and ``labels.npy`` (N,): the rows of the cifar tars."""
        return os.path.join(self.folder, "arrays")

    def own(self, name: str) -> str:
        """Where a peer keeps its own format."""
        return os.path.join(self.folder, "own", name)


LOOK_EVERY = 0.25
"""Seconds between looks at the memory."""
Batch = tuple[Any, Any]
"""Images (a tensor, or a list of bytes-likes) and labels (a tensor; of ``read``, nothing)."""
Epoch = Callable[[], Iterator[Batch]]
"""Starts one epoch."""


@dataclass(frozen=True, slots=True)
class Side:
    """How one loader takes part."""

    settings: Mapping[str, str]
    """Recipe -> how it is set up, in words; recipes that it does not take part in are absent."""
    open: Callable[[Job], Epoch]
    """Everything before the first epoch; counted in the time to the first batch."""
    prepare: Callable[[Job], None] | None = None
    """Bring the images into its own format, untimed; leaves what is there already."""


def main(side: Side, arguments: Sequence[str] = sys.argv) -> None:
    """``SCRIPT prepare JOB`` or ``SCRIPT serve JOB``; the exit code is 3 where the side has no such recipe."""
    command, job = arguments[1], Job(**json.loads(arguments[2]))
    if job.recipe not in side.settings:
        sys.exit(3)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries that print from C as well
    if command == "prepare":
        if side.prepare is not None:
            side.prepare(job)
    else:
        _serve(side, job, answers)


def _serve(side: Side, job: Job, answers: TextIO) -> None:
    started = time.perf_counter()
    epoch = side.open(job)
    _say(answers, {"ready": True, "settings": side.settings[job.recipe], "open_s": time.perf_counter() - started})
    idle_since = cpu_seconds()
    for line in sys.stdin:
        idle = cpu_seconds() - idle_since
        _say(answers, _checked(job, epoch) if line.strip() == "check" else _timed(epoch) | {"idle_cpu_s": idle})
        idle_since = cpu_seconds()


def _say(answers: TextIO, what: dict[str, Any]) -> None:
    print(json.dumps(what), file=answers, flush=True)


def _timed(epoch: Epoch) -> dict[str, Any]:
    count, first, peak, look = 0, 0.0, 0, 0.0
    cpu, started = cpu_seconds(), time.perf_counter()
    for images, _ in epoch():
        now = time.perf_counter() - started
        first = first or now
        count += len(images)
        if now >= look:  # a look takes 0.2 ms, too long for every batch; after the epoch workers may be gone
            peak, look = max(peak, peak_rss()), now + LOOK_EVERY
    seconds = time.perf_counter() - started
    used = cpu_seconds() - cpu
    return {
        "images": count,
        "seconds": seconds,
        "first_batch_s": first,
        "cpu_s": used,
        "peak_rss_mb": round(peak / 1e6),
    }


def _checked(job: Job, epoch: Epoch) -> dict[str, Any]:
    check = Check(job.folder, job.recipe)
    for images, labels in epoch():
        check.add(images, labels)
    return check.result()
