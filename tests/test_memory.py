"""Memory that is used again: never while somebody has it, and not more of it than promised."""

from __future__ import annotations

import gc
import threading
from typing import Any

import numpy as np
import pytest
import torch

from shardstream.memory import KEPT, KEPT_BYTES, LARGE, SIZES, _Free, _Slab, blank

CPU = torch.device("cpu")


def large(extra: int = 0) -> torch.Tensor:
    return blank((LARGE + extra,), torch.uint8, CPU)


def test_memory_comes_back_when_the_last_tensor_over_it_is_gone() -> None:
    """A view, a numpy array of it and a slice each hold it."""
    size = 64 * 12_345
    first = large(size)
    place = first.data_ptr()
    holders: list[Any] = [first.view(-1, 64)[3:], first.numpy()]
    del first
    while holders:
        other = large(size)
        assert other.data_ptr() != place
        holders.pop()
        gc.collect()
        del other
    found = [large(size) for _ in range(KEPT + 1)]
    assert place in [tensor.data_ptr() for tensor in found]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16, torch.float64])
def test_tensors_are_aligned_contiguous_and_of_the_asked_type(dtype: torch.dtype) -> None:
    """As torch's own are."""
    tensor = blank((3, 1_000, 1_003), dtype, CPU)
    assert tensor.data_ptr() % 64 == 0
    assert tensor.is_contiguous()
    assert (tensor.shape, tensor.dtype) == ((3, 1_000, 1_003), dtype)


def test_no_more_is_kept_than_promised() -> None:
    """Blocks of SIZES sizes, of small ones KEPT_BYTES, of large ones KEPT; the sizes that came first go first."""
    free = _Free()
    sizes = [KEPT_BYTES // 4 + size for size in range(4)] + [KEPT_BYTES + size for size in range(SIZES)]
    for size in sizes:
        for _ in range(6):
            free.give(np.empty(size, dtype=np.uint8))
    kept = {size: len(blocks) for size, blocks in free._blocks.items()}
    assert kept == dict.fromkeys(sizes[-SIZES:], KEPT)
    for _ in range(6):
        free.give(np.empty(KEPT_BYTES // 4, dtype=np.uint8))
    assert len(free._blocks[KEPT_BYTES // 4]) == 4


def test_batches_of_nearly_one_size_share_blocks() -> None:
    """The last one of an epoch is smaller; up to LARGE is left over."""
    first = large(LARGE - 64)
    place = first.data_ptr()
    del first
    assert place in [tensor.data_ptr() for tensor in [large(LARGE - 12_345) for _ in range(KEPT_BYTES // LARGE)]]


def test_threads_never_get_the_same_memory() -> None:
    """Each writes its number and finds it again."""
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(60):
            mine = large()
            mine[::4096] = number
            if int((mine[::4096] != number).sum()):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_part_of_a_slab_gives_nothing_back() -> None:
    """Only the whole of it does, once."""
    slab = np.empty(64, dtype=np.uint8).view(_Slab)
    slab.block = np.empty(64, dtype=np.uint8)
    assert slab[3:].block is None
    assert slab.view(np.uint16).block is None
    slab.block = None
