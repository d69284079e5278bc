"""``World``: which data-parallel rank of how many this process is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from ..errors import OptionError
from .launchers import announced


@dataclass(frozen=True, slots=True)
class World:
    """One data-parallel rank. Ranks that must see the same samples (tensor or pipeline parallel) share a World.

    ``World(rank, world_size)`` where they are known, for example of a DeviceMesh:
    ``World(mesh.get_local_rank("dp"), mesh["dp"].size())``.
    """

    rank: int = 0
    world_size: int = 1
    ranks_per_sample: int = field(default=1, compare=False, kw_only=True)
    """How many processes share this World."""
    source: str = field(default="given", compare=False, kw_only=True)
    """Where it was found, for messages: the variables, ``torch.distributed``, ``alone`` or ``given``."""

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world_size:
            raise OptionError(f"rank {self.rank} is not within a world of {self.world_size}; ranks count from 0.")

    @classmethod
    def of(cls, rank: int, world_size: int, *, ranks_per_sample: int = 1, source: str = "given") -> World:
        """The World of process ``rank`` of ``world_size``, where each ``ranks_per_sample`` neighbours share samples.

        ``ranks_per_sample`` is the product of the degrees that need the same batch: tensor, pipeline and context
        parallel, when those ranks are neighbours (the innermost dimensions of the mesh). Raises OptionError where it
        does not divide the world.
        """
        if ranks_per_sample < 1 or world_size % ranks_per_sample:
            raise OptionError(f"ranks_per_sample {ranks_per_sample} does not divide a world of {world_size} processes.")
        whole, share = cls(rank, world_size), ranks_per_sample  # checks the rank itself
        return cls(whole.rank // share, whole.world_size // share, ranks_per_sample=ranks_per_sample, source=source)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None, *, ranks_per_sample: int = 1) -> World:
        """What torchrun, Ray Train, srun, mpirun or a Kubernetes manifest announced; alone where nothing did.

        The variables are listed in ``launchers.py``. Where they do not tell, a process group that the caller has
        initialised does; none is ever initialised here. Raises OptionError, naming both values, where variables are
        incomplete or contradict each other or the group. With ``environment`` given, only that is read.
        """
        group = None if environment is not None else _group()
        try:
            found = announced(os.environ if environment is None else environment)
        except OptionError:
            if group is None:
                raise
            found = None
        if group is not None and (found is None or (found.rank, found.size) == group):
            return cls.of(*group, ranks_per_sample=ranks_per_sample, source="torch.distributed")
        if found is not None and group is not None:
            raise OptionError(
                f"{found}, but torch.distributed was initialised as rank {group[0]} of {group[1]}."
                " Unset the variables, or pass world=."
            )
        rank, size, source = (found.rank, found.size, str(found)) if found else (0, 1, "alone")
        return cls.of(rank, size, ranks_per_sample=ranks_per_sample, source=source)

    def confirm(self) -> None:
        """Raises OptionError where the process group, initialised since, has another rank or size than was found.

        That is what a launcher does which starts ranks after the loader was made: every rank would deliver everything.
        A World that was given is believed.
        """
        group = None if self.source == "given" else _group()
        if group is not None and World.of(*group, ranks_per_sample=self.ranks_per_sample) != self:
            raise OptionError(
                f"the loader was made for rank {self.rank} of {self.world_size} ({self.source}), and since then"
                f" torch.distributed was initialised as rank {group[0]} of {group[1]}. Make the loader after that (with"
                " Lightning: in train_dataloader()), or pass world=."
            )


def _group() -> tuple[int, int] | None:
    """Rank and size of the process group that the caller has initialised."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return None
