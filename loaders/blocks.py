"""Blocks: how a remote shard is cut for reading. No I/O.

    shard    |--------|--------|--------|-----------|    19 MB in blocks of 4 MB: the last takes the remainder
    number        0        1        2         3

So every read is at least a block, and a shard of less than two blocks is one: it is fetched whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

# Issue and simulator count in reads of at least 4 MB. Larger ones save little (a GET costs 0.5 ms of processor time
# in s3fs, 4 MB cost 6 ms) and cost much: every lane that a rank reads has a block or two waiting, and its first
# batch needs one for each of its samples.
BLOCK = 4_000_000
GRANULE = 2**18
"""The least that is worth a request, where there is no room for blocks."""


class Span(NamedTuple):
    """Bytes [start, stop) of a shard."""

    shard: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Grid:
    """A shard of ``total`` bytes in blocks of at least ``block`` bytes."""

    total: int
    block: int

    @property
    def count(self) -> int:
        return max(1, self.total // self.block)

    def bounds(self, number: int) -> tuple[int, int]:
        """First byte of a block, and the one behind its last."""
        start = number * self.block
        return start, self.total if number == self.count - 1 else start + self.block

    def number(self, offset: int) -> int:
        """The block that holds a byte."""
        return min(offset // self.block, self.count - 1)

    def covering(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Bounds of the blocks that bytes [start, stop) lie in; of an empty range, those of the block at its place."""
        numbers = range(self.number(start), self.number(max(start, stop - 1)) + 1)
        return [self.bounds(number) for number in numbers]
