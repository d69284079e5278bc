"""CPU time and memory of this process and everything below it, from /proc (Linux)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> Iterator[int]:
    """``pid`` and its descendants that are alive."""
    yield pid
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return
    for thread in threads:
        for child in _read(f"/proc/{pid}/task/{thread}/children").split():
            yield from tree(int(child))


def cpu_seconds() -> float:
    """User and system time of the tree, of processes that have ended as well."""
    total = 0
    for pid in tree(os.getpid()):
        # pid (name) state ppid ...: the name may hold anything but its last ')' ends it; utime is field 14.
        fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        total += sum(map(int, fields[11:15]))
    return total / TICKS


def peak_rss() -> int:
    """Bytes: the sum of each process's own peak; pages that forked workers share are counted for each."""
    return sum(_kilobytes(f"/proc/{pid}/status", "VmHWM:") for pid in tree(os.getpid()))


def pss() -> int:
    """Bytes held now, shared pages counted once. Takes milliseconds."""
    return sum(_kilobytes(f"/proc/{pid}/smaps_rollup", "Pss:") for pid in tree(os.getpid()))


def _kilobytes(path: str, name: str) -> int:
    for line in _read(path).splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return 0


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return ""
