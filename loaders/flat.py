"""Flat: a batch crosses from a worker process in one buffer, whatever it is made of.

torch passes each tensor in shared memory of its own: a file, a descriptor and two mappings for every field, and for
every row of a ragged one. Here all their bytes lie one after another in one such memory, and the tensors of the batch
that arrives are views of it:

    pickle     {"image": tensor(buffer 0, uint8, shape, stride), "boxes": [tensor(buffer 1, ...), ...], "key": [...]}
    shared     | mark | buffer 0 | buffer 1 | ...      each begins at a multiple of 64

When the last of these tensors is gone, the worker uses the same memory for another batch.
"""

from __future__ import annotations

import io
import os
import pickle
import weakref
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..memory import KEPT, LARGE, in_large_blocks

_ALIGNED = 64
U8 = NDArray[np.uint8]
Flat = tuple[bytes, Tensor, list[int]]
"""The batch without its buffers, the buffers, and how many bytes each has."""


def flattened(batch: Mapping[str, Any]) -> Flat:
    """A batch's tensors and arrays in one shared memory; tensors elsewhere than on the CPU stay outside of it."""
    out, buffers = io.BytesIO(), list[pickle.PickleBuffer]()
    _Pickler(out, protocol=5, buffer_callback=buffers.append).dump(dict(batch))
    parts = [np.frombuffer(buffer.raw(), dtype=np.uint8) for buffer in buffers]
    sizes = [len(part) for part in parts]
    starts = _starts(sizes)
    shared = _blocks.lend(starts[-1])
    memory = shared.numpy()
    for start, part in zip(starts, parts, strict=False):
        memory[start : start + len(part)] = part
    return out.getvalue(), shared, sizes


def restored(data: bytes, shared: Tensor, sizes: Sequence[int]) -> dict[str, Any]:
    """The fields of a batch; its tensors are views of ``shared``, which lives as long as one of them."""
    memory = shared.numpy()  # slices of it hold it, not the tensor
    weakref.finalize(memory, _give_back, shared.numpy(), os.getpid())
    buffers = [memory[start : start + size] for start, size in zip(_starts(sizes), sizes, strict=False)]
    fields: dict[str, Any] = pickle.loads(data, buffers=buffers)  # noqa: S301 - written by a worker of this job
    return fields


def _starts(sizes: Sequence[int]) -> list[int]:
    """Where each buffer begins, behind the mark, and after the last how long all are."""
    return list(accumulate((-(-size // _ALIGNED) * _ALIGNED for size in sizes), initial=_ALIGNED))


class Blocks:
    """Shared memory of this process that is lent to whoever receives a batch, and lent again when it comes back.

    Its first byte says whether it is out: set here, cleared by the receiver when the last tensor of the batch is gone.
    New memory for each batch would be touched for the first time on both sides: half of what a batch costs on its way.
    """

    def __init__(self) -> None:
        self._blocks: list[Tensor] = []

    def lend(self, size: int) -> Tensor:
        """uint8 (at least ``size``,) that nobody else has. Of what came back KEPT blocks are kept that fit, too."""
        out = [block for block in self._blocks if block.numpy()[0]]
        back = [block for block in self._blocks if not block.numpy()[0] and size <= len(block) <= 2 * size + LARGE]
        block, *others = back or [_new(size)]
        block.numpy()[0] = 1
        self._blocks = [*out, block, *others[:KEPT]]
        return block


_blocks = Blocks()


def _new(size: int) -> Tensor:
    storage = torch.UntypedStorage._new_shared(in_large_blocks(size) if size > LARGE else size)  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=torch.uint8).set_(storage)


def _give_back(mark: U8, owner: int) -> None:
    """Clear a block's mark; not in a child that was forked meanwhile, whose copy of the batch says nothing of the owner's."""
    if os.getpid() == owner:
        mark[0] = 0


class _Pickler(pickle.Pickler):
    """Tensors as what they are made of; their bytes go to ``buffer_callback``, as numpy's do by themselves."""

    def reducer_override(self, value: Any) -> tuple[Callable[..., Any], tuple[Any, ...]] | Any:
        if type(value) is not Tensor or value.device.type != "cpu" or value.layout != torch.strided:
            return NotImplemented
        dense = value.detach()
        if not _is_dense(dense):
            dense = dense.contiguous()
        # a dense tensor's memory, in the order in which it lies there
        memory = dense.as_strided((dense.numel(),), (1,)).view(torch.uint8).numpy()
        return _tensor, (pickle.PickleBuffer(memory.data), dense.dtype, tuple(dense.shape), dense.stride())


def _is_dense(tensor: Tensor) -> bool:
    """Whether its elements fill their memory without gaps or overlaps, in any order of the axes."""
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


def _tensor(buffer: U8, dtype: torch.dtype, shape: Sequence[int], stride: Sequence[int]) -> Tensor:
    if len(buffer) == 0:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(buffer, dtype=dtype).as_strided(shape, stride)
