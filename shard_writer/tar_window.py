"""Few, rightly sized reads of a file that is scanned forwards with gaps."""

from __future__ import annotations

from typing import IO

from ..errors import StorageError
from .tar_errors import Place

_SMALL = 4 * 1024
_LARGE = 1024 * 1024


class Window:
    """A forward-moving buffer over ``size`` bytes of a seekable binary file.

    One read at a gap costs 4 KiB (a header and the small members after it); while requests follow one another
    closely the window doubles up to 1 MiB, so shards of tiny members are read in large pieces:

        headers | large payload (skipped by seek) | header, small, header, small, header ...
        [4 KiB]                                   [4 KiB][   8 KiB   ][      16 KiB      ...
    """

    __slots__ = ("_buffer", "_file", "_start", "_step", "size", "url")

    def __init__(self, file: IO[bytes], url: str, size: int) -> None:
        self.url = url
        self.size = size
        self._file = file
        self._buffer = b""
        self._start = 0
        self._step = _SMALL // 2

    def read(self, start: int, count: int, expected: str) -> bytes:
        """Bytes [start, start + count); raises CorruptTar, naming what was ``expected``, where the file is shorter."""
        if start + count > self.size:
            left = max(0, self.size - start)
            raise Place(self.url, start).corrupt(expected, f"{left} bytes and the end of the file: it was cut short")
        at = start - self._start
        if at < 0 or at + count > len(self._buffer):
            self._fill(start, count)
            at = 0
        return self._buffer[at : at + count]

    def _fill(self, start: int, count: int) -> None:
        gap = start - (self._start + len(self._buffer))
        self._step = min(2 * self._step, _LARGE) if gap < self._step else _SMALL
        length = min(max(count, self._step), self.size - start)
        self._buffer = self._fetch(start, length)
        self._start = start

    def _fetch(self, start: int, length: int) -> bytes:
        pieces: list[bytes] = []
        left = length
        try:
            self._file.seek(start)
            while left and (piece := self._file.read(left)):
                pieces.append(piece)
                left -= len(piece)
        except OSError as error:
            raise StorageError(f"cannot read {self.url} from byte {start}: {error}") from error
        if left:
            place = Place(self.url, start + length - left)
            raise place.corrupt(f"{left} more bytes of a file of {self.size} bytes", "the end of the file")
        return b"".join(pieces)
