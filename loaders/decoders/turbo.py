"""A window of a JPEG without decoding the rest: the same pixels, bit for bit, as the whole picture cropped.

Rows above and below the window are skipped, and of its rows only the blocks that it touches are decoded:

    +--------------------------+      x0 is a block's edge at least MARGIN left of the window, since colours that are
    |  skipped                 |      stored at half width are interpolated from their neighbours; what was decoded
    |---x0=====left======+-----|      beyond the window is cut off.
    |   |  | window |    |     |
    +--------------------------+
"""

from __future__ import annotations

import ctypes
import threading
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...memory import address_of
from .turbo_library import (
    BLOCK_WIDTHS,
    HEIGHT,
    INIT_DECOMPRESS,
    RGB,
    SCAN_LIMIT,
    SUBSAMPLING,
    WIDTH,
    Region,
    library,
)

U8 = NDArray[np.uint8]
Window = tuple[int, int, int, int]
"""Left, top, right, bottom."""
MARGIN = 4
MAX_PIXELS = 89_478_485
"""Pillow's bound on what is decoded without question; larger pictures are left to it."""
MAX_SCANS = 500
"""A progressive picture of more scans is left to the careful decoder: thousands of them can take minutes."""
_local = threading.local()


def available() -> bool:
    """Whether this machine has a libturbojpeg that decodes windows."""
    return library() is not None


def decode_window(data: bytes | memoryview, left: int, top: int, right: int, bottom: int) -> U8 | None:
    """(bottom - top, right - left, 3) RGB of a window inside the picture; a view of what was decoded.

    None where this decoder is not sure of the result: no library, no JPEG, damage, CMYK, rare subsamplings, a window
    outside the picture. Another decoder then decides. Thread-safe; releases the interpreter lock.
    """
    return _decode(data, (left, top, right, bottom))


def decode_placed(data: bytes | memoryview, left: int, top: int, right: int, bottom: int) -> U8 | None:
    """(bottom, right, 3): the window at its own place; what lies above and left of it is undefined. As ``decode_window``."""
    return _decode(data, (left, top, right, bottom), placed=True)


def decode_whole(data: bytes | memoryview) -> U8 | None:
    """(H, W, 3) RGB of the whole picture; None as ``decode_window``."""
    return _decode(data, None)


def picture_size(data: bytes | memoryview) -> tuple[int, int] | None:
    """Height and width that the header says; None as ``decode_window``."""
    found = library()
    frame = None if found is None else _frame(found, np.frombuffer(data, dtype=np.uint8))
    return None if frame is None else (frame.height, frame.width)


def _decode(data: bytes | memoryview, window: Window | None, placed: bool = False) -> U8 | None:
    found = library()
    if found is None:
        return None
    pixels = _attempt(found, np.frombuffer(data, dtype=np.uint8), window, placed)
    if pixels is None:  # a decompressor that has met damage may refuse whole pictures for ever after
        del _local.decompressor
    return pixels


class _Frame(NamedTuple):
    """What the decompressor of this thread has read of a header."""

    height: int
    width: int
    block: int
    """Width of what is decoded together."""


def _frame(found: Any, buffer: U8) -> _Frame | None:
    handle = _handle(found)
    if found.tj3DecompressHeader(handle, address_of(buffer), len(buffer)):
        return None
    block = BLOCK_WIDTHS.get(found.tj3Get(handle, SUBSAMPLING))
    width, height = found.tj3Get(handle, WIDTH), found.tj3Get(handle, HEIGHT)
    return None if block is None or width * height > MAX_PIXELS else _Frame(height, width, block)


def _attempt(found: Any, buffer: U8, window: Window | None, placed: bool) -> U8 | None:
    frame = _frame(found, buffer)
    if frame is None:
        return None
    left, top, right, bottom = window or (0, 0, frame.width, frame.height)
    if not (0 <= left < right <= frame.width and 0 <= top < bottom <= frame.height):
        return None
    x0, y0 = max(0, left - MARGIN) // frame.block * frame.block, max(0, top - MARGIN)
    x1, y1 = min(frame.width, right + MARGIN), min(frame.height, bottom + MARGIN)
    if found.tj3SetCroppingRegion(_handle(found), Region(x0, y0, x1 - x0, y1 - y0)):
        return None
    x, y = (0, 0) if placed else (x0, y0)  # of the first pixel in memory
    pixels = np.empty((y1 - y, x1 - x, 3), dtype=np.uint8)
    line = 3 * (x1 - x)
    start = address_of(pixels) + (y0 - y) * line + (x0 - x) * 3
    if found.tj3Decompress8(_handle(found), address_of(buffer), len(buffer), start, line, RGB):
        return None
    return pixels[:bottom, :right] if placed else pixels[top - y : bottom - y, left - x : right - x]


def _handle(found: Any) -> ctypes.c_void_p:
    """One decompressor per thread; it is kept, since making one takes as long as decoding a thumbnail."""
    if not hasattr(_local, "decompressor"):
        _local.decompressor = _Decompressor(found)
    handle: ctypes.c_void_p = _local.decompressor.handle
    return handle


class _Decompressor:
    def __init__(self, found: Any) -> None:
        self._library = found
        self.handle = found.tj3Init(INIT_DECOMPRESS)
        if not self.handle:
            raise MemoryError("libturbojpeg could not make a decompressor")
        found.tj3Set(self.handle, SCAN_LIMIT, MAX_SCANS)

    def __del__(self) -> None:
        self._library.tj3Destroy(self.handle)
