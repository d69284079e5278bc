"""Flat: a batch crosses from a worker process in one buffer, whatever it is made of.

torch passes each tensor in shared memory of its own: a file, a descriptor and two mappings for every field, and for
every row of a ragged one. Here all their bytes lie one after another in one such memory, and the tensors of the batch
that arrives are views of it:

    pickle     {"image": tensor(buffer 0, uint8, shape, stride), "boxes": [tensor(buffer 1, ...), ...], "key": [...]}
    shared     | buffer 0 | buffer 1 | ...      each begins at a multiple of 64
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
    shared = torch.empty(0, dtype=torch.uint8).set_(torch.UntypedStorage._new_shared(starts[-1]))  # type: ignore[no-untyped-call]
    memory = shared.numpy()
    for start, part in zip(starts, parts, strict=False):
        memory[start : start + len(part)] = part
    return out.getvalue(), shared, sizes


def restored(data: bytes, shared: Tensor, sizes: Sequence[int]) -> dict[str, Any]:
    """The fields of a batch; its tensors are views of ``shared``, which lives as long as one of them."""
    memory = shared.numpy()
    buffers = [memory[start : start + size] for start, size in zip(_starts(sizes), sizes, strict=False)]
    fields: dict[str, Any] = pickle.loads(data, buffers=buffers)  # noqa: S301 - written by a worker of this job
    return fields


def _starts(sizes: Sequence[int]) -> list[int]:
    """Where each buffer begins, and after the last how long all are."""
    return list(accumulate((-(-size // _ALIGNED) * _ALIGNED for size in sizes), initial=0))


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
