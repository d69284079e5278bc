"""Room: how many bytes a cache folder may hold, agreed on by every process of the machine.

A file grows under a claim, ``<name>.part``, which its maker holds by a lock that the kernel frees with it. The claim
has its full size from the start, so the bound counts what is still to come; one whose maker died is dropped.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

CLAIM = ".part"
WHOLE_FILE, BLOCK_FILE = ".tar", ".block"
_LEDGER = "used.lock"
_DIGITS = 20


@dataclass(frozen=True, slots=True)
class Room:
    """A folder and the most bytes that files and claims in it may have together."""

    folder: Path
    limit: int

    @contextmanager
    def claim(self, target: Path) -> Iterator[BinaryIO]:
        """The right to make ``target``, as a file to fill: waits while another thread or process has it.

        The caller renames it to ``target`` when it is whole; else it is given up.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = target.with_suffix(CLAIM)
        with _held(part) as file:
            try:
                yield file
            finally:
                if _is_at(file, part):
                    self.give_up(part)

    def claimed(self, target: Path) -> bool:
        """Whether somebody makes ``target`` at this moment, or died over it."""
        return target.with_suffix(CLAIM).exists()

    def reserve(self, claim: BinaryIO, size: int) -> bool:
        """Let a claim take ``size`` bytes; False where they do not fit."""
        with self._ledger() as ledger:
            before = os.fstat(claim.fileno()).st_size  # of a claim whose maker died, taken over
            used = _noted(ledger)
            if used is None or used + size - before > self.limit:
                used = self._count()
            fits = used + size - before <= self.limit
            # Noted first: a crash between the two counts too much until the next count, never too little.
            _note(ledger, used + size - before if fits else used)
            if fits:
                claim.truncate(size)
        return fits

    def give_up(self, file: Path) -> bool:
        """Remove a file and have its bytes back; whether it was there."""
        if not file.exists():
            return False
        with self._ledger() as ledger:
            used, size = _noted(ledger), _size(file)
            file.unlink(missing_ok=True)
            _note(ledger, self._count() if used is None else max(0, used - size))
        return True

    def _count(self) -> int:
        """Bytes that lie there; claims first, so that one that becomes whole meanwhile is rather counted twice."""
        self._drop_abandoned()
        return sum(_size(file) for kind in (CLAIM, WHOLE_FILE, BLOCK_FILE) for file in self.folder.glob(f"*{kind}"))

    def _drop_abandoned(self) -> None:
        for part in self.folder.glob(f"*{CLAIM}"):
            try:
                with open(part, "rb") as file, _locked(file, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    part.unlink(missing_ok=True)
            except (BlockingIOError, FileNotFoundError):
                continue  # its maker lives, or it became whole

    @contextmanager
    def _ledger(self) -> Iterator[BinaryIO]:
        """The number of bytes in use, in a locked file: thousands of files take too long to count each time."""
        with _held(self.folder / _LEDGER) as file:
            yield file


@contextmanager
def _held(path: Path) -> Iterator[BinaryIO]:
    """A file, made where it is absent, that nobody else holds."""
    while True:
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file, _locked(file, fcntl.LOCK_EX):
            if _is_at(file, path):  # else its former holder renamed or removed it
                yield file
                return


@contextmanager
def _locked(file: BinaryIO, how: int) -> Iterator[None]:
    fcntl.flock(file, how)
    try:
        yield
    finally:
        # Not by closing alone: a process that was forked meanwhile has the file open, too.
        fcntl.flock(file, fcntl.LOCK_UN)


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _noted(ledger: BinaryIO) -> int | None:
    text = os.pread(ledger.fileno(), _DIGITS + 1, 0)
    return int(text) if len(text) == _DIGITS and text.isdigit() else None


def _note(ledger: BinaryIO, used: int) -> None:
    os.pwrite(ledger.fileno(), b"%0*d" % (_DIGITS, used), 0)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
