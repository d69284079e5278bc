"""How trainers drive a loader: they number the epochs, count the batches, and skip those they have had."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest

import shardstream as ss

from ..index_only import pack_index_only

EPOCHS = 3


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    return pack_index_only(tmp_path_factory.mktemp("epochs") / "out", [9, 30, 1, 25, 12])


def made(ds: ss.ShardDataset) -> ss.Loader:
    return ss.Loader(ds, global_batch_size=10, shuffle=True, world=ss.World(0, 1))


def keys(batches: Any) -> list[list[str]]:
    return [batch["key"] for batch in batches]


@pytest.fixture(scope="module")
def whole(ds: ss.ShardDataset) -> list[list[list[str]]]:
    """The batches of each epoch."""
    loader = made(ds)
    return [keys(loader) for _ in range(EPOCHS)]


def test_who_counts_batches_gets_the_next_epoch(ds: ss.ShardDataset, whole: list[list[list[str]]]) -> None:
    """Lightning never asks for the batch after the last; an epoch left before its last batch comes again."""
    loader = made(ds)
    assert [keys(itertools.islice(loader, len(loader))) for _ in range(EPOCHS)] == whole
    early = made(ds)
    assert [keys(itertools.islice(early, len(early) - 1)) for _ in range(2)] == [whole[0][:-1]] * 2


@pytest.mark.parametrize("step", range(8))
def test_a_loop_that_sets_every_epoch_resumes_where_it_stopped(
    ds: ss.ShardDataset, whole: list[list[list[str]]], step: int
) -> None:
    """set_epoch(e) after load_state_dict, as loops around DistributedSampler call it, keeps the restored place."""
    loader = made(ds)
    loader.set_epoch(1)
    list(itertools.islice(loader, step))
    state, resumed = loader.state_dict(), made(ds)
    resumed.load_state_dict(state)
    found = []
    for epoch in range(resumed.epoch, EPOCHS):
        resumed.sampler.set_epoch(epoch)
        found += keys(resumed)
    assert found == [*whole[1], *whole[2]][step if step < 7 else 7 :]


def test_another_epoch_or_a_second_call_begins_at_the_start(ds: ss.ShardDataset, whole: list[list[list[str]]]) -> None:
    """Only the restored place is kept, once."""
    loader = made(ds)
    list(itertools.islice(loader, 3))
    state = loader.state_dict()
    loader.load_state_dict(state)
    loader.set_epoch(2)
    assert keys(loader) == whole[2]
    loader.load_state_dict(state)
    assert keys(itertools.islice(loader, 2)) == whole[0][3:5]
    loader.set_epoch(0)
    assert keys(loader) == whole[0]


@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_batches_that_the_hf_trainer_skips_are_not_read(
    ds: ss.ShardDataset, whole: list[list[list[str]]], accumulate: int
) -> None:
    """accelerate.skip_first_batches at every step of two epochs."""
    skip = pytest.importorskip("accelerate").skip_first_batches
    updates = -(-7 // accumulate)
    for done in range(2 * updates):
        loader = ss.Loader(ds, global_batch_size=10, shuffle=True, world=ss.World(0, 1))
        trainer = SimpleNamespace(
            state=SimpleNamespace(global_step=done),
            args=SimpleNamespace(gradient_accumulation_steps=accumulate),
        )
        epoch, skipped = done // updates, done % updates * accumulate
        given = ss.hf_loader(trainer, loader, ("key",))
        assert keys(skip(given, skipped)) == whole[epoch][skipped:]
        assert loader.metrics().batches == 7 - skipped
        given.set_epoch(epoch + 1)
        assert keys(given) == keys(whole_of(ds, epoch + 1))


def whole_of(ds: ss.ShardDataset, epoch: int) -> ss.Loader:
    loader = made(ds)
    loader.set_epoch(epoch)
    return loader


def test_the_hf_trainer_gets_the_fields_that_the_model_names(ds: ss.ShardDataset) -> None:
    """Neither keys nor flags reach a model that does not ask for them."""

    class Model:
        def forward(self, index: Any, labels: Any = None) -> None: ...

    trainer = SimpleNamespace(model=Model(), label_names=["copy"])
    loader = ss.hf_loader(trainer, made(ds))
    assert [set(batch) for batch in loader] == [{"index", "copy"}] * 7
    assert len(loader.dataset) == 77


def test_accelerate_prepares_nothing_of_a_loader(ds: ss.ShardDataset) -> None:
    """It comes back as it went in."""
    accelerate = pytest.importorskip("accelerate")
    loader = made(ds)
    assert accelerate.Accelerator(cpu=True).prepare(loader) is loader
