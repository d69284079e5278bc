"""What every rank collected, brought together."""

from __future__ import annotations

from typing import TypeVar

import torch

T = TypeVar("T")


def of_all_ranks(mine: T) -> list[T]:
    """``mine`` of each rank of an initialised process group, by rank, on every rank; ``[mine]`` without a group.

    Values are pickled, as ``torch.distributed.all_gather_object`` does it. Every rank must call.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [mine]
    parts = [mine] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, mine)
    return parts
