"""Measure two sides in turn and describe the machine they ran on."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

SIDES = ("ours", "webdataset")
PACKAGES = ("shardstream", "webdataset", "torch", "torchvision", "pillow", "numpy", "pyarrow")


@dataclass(frozen=True, slots=True)
class Work:
    """What one run delivered."""

    samples: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Run:
    """One timed run; CPU seconds count this process, its threads and its workers."""

    seconds: float
    cpu_seconds: float
    work: Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One comparison: the same work by both sides."""

    name: str
    what: str
    ours: Callable[[], Work]
    webdataset: Callable[[], Work]
    check: Callable[[], Mapping[str, Any]]
    """Untimed: raises where the two sides do not deliver the same; returns what was compared."""
    tidy: Callable[[], None] = lambda: None
    """Untimed, before each run."""


def timed(side: Callable[[], Work]) -> Run:
    """Run once by the wall clock, after earlier writes have reached the disk: no side pays for the other's."""
    os.sync()
    before, start = os.times(), time.perf_counter()
    work = side()
    seconds, after = time.perf_counter() - start, os.times()
    return Run(seconds, sum(after[:4]) - sum(before[:4]), work)


def compare(case: Case, repeats: int) -> dict[str, Any]:
    """Check, then run both sides in turn ``repeats`` times, the first of each round alternating.

    ``ratio`` is the peer's median time divided by ours: above 1, ours is faster. ``ratio_rounds`` is the same per round.
    """
    case.tidy()
    same = case.check()  # warms the page cache for both sides, too
    runs: dict[str, list[Run]] = {side: [] for side in SIDES}
    for turn in range(repeats):
        for side in SIDES if turn % 2 == 0 else SIDES[::-1]:
            case.tidy()
            runs[side].append(timed(getattr(case, side)))
    case.tidy()
    ours, theirs = ([run.seconds for run in runs[side]] for side in SIDES)
    rounds = [b / a for a, b in zip(ours, theirs, strict=True)]
    return {
        "case": case.name,
        "what": case.what,
        "repeats": repeats,
        "same": dict(same),
        "ratio": round(statistics.median(theirs) / statistics.median(ours), 3),
        "ratio_rounds": {"min": round(min(rounds), 3), "max": round(max(rounds), 3)},
        "cpu_ratio": round(_median_cpu(runs["webdataset"]) / _median_cpu(runs["ours"]), 3),
        **{side: _described(runs[side]) for side in SIDES},
    }


def _median_cpu(runs: list[Run]) -> float:
    return statistics.median(max(run.cpu_seconds, 0.01) for run in runs)  # the kernel counts hundredths


def _described(runs: list[Run]) -> dict[str, Any]:
    seconds = [run.seconds for run in runs]
    median, work = statistics.median(seconds), runs[0].work
    return {
        "samples": work.samples,
        "bytes": work.nbytes,
        "median_seconds": round(median, 4),
        "samples_per_second": round(work.samples / median, 1),
        "megabytes_per_second": round(work.nbytes / median / 1e6, 1),
        "median_cpu_seconds": round(_median_cpu(runs), 2),
        "spread_percent": round(100 * (max(seconds) - min(seconds)) / median, 1),
        "seconds": [round(value, 4) for value in seconds],
    }


def machine() -> dict[str, Any]:
    """Processor and cores; nothing that names the machine."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(memory / 1e9),
        "system": platform.system(),
    }


def versions() -> dict[str, str]:
    """Of Python and the packages that take part."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def commit() -> str:
    """The checkout's git commit, with ``+changes`` where files differ from it; ``unknown`` outside git."""
    root = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", ":/*.py")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
