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
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def decode_whole(data: bytes | memoryview) -> U8 | None:
    """(H, W, 3) RGB of the whole picture; None as ``decode_window``."""
    return _decode(data, None)


def _decode(data: bytes | memoryview, window: tuple[int, int, int, int] | None) -> U8 | None:
    found = library()
    if found is None:
        return None
    pixels = _attempt(found, data, window)
    if pixels is None:  # a decompressor that has met damage may refuse whole pictures for ever after
        del _local.decompressor
    return pixels


def _attempt(found: Any, data: bytes | memoryview, window: tuple[int, int, int, int] | None) -> U8 | None:
    handle, buffer = _handle(found), np.frombuffer(data, dtype=np.uint8)
    address, size = _address(buffer), len(buffer)
    if found.tj3DecompressHeader(handle, address, size):
        return None
    width, height = found.tj3Get(handle, WIDTH), found.tj3Get(handle, HEIGHT)
    block = BLOCK_WIDTHS.get(found.tj3Get(handle, SUBSAMPLING))
    left, top, right, bottom = window or (0, 0, width, height)
    if block is None or not (0 <= left < right <= width and 0 <= top < bottom <= height) or width * height > MAX_PIXELS:
        return None
    x0 = max(0, left - MARGIN) // block * block
    y0 = max(0, top - MARGIN)
    region = Region(x0, y0, min(width, right + MARGIN) - x0, min(height, bottom + MARGIN) - y0)
    if found.tj3SetCroppingRegion(handle, region):
        return None
    pixels = np.empty((region.h, region.w, 3), dtype=np.uint8)
    if found.tj3Decompress8(handle, address, size, _address(pixels), region.w * 3, RGB):
        return None
    return pixels[top - y0 : bottom - y0, left - x0 : right - x0]


def _address(array: U8) -> int:
    """``array.ctypes.data``, in a fifth of its time."""
    address: int = array.__array_interface__["data"][0]
    return address


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
