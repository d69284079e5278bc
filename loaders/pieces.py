"""Pieces: the parts of shards that a process has at hand, mapped from a file or held in memory.

Mapped pieces cost no memory of their own. Held ones are what the cache had no room for, so that a block is fetched
once while a lane passes through it, not once per sample:

    shard     |--------|========|--------|     the lane's window of 64 samples lies in one block or a few
    window              ^^^^^^                 its samples are wanted in any order, the block is held meanwhile

If more lanes are read side by side than blocks can be held, blocks are dropped before they were used. Fetching them
again for every sample would multiply the traffic, so such a block is not fetched as a whole a second time.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..memory import address_of
from .blocks import Span
from .counters import Tally
from .raw import Form
from .stages import STORAGE

MAPPED = 1024
"""Most pieces that stay mapped."""
HELD_BLOCKS, HELD_BYTES = 128, 512_000_000
"""The most that a process holds in memory: a window of 64 photos in each of 32 lanes lies in so many blocks of 4 MB."""
_UNUSED_SHARE = 8
_REMEMBERED = 4096
log = logging.getLogger("shardstream")


@dataclass(slots=True, eq=False)
class Piece:
    """Bytes of a shard from ``start`` on."""

    data: memoryview
    start: int
    serial: int
    """Different for each piece of a process, from 1 on: what was checked in one piece is not checked in another."""
    held: bool = False
    """Whether the bytes are in this process's memory, not in a mapped file."""
    used: int = 0
    """Bytes handed out of it."""
    arrays: dict[str, tuple[Form, NDArray[np.bool_]]] = field(default_factory=dict)
    """By field: the form of its plain arrays, and (rows of the shard,) which of them were found to be of it."""

    @property
    def address(self) -> int:
        """Where its first byte lies in this process."""
        return address_of(np.frombuffer(self.data, dtype=np.uint8))

    def cut(self, start: int, stop: int) -> memoryview:
        """Bytes [start, stop) of the shard, as far as they lie in this piece."""
        found = self.data[max(0, start - self.start) : max(0, stop - self.start)]
        self.used += len(found)
        return found


class Pieces:
    """The most recently used pieces. A piece is loaded once even where threads ask for it together."""

    def __init__(self, load: Callable[[Span], Piece], tally: Tally, held: int) -> None:
        self._load, self._tally, self._bound = load, tally, held
        self._mapped: OrderedDict[Span, Piece] = OrderedDict()
        self._held: OrderedDict[Span, Piece] = OrderedDict()
        self._loading: dict[Span, Future[Piece]] = {}
        self._wasted: OrderedDict[Span, None] = OrderedDict()
        self._bytes = 0
        self.crowded = False
        """Whether a piece was ever dropped before its time: there is too little memory."""
        self._warned = False
        self._lock = threading.Lock()

    def __contains__(self, span: Span) -> bool:
        """Whether a piece is at hand, or on its way."""
        return span in self._mapped or span in self._held or span in self._loading

    @property
    def holds(self) -> bool:
        """Whether anything is held in memory: the cache has no room."""
        return self._bytes > 0

    def get(self, span: Span) -> Piece:
        """A piece, loaded where it is absent; raises what loading raises."""
        while True:
            with self._lock:
                piece = self._recent(span)
                if piece is not None:
                    self._tally.block(hit=True)
                    return piece
                coming = self._loading.get(span)
                if coming is None:
                    mine = self._loading[span] = Future[Piece]()
            if coming is None:
                with STORAGE:
                    return self._loaded(span, mine)
            try:
                with STORAGE:
                    return coming.result()
            except CancelledError:
                continue  # whoever loaded it failed: find out ourselves why

    def wasted(self, span: Span) -> bool:
        """Whether a piece was dropped before an eighth of it was used: there is no room for pieces of its size."""
        return span in self._wasted

    def forget(self, span: Span) -> None:
        """Load a piece anew when it is next asked for."""
        with self._lock:
            self._mapped.pop(span, None)
            dropped = self._held.pop(span, None)
            self._bytes -= 0 if dropped is None else len(dropped.data)

    def begin_epoch(self) -> None:
        """What was wasted in another order may be held in this one."""
        with self._lock:
            self._wasted.clear()

    def warn(self) -> None:
        """Say once, where it is so, that there is too little memory and no other place."""
        if self.crowded and not self._warned:
            self._warned = True
            log.warning(
                "samples are read from more places side by side than blocks fit into %d MB of memory, and the cache has"
                " no room for them: they are fetched in smaller requests, some more than once. Give it more cache_bytes"
                " (cache_dir may lie in memory, too), or use more ranks or a smaller shuffle_window.",
                self._bound // 1_000_000,
            )

    def _recent(self, span: Span) -> Piece | None:
        for pieces in (self._mapped, self._held):
            if span in pieces:
                pieces.move_to_end(span)
                return pieces[span]
        return None

    def _loaded(self, span: Span, promise: Future[Piece]) -> Piece:
        try:
            piece = self._load(span)
            self._keep(span, piece)
            promise.set_result(piece)
            return piece
        finally:
            with self._lock:
                del self._loading[span]
            promise.cancel()  # where it has no result

    def _keep(self, span: Span, piece: Piece) -> None:
        with self._lock:
            if piece.held:
                self._held[span] = piece
                self._bytes += len(piece.data)
            else:
                self._mapped[span] = piece
            while len(self._mapped) > MAPPED:
                self._mapped.popitem(last=False)
            while self._bytes > self._bound and len(self._held) > 1:
                self._drop_oldest()

    def _drop_oldest(self) -> None:
        span, piece = self._held.popitem(last=False)
        self._bytes -= len(piece.data)
        if piece.used * _UNUSED_SHARE < len(piece.data):
            self.crowded = True
            self._wasted[span] = None
            if len(self._wasted) > _REMEMBERED:
                self._wasted.popitem(last=False)
