"""Raw: images that are kept as plain uint8 arrays (``.npy`` members), read without a decoder.

Behind its header such a member is nothing but pixels, so the images of a batch are copied in one step from wherever they
lie, in mapped shards or in blocks of remote ones, to where they stand in the batch:

    shard 7   ... | tar header | npy header | pixels | ... | tar header | npy header | pixels | ...
                                            ^ address                                ^ address
    batch     row 0, row 1, ...  <── copied from (n,) addresses
"""

from __future__ import annotations

import ctypes
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray

from ..memory import address_of, room
from .gather import Gather
from .stages import FETCH

U8 = NDArray[np.uint8]
I64 = NDArray[np.int64]
Bytes = memoryview | bytes
Shape = tuple[int, int, int]
_MAGIC = b"\x93NUMPY\x01\x00"
_PREFIX = len(_MAGIC) + 2
LARGE = 2**15
"""Bytes of a row from which on a call for each costs nothing beside the copy."""


class Form(NamedTuple):
    """What the header of a plain array says."""

    header: bytes
    shape: Shape

    @property
    def size(self) -> int:
        """Bytes of a member."""
        return len(self.header) + self.shape[0] * self.shape[1] * self.shape[2]

    def fits(self, data: Bytes) -> bool:
        """Whether a member is another of these."""
        return len(data) == self.size and data[: len(self.header)] == self.header


@dataclass(frozen=True, slots=True)
class PlainRows:
    """Where the pixels of rows lie in memory, in this process."""

    addresses: I64
    """(n,)"""
    shape: Shape
    memory: Sequence[Any] = field(repr=False)
    """Keeps what lies there from being given back."""

    def room(self) -> U8:
        """(n, H, W, 3) for the images, which ``copy_rows`` puts there."""
        return room((len(self.addresses), *self.shape), np.dtype(np.uint8))


def gathered(found: Gather, plain: Callable[[int, I64], PlainRows | None]) -> PlainRows | None:
    """The rows of a batch, of which ``plain(shard, rows)`` says where those of a shard lie.

    None where some are no plain arrays, or of another shape than others: each must then be decoded by itself.
    """
    with FETCH:
        parts: list[PlainRows] = []
        for share in found.shares:
            part = plain(share.shard, share.rows)
            if part is None or (parts and part.shape != parts[0].shape):
                return None
            parts.append(part)
        addresses = found.join([part.addresses for part in parts], np.int64)
        return PlainRows(addresses, parts[0].shape, [held for part in parts for held in part.memory])


def copy_rows(addresses: I64, out: U8) -> None:
    """``out[i]`` becomes the bytes at ``addresses[i]``, whose memory the caller holds; one copy, without the interpreter lock."""
    flat = out.reshape(len(out), -1)
    size = flat.shape[1]
    if size >= LARGE:
        start = address_of(flat)
        for row, address in enumerate(addresses.tolist()):
            ctypes.memmove(start + row * size, address, size)
        return
    # All memory between the lowest and the highest address as a table of its bytes: row a begins at byte a, so rows
    # overlap, and what lies in between is never touched. torch's index_select needs no temporary copy, as numpy does.
    base = int(addresses.min())
    table = np.asarray(_Memory(base, int(addresses.max()) - base + 1, size))
    torch.index_select(torch.from_numpy(table), 0, torch.from_numpy(addresses - base), out=torch.from_numpy(flat))


class _Memory:
    """(rows, size) bytes from an address on, each row a byte behind the one before. Said to be writable, or torch warns."""

    def __init__(self, address: int, rows: int, size: int) -> None:
        self.__array_interface__ = {
            "version": 3,
            "typestr": "|u1",
            "data": (address, False),
            "shape": (rows, size),
            "strides": (1, 1),
        }


def plain_array(data: Bytes) -> U8 | None:
    """A view (H, W, 3) of one member's pixels; None where it is no plain uint8 array of that form."""
    form = form_of(data)
    return None if form is None else np.frombuffer(data, dtype=np.uint8, offset=len(form.header)).reshape(form.shape)


def form_of(data: Bytes) -> Form | None:
    """What a member's header says; None where it needs the careful reader."""
    if bytes(data[: len(_MAGIC)]) != _MAGIC or len(data) < _PREFIX:
        return None
    form = _form(bytes(data[: _PREFIX + int.from_bytes(data[len(_MAGIC) : _PREFIX], "little")]))
    return form if form is not None and form.fits(data) else None


@lru_cache(maxsize=1024)
def _form(header: bytes) -> Form | None:
    """What an npy header of version 1 says, where that is (H, W, 3) of uint8, row by row."""
    try:
        shape, fortran_order, dtype = npy.read_array_header_1_0(io.BytesIO(header[len(_MAGIC) :]))
    except ValueError:
        return None
    if fortran_order or dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or min(shape) < 1:
        return None
    return Form(header, shape)
