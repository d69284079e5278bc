"""One buffer per batch: what arrives is what was sent, and owns its memory."""

from __future__ import annotations

import gc
import os
import pickle
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import shardstream as ss
from shardstream.loaders import flat
from shardstream.loaders.batch import Batch, RaggedImages
from shardstream.loaders.flat import Blocks, Flat, flattened, restored
from shardstream.memory import KEPT, LARGE

from .toy import pack_toy
from .toy_coco import pack_toy_coco

DTYPES = [torch.uint8, torch.bool, torch.int64, torch.float32, torch.bfloat16, torch.float16, torch.complex64]
VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "as it is": lambda t: t,
    "channels last": lambda t: t.movedim(0, -1),
    "every second": lambda t: t[::2],
    "turned": lambda t: t.transpose(0, -1),
    "one row": lambda t: t[:1],
    "none": lambda t: t[:0],
    "expanded": lambda t: t[:1].expand(3, *t.shape[1:]),
}


def there_and_back(batch: dict[str, Any]) -> dict[str, Any]:
    return restored(*flattened(batch))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(DTYPES), st.lists(st.integers(1, 5), min_size=1, max_size=4), st.sampled_from(sorted(VIEWS)))
def test_tensors_of_every_type_and_form_arrive(dtype: torch.dtype, shape: list[int], view: str) -> None:
    """Values, type, shape and, where there are no gaps, the order of the axes in memory."""
    sent = VIEWS[view]((torch.rand(shape) * 100).to(dtype))
    found = there_and_back({"x": [sent, {"y": (sent,)}]})["x"]
    for got in (found[0], found[1]["y"][0]):
        assert (got.dtype, got.shape) == (sent.dtype, sent.shape)
        assert torch.equal(got, sent)
        if view in ("channels last", "turned"):
            assert got.stride() == sent.stride()


def test_everything_that_is_no_tensor_arrives_too() -> None:
    """Keys, records, ragged images, arrays, numbers of no dimension."""
    ragged = RaggedImages(torch.arange(24, dtype=torch.uint8), torch.tensor([[2, 2], [2, 2]]))
    sent = {"key": ["a", "b"], "persons": [[{"age": 3}], []], "image": ragged, "array": np.arange(6).reshape(2, 3),
            "loss": torch.tensor(3.5), "none": None}  # fmt: skip
    found = there_and_back(sent)
    assert (found["key"], found["persons"], found["none"]) == (["a", "b"], [[{"age": 3}], []], None)
    assert torch.equal(found["image"].values, ragged.values)
    assert np.array_equal(found["array"], sent["array"])  # type: ignore[arg-type]
    assert found["loss"] == 3.5
    assert found["loss"].shape == ()


def test_one_shared_memory_holds_all_buffers() -> None:
    """A batch of many ragged rows too; each tensor can be changed and saved by itself."""
    sent = {"boxes": [torch.rand(n, 4) for n in range(50)], "image": torch.zeros(4, 3, 32, 32, dtype=torch.uint8)}
    data, shared, sizes = flattened(sent)
    assert shared.is_shared()
    assert len(data) < 20_000
    assert len(sizes) == 51
    found = restored(data, shared, sizes)
    del shared
    found["boxes"][7][:] = 9
    assert all(torch.equal(got, want) for got, want in zip(found["boxes"][8:], sent["boxes"][8:], strict=True))
    assert found["boxes"][7].untyped_storage().nbytes() == 7 * 16


def test_memory_is_lent_again_when_the_last_tensor_over_it_is_gone() -> None:
    """A view of one field and an array of another each hold it."""
    blocks = Blocks()
    first = blocks.lend(1_000)
    place = first.data_ptr()
    data, _, sizes = flattened({"x": torch.arange(40), "y": [torch.ones(3, 4), np.arange(5)]})
    first[64 : 64 + 64 * 9] = 0
    found = restored(data, first, sizes)
    del first
    holders: list[Any] = [found["x"][3:], found["y"][0].numpy(), found["y"][1]]
    del found
    while holders:
        gc.collect()
        assert blocks.lend(1_000).data_ptr() != place
        holders.pop()
    gc.collect()
    assert place in [blocks.lend(1_000).data_ptr() for _ in range(2)]


def test_nothing_is_lent_twice_and_little_is_kept() -> None:
    """A block that is too small, or far too large, goes; of those that fit KEPT stay beside the one that is lent."""
    blocks = Blocks()
    out = [blocks.lend(5_000) for _ in range(8)]
    assert len({block.data_ptr() for block in out}) == 8
    for block in out:
        block.numpy()[0] = 0
    again = blocks.lend(4_000)
    assert again.data_ptr() in {block.data_ptr() for block in out}
    assert len(blocks._blocks) == 1 + KEPT
    large = blocks.lend(10 * LARGE)
    assert len(large) >= 10 * LARGE
    large.numpy()[0] = again.numpy()[0] = 0
    small = blocks.lend(100)
    assert small.data_ptr() != large.data_ptr()
    assert len(blocks._blocks) <= 2 + KEPT


def test_a_forked_child_gives_nothing_back() -> None:
    """Its copy of the batch is not the receiver's."""
    blocks = Blocks()
    found = restored(*flattened_in(blocks, {"x": torch.arange(100)}))
    child = os.fork()
    if child == 0:
        del found
        gc.collect()
        os._exit(0)
    os.waitpid(child, 0)
    assert blocks._blocks[0].numpy()[0] == 1
    del found
    gc.collect()
    assert blocks._blocks[0].numpy()[0] == 0


def flattened_in(blocks: Blocks, batch: dict[str, Any]) -> Flat:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flat, "_blocks", blocks)
        return flattened(batch)


@pytest.mark.parametrize("persistent", [False, True])
def test_batches_that_are_kept_keep_their_values(tmp_path: Path, persistent: bool) -> None:
    """All of two epochs, while workers go on making others; what is dropped in between is used again."""
    ds = pack_toy(tmp_path / "out", 60)
    options: dict[str, Any] = {"batch_size": 4, "shuffle": True, "transform": ss.presets.train(32)}
    alone = ss.Loader(ds, **options)
    loader = ss.Loader(ds, num_workers=2, persistent_workers=persistent, **options)
    for _ in range(2):
        kept = [batch for number, batch in enumerate(loader) if number % 3]
        expected = [batch for number, batch in enumerate(alone) if number % 3]
        assert all(same(mine["image"], theirs["image"]) for mine, theirs in zip(kept, expected, strict=True))


def test_outside_of_workers_a_batch_is_pickled_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it can be saved to a file."""
    batch = Batch(key=["a"], x=torch.arange(3))
    assert batch.__reduce__()[0] is Batch
    found = pickle.loads(pickle.dumps(batch))
    assert type(found) is Batch
    assert torch.equal(found["x"], batch["x"])
    monkeypatch.setattr("shardstream.loaders.batch.get_worker_info", object)
    assert batch.__reduce__()[0].__name__ == "_restored"
    assert copy(batch)["x"] is batch["x"]


@pytest.mark.parametrize("kind", ["toy", "coco"])
def test_worker_processes_give_the_batches_that_this_process_makes(kind: str, tmp_path: Path) -> None:
    """Ragged boxes, masks and captions included."""
    ds = pack_toy(tmp_path / "out", 30, ragged=True) if kind == "toy" else pack_toy_coco(tmp_path / "out", 30)
    options: dict[str, Any] = {"batch_size": 4, "shuffle": True, "drop_last": False}
    here, there = (list(ss.Loader(ds, num_workers=workers, **options)) for workers in (0, 2))
    for mine, theirs in zip(here, there, strict=True):
        assert type(theirs) is Batch
        assert mine.keys() == theirs.keys()
        for name, value in mine.items():
            assert same(value, theirs[name]), name


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and one.stride() == other.stride() and torch.equal(one, other)
    if isinstance(one, list | RaggedImages):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)
