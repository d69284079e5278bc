"""Room: how many bytes a cache folder may hold, agreed on by every process of the machine.

A file grows under a claim, ``<name>.part``, which its maker holds by a lock that the kernel frees with it. The claim
has its full size from the start, so the bound counts what is still to come; one whose maker died is dropped.

    |<------------------- limit ------------------->|
    | pinned: what comes first stays    |   spare   |    rolling files take the spare bytes,
    | .tar  .block                      | .rolling  |    the oldest of them make room for the next
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

WHOLE, BLOCK, ROLLING = ".tar", ".block", ".rolling"
_CLAIM, _ROLLING_CLAIM = ".part", ".rolling-part"
_LEDGER = "used.lock"
_DIGITS = 20
_AT_ONCE = 16
"""Rolling files make room by a sixteenth of the spare bytes, so that they are not listed for each new one."""


class Use(NamedTuple):
    """Bytes of files and of claims."""

    pinned: int
    rolling: int

    def plus(self, size: int, rolls: bool) -> Use:
        return Use(self.pinned, max(0, self.rolling + size)) if rolls else Use(max(0, self.pinned + size), self.rolling)


@dataclass(frozen=True, slots=True)
class Room:
    """A folder, the most bytes that files and claims in it may have together, and how many of them are for rolling."""

    folder: Path
    limit: int
    spare: int = 0

    @contextmanager
    def claim(self, target: Path) -> Iterator[BinaryIO]:
        """The right to make ``target``, as a file to fill: waits while another thread or process has it.

        The caller renames it to ``target`` when it is whole; else it is given up.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = claim_of(target)
        with _held(part) as file:
            try:
                yield file
            finally:
                if _is_at(file, part):
                    self.give_up(part)

    def reserve(self, claim: BinaryIO, size: int, *, rolls: bool) -> bool:
        """Let a claim take ``size`` bytes; False where they do not fit."""
        with self._ledger() as ledger:
            more = size - os.fstat(claim.fileno()).st_size  # it has some where its maker died and we took it over
            use = _noted(ledger) or self._count()
            if not self._fits(use, more, rolls):
                use = self._rolled(use, more) if rolls else self._count()
            fits = self._fits(use, more, rolls)
            # Noted first: a crash between the two counts too much until the next count, never too little.
            _note(ledger, use.plus(more, rolls) if fits else use)
            if fits:
                claim.truncate(size)
        return fits

    def give_up(self, file: Path) -> bool:
        """Remove a file and have its bytes back; whether it was there."""
        if not file.exists():
            return False
        with self._ledger() as ledger:
            use, size = _noted(ledger), _size(file)
            file.unlink(missing_ok=True)
            _note(ledger, self._count() if use is None else use.plus(-size, _rolls(file)))
        return True

    def _fits(self, use: Use, more: int, rolls: bool) -> bool:
        apart = use.rolling + more <= self.spare if rolls else use.pinned + more <= self.limit - self.spare
        return apart and use.pinned + use.rolling + more <= self.limit

    def _count(self) -> Use:
        """What lies there; claims first, so that one that becomes whole meanwhile is rather counted twice."""
        for part in [*self._files(_CLAIM), *self._files(_ROLLING_CLAIM)]:
            _drop_abandoned(part)
        pinned = sum(_size(file) for kind in (_CLAIM, WHOLE, BLOCK) for file in self._files(kind))
        return Use(pinned, sum(_size(file) for kind in (_ROLLING_CLAIM, ROLLING) for file in self._files(kind)))

    def _rolled(self, use: Use, more: int) -> Use:
        """Drop the oldest rolling files, as many as it takes."""
        rolling = sum(_size(file) for kind in (_ROLLING_CLAIM, ROLLING) for file in self._files(kind))
        wanted = min(self.spare, self.limit - use.pinned) - self.spare // _AT_ONCE - more
        for _, file in sorted((_time(file), file) for file in self._files(ROLLING)):
            if rolling <= wanted:
                break
            rolling -= _size(file)
            file.unlink(missing_ok=True)
        return Use(use.pinned, rolling)

    def _files(self, kind: str) -> Iterator[Path]:
        return self.folder.glob(f"*{kind}")

    @contextmanager
    def _ledger(self) -> Iterator[BinaryIO]:
        """The bytes in use, in a locked file: thousands of files take too long to count each time."""
        with _held(self.folder / _LEDGER) as file:
            yield file


def claim_of(target: Path) -> Path:
    """Where a file grows."""
    return target.with_suffix(_ROLLING_CLAIM if target.suffix == ROLLING else _CLAIM)


def _rolls(file: Path) -> bool:
    return file.suffix in (ROLLING, _ROLLING_CLAIM)


def _drop_abandoned(part: Path) -> None:
    try:
        with open(part, "rb") as file, _locked(file, fcntl.LOCK_EX | fcntl.LOCK_NB):
            part.unlink(missing_ok=True)
    except (BlockingIOError, FileNotFoundError):
        return  # its maker lives, or it became whole


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


def _noted(ledger: BinaryIO) -> Use | None:
    text = os.pread(ledger.fileno(), 2 * _DIGITS + 1, 0)
    whole = len(text) == 2 * _DIGITS and text.isdigit()
    return Use(int(text[:_DIGITS]), int(text[_DIGITS:])) if whole else None


def _note(ledger: BinaryIO, use: Use) -> None:
    os.pwrite(ledger.fileno(), b"%0*d%0*d" % (_DIGITS, use.pinned, _DIGITS, use.rolling), 0)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _time(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
