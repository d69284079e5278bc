"""Raw: images that are kept as plain uint8 arrays (``.npy`` members), read without a decoder.

Members of one size lie at one distance from each other in a tar, so the pixels of a mapped shard are a table, and the
rows of a batch are gathered from it in one step:

    ... | tar header 512 | npy header 128 | h * w * 3 pixels | padding | tar header 512 | ...
                         ^ first          |<-- a row of the table -->|
                         |<--------------------- stride --------------------------->|
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.lib import format as npy
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from .rows import Members

U8 = NDArray[np.uint8]
I64 = NDArray[np.int64]
_MAGIC = b"\x93NUMPY\x01\x00"
_PREFIX = len(_MAGIC) + 2
Shape = tuple[int, int, int]
CACHED = 2**17
"""Bytes on their way from a shard to a batch: fresh memory for more would cost more than the copy."""


@dataclass(frozen=True, slots=True)
class ArrayTable:
    """The arrays of a whole shard as views of its mapped bytes; nothing is read until rows are taken."""

    header: U8
    """The npy header of the first member, as of all that are rows here."""
    headers: U8
    """(rows, bytes of a header)"""
    pixels: U8
    """(rows, bytes of an image)"""
    shape: Shape

    def holds(self, rows: I64) -> bool:
        """Whether the headers of rows (n,) say what the first one's says."""
        return bool((self.headers[rows] == self.header).all())

    def copy_into(self, out: U8, places: I64, rows: I64) -> None:
        """``out[places] = rows``, (n, H, W, 3) of (k,) rows that it holds; in pieces that stay in a CPU's cache."""
        flat = out.reshape(len(out), -1)
        step = max(1, CACHED // flat.shape[1])
        for start in range(0, len(rows), step):
            flat[places[start : start + step]] = self.pixels[rows[start : start + step]]


def array_table(data: memoryview, members: Members) -> ArrayTable | None:
    """The members of a mapped shard as a table; None where they are not of one size at one distance, or no such arrays."""
    offsets, size = members.offset, int(members.size[0]) if len(members.size) else 0
    stride = int(offsets[1] - offsets[0]) if len(offsets) > 1 else size
    regular = bool((members.size == size).all() and (np.diff(offsets) == stride).all())
    first = int(offsets[0]) if len(offsets) else -1
    if not regular or first < 0 or stride < size or first + stride * (len(offsets) - 1) + size > len(data):
        return None
    shape, start = _layout_of(data[first : first + size])
    if shape is None:
        return None
    bytes_of = np.frombuffer(data, dtype=np.uint8)[first:]
    table = as_strided(bytes_of, (len(offsets), size), (stride, 1), writeable=False)
    return ArrayTable(bytes_of[:start], table[:, :start], table[:, start:], shape)


def plain_array(data: memoryview | bytes) -> U8 | None:
    """A view (H, W, 3) of one member's pixels; None where it is no plain uint8 array of that form."""
    shape, start = _layout_of(data)
    return None if shape is None else np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape)


def _layout_of(data: memoryview | bytes) -> tuple[Shape | None, int]:
    """The shape of a member's array and where its pixels begin; None where it needs the careful reader."""
    if bytes(data[: len(_MAGIC)]) != _MAGIC or len(data) < _PREFIX:
        return None, 0
    start = _PREFIX + int.from_bytes(data[len(_MAGIC) : _PREFIX], "little")
    shape = _shape(bytes(data[:start]))
    if shape is None or len(data) - start != shape[0] * shape[1] * shape[2]:
        return None, 0
    return shape, start


@lru_cache(maxsize=1024)
def _shape(header: bytes) -> Shape | None:
    """What an npy header of version 1 says, where that is (H, W, 3) of uint8, row by row."""
    try:
        shape, fortran_order, dtype = npy.read_array_header_1_0(io.BytesIO(header[len(_MAGIC) :]))
    except ValueError:
        return None
    if fortran_order or dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or min(shape) < 1:
        return None
    return shape[0], shape[1], shape[2]
