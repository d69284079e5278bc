"""Plain: where the images of rows lie in this process's memory, when they are plain arrays of one form, verified.

member      whole in a piece that is sound    ->  its address there
across two pieces, or damaged     ->  read by itself: put together, fetched again, or an error
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xxhash
from numpy.typing import NDArray

from ..memory import address_of
from .pieces import Piece
from .raw import Bytes, Form, PlainRows, form_of
from .rows import Members
from .shard_bytes import ShardBytes

I64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PlainReader:
    """Rows (n,) of one shard's field, at least one."""

    here: ShardBytes
    members: Members
    name: str
    verify: bool
    member: Callable[[int], Bytes | None]
    """One row's bytes, verified; raises where they cannot be had."""

    def read(self, shard: int, rows: I64) -> PlainRows | None:
        """None where some are no plain arrays, or of another form than others."""
        starts, sizes = self.members.offset[rows], self.members.size[rows]
        first = self.member(int(rows[0])) if int(starts.min()) >= 0 else None
        form = None if first is None else form_of(first)
        if form is None:
            return None
        addresses = np.zeros(len(rows), dtype=np.int64)
        memory: list[Piece | Bytes] = []
        for piece, places in self.here.pieces(shard, starts, starts + sizes):
            sound = self._sound(piece, rows[places], form)
            if sound is None:
                return None
            here = places[sound]
            addresses[here] = starts[here] + (piece.address - piece.start + len(form.header))
            piece.used += len(here) * form.size
            memory.append(piece)
        for place in np.flatnonzero(addresses == 0).tolist():
            data = self.member(int(rows[place]))
            if data is None or not form.fits(data):
                return None
            addresses[place] = address_of(np.frombuffer(data, dtype=np.uint8)) + len(form.header)
            memory.append(data)
        return PlainRows(addresses, form.shape, memory)

    def _sound(self, piece: Piece, rows: I64, form: Form) -> NDArray[np.bool_] | None:
        """(n,) which rows have their checksum; None where one that has it is of another form. Each is looked at once."""
        if self.name not in piece.arrays:
            piece.arrays[self.name] = form, np.zeros(len(self.members.offset), dtype=np.bool_)
        known, seen = piece.arrays[self.name]
        if known != form:
            return None
        for row in rows[~seen[rows]].tolist():
            start, stop = self.members.extent(row)
            data = piece.data[start - piece.start : stop - piece.start]
            if self.verify and self.members.verified[row] != piece.serial:
                if xxhash.xxh3_64_intdigest(data) != int(self.members.checksum[row]):
                    continue
                self.members.verified[row] = piece.serial
            if not form.fits(data):
                return None
            seen[row] = True
        sound: NDArray[np.bool_] = seen[rows]
        return sound
