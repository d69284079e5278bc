"""libturbojpeg 3 by ctypes: the one public interface that decodes a part of a JPEG. Decoding releases the interpreter lock.

The library comes with the package ``turbojpeg`` (whose own Python interface has no regions), with the system, or from
``$SHARDSTREAM_TURBOJPEG``. Versions below 3 have no regions and are not taken.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.metadata
import os
from collections.abc import Iterator
from functools import cache
from typing import Any

VARIABLE = "SHARDSTREAM_TURBOJPEG"
# turbojpeg.h, libjpeg-turbo 3.0: enum TJPARAM, TJPF, TJINIT
SUBSAMPLING, WIDTH, HEIGHT = 4, 5, 6
INIT_DECOMPRESS, RGB, SCAN_LIMIT = 1, 0, 13
# enum TJSAMP -> width of a block of pixels that is decoded together
BLOCK_WIDTHS = {0: 8, 1: 16, 2: 16, 3: 8, 4: 8, 5: 32, 6: 8}
"""4:4:4, 4:2:2, 4:2:0, grey, 4:4:0, 4:1:1, 4:4:1."""
_HANDLE, _SIZE, _INT, _ADDRESS = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p


class Region(ctypes.Structure):
    """``tjregion``: a part of the picture; width and height 0 mean to the end."""

    _fields_ = (("x", _INT), ("y", _INT), ("w", _INT), ("h", _INT))


@cache
def library() -> Any | None:
    """The loaded library; None where there is none of version 3."""
    for path in _candidates():
        try:
            found, keeps_lock = ctypes.CDLL(path), ctypes.PyDLL(path)
        except OSError:  # not there, or built for another machine
            continue
        if hasattr(found, "tj3SetCroppingRegion"):
            return _declared(found, keeps_lock)
    return None


def _candidates() -> Iterator[str]:
    if VARIABLE in os.environ:
        yield os.environ[VARIABLE]
    try:
        files = importlib.metadata.files("turbojpeg") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    yield from (str(file.locate()) for file in files if "libturbojpeg" in file.name or "turbojpeg.dll" in file.name)
    system = ctypes.util.find_library("turbojpeg")
    if system is not None:
        yield system


def _declared(found: Any, keeps_lock: Any) -> Any:
    """Argument types, without which a pointer of 64 bits would be cut to 32.

    Of what takes a microsecond the interpreter lock is kept: to get it back a thread may wait far longer than that.
    """
    for name, result, arguments in (
        ("tj3Init", _HANDLE, (_INT,)),
        ("tj3Destroy", None, (_HANDLE,)),
        ("tj3Set", _INT, (_HANDLE, _INT, _INT)),
        ("tj3Get", _INT, (_HANDLE, _INT)),
        ("tj3DecompressHeader", _INT, (_HANDLE, _ADDRESS, _SIZE)),
        ("tj3SetCroppingRegion", _INT, (_HANDLE, Region)),
        ("tj3Decompress8", _INT, (_HANDLE, _ADDRESS, _SIZE, _ADDRESS, _INT, _INT)),
        ("tj3GetErrorStr", ctypes.c_char_p, (_HANDLE,)),
    ):
        function = getattr(found if name == "tj3Decompress8" else keeps_lock, name)
        function.restype, function.argtypes = result, arguments
        setattr(found, name, function)
    return found
