"""Memory for results: ordinary tensors, whatever it is made of."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import multiprocessing

from shardstream.memory import LARGE
from shardstream.transforms.memory import blank, copy_of, stack

from .samples import noise

CPU = torch.device("cpu")
BIG = (3, LARGE // 2 + 1)


@pytest.mark.parametrize("shape", [(0, 3, 8, 8), (2, 3, 5, 7), BIG])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16, torch.float64])
def test_blank_memory_is_contiguous_aligned_and_writable(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Small and large, any type; as torch.empty in all that can be seen."""
    made = blank(shape, dtype, CPU)
    assert (made.shape, made.dtype, made.device, made.is_contiguous()) == (shape, dtype, CPU, True)
    assert made.data_ptr() % 64 == 0
    made.fill_(3)
    assert made.sum() == 3 * made.numel() or dtype in (torch.uint8, torch.bfloat16)


def test_a_large_result_keeps_its_memory_and_can_leave_the_process() -> None:
    """A view outlives the tensor it was made from; workers share it, as any tensor."""
    made = blank(BIG, torch.uint8, CPU)
    made.fill_(7)
    view = made[1, -5:]
    del made
    gc.collect()
    others = [blank(BIG, torch.uint8, CPU).fill_(9) for _ in range(4)]
    assert view.tolist() == [7] * 5
    assert len(others) == 4
    shared = blank(BIG, torch.uint8, CPU).fill_(5).share_memory_()
    assert shared.is_shared()
    assert multiprocessing.reductions.reduce_tensor(shared)  # what a worker's queue calls


def test_copies_and_stacks_hold_the_same_values_and_nothing_of_the_source() -> None:
    """channels_last becomes contiguous; views of rows are stacked as torch.stack does."""
    images = noise(40, 3, 190, 190)
    copy = copy_of(images.contiguous(memory_format=torch.channels_last))
    assert torch.equal(copy, images)
    assert copy.is_contiguous()
    copy.zero_()
    assert images.any()
    rows = [image.flip(-1) for image in images]
    assert torch.equal(stack(rows), torch.stack(rows))


def test_other_devices_allocate_their_own() -> None:
    """meta stands for them."""
    assert blank(BIG, torch.float32, torch.device("meta")).device.type == "meta"
