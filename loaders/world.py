"""``World``: which rank of how many this process is. Read from the environment, never from torch.distributed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import OptionError


@dataclass(frozen=True, slots=True)
class World:
    """One data-parallel rank. Ranks that must see the same samples (tensor parallel) share a World."""

    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world_size:
            raise OptionError(f"rank {self.rank} is not within a world of {self.world_size}; ranks count from 0.")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> World:
        """The World that torchrun and most launchers announce in RANK and WORLD_SIZE; alone where they are unset."""
        env = os.environ if environment is None else environment
        rank, size = env.get("RANK"), env.get("WORLD_SIZE")
        if (rank is None) != (size is None):
            raise OptionError(f"RANK is {rank!r} but WORLD_SIZE is {size!r}: set both, or neither, or pass world=.")
        try:
            return cls(int(rank or 0), int(size or 1))
        except ValueError as error:
            raise OptionError(
                f"RANK {rank!r} and WORLD_SIZE {size!r} must be whole numbers with 0 <= RANK < WORLD_SIZE."
            ) from error
