"""One epoch: position -> (shard, item, copy), the order over as many copies of each item as the sampler gives."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .order import EpochOrder, OrderSpec
from .rows import OPEN_SHARDS, Recent
from .samplers.systematic import Copies, OneEach, copy_major

I64 = NDArray[np.int64]


class Epoch:
    """A pure function of (copies, spec, epoch). Keeps the copies of shards in use, S numbers, nothing per item."""

    def __init__(self, copies: Copies, spec: OrderSpec, epoch: int) -> None:
        self.number = epoch
        self.order = EpochOrder(copies.totals(epoch), spec, epoch)
        self._copies = copies
        self._slots: Recent[tuple[I64, I64]] = Recent(OPEN_SHARDS)

    def __len__(self) -> int:
        return self.order.items

    def locate(self, positions: I64) -> tuple[I64, I64, I64]:
        """Shards, items within them and copy numbers, each (n,), of epoch positions (n,)."""
        shards, slots = self.order.locate(positions)
        if isinstance(self._copies, OneEach):
            return shards, slots, np.zeros_like(slots)
        items, copies = np.empty_like(slots), np.empty_like(slots)
        for shard in np.unique(shards):
            here = shards == shard
            table = self._slots.get(int(shard), self._laid_out)
            items[here], copies[here] = table[0][slots[here]], table[1][slots[here]]
        return shards, items, copies

    def _laid_out(self, shard: int) -> tuple[I64, I64]:
        return copy_major(self._copies.of(self.number, shard))
