"""Saved places: small, checked, the same on every rank; with torchdata's and torch's own checkpointing."""

from __future__ import annotations

import itertools
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from hypothesis import given
from hypothesis import strategies as st
from torchdata.stateful_dataloader import StatefulDataLoader

import shardstream as ss

from ..index_only import pack_index_only


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    return pack_index_only(tmp_path_factory.mktemp("state") / "out", [9, 30, 1, 25, 12])


def keys(batches: Any) -> list[list[str]]:
    return [batch["key"] for batch in batches]


def made(ds: ss.ShardDataset, **options: Any) -> ss.Loader:
    return ss.Loader(ds, **{"global_batch_size": 10, "shuffle": True, "drop_last": False, **options})


def test_a_state_is_a_few_numbers_and_the_same_on_every_rank(ds: ss.ShardDataset) -> None:
    """So any rank's checkpoint restores all; it survives JSON."""
    states = []
    for rank in range(3):
        loader = made(ds, world=ss.World(rank, 3))
        list(itertools.islice(loader, 2))
        states.append(json.dumps(loader.state_dict()))
    assert len(set(states)) == 1
    assert len(states[0]) < 500


@pytest.mark.parametrize("view", ["image", "caption", "caption:random"])
@pytest.mark.parametrize("workers", [0, 2])
def test_restoring_at_every_step_gives_the_rest_of_two_epochs(
    ds: ss.ShardDataset, view: str, workers: int, tmp_path: Path
) -> None:
    """With batches prefetched that were not delivered; to the end of the next epoch."""
    reference = made(ds, view=view, num_workers=workers)
    states, batches = [reference.state_dict()], []
    for batch in itertools.chain(reference, reference):
        batches.append(batch["key"])
        states.append(reference.state_dict())
    for step in range(0, len(states), 1 if workers == 0 else 5):
        resumed = made(ds, view=view)
        resumed.load_state_dict(json.loads(json.dumps(states[step])))
        assert keys(itertools.chain.from_iterable(resumed for _ in range(2 - resumed.epoch))) == batches[step:]


def test_another_batch_size_is_accepted_with_one_warning_or_refused_when_strict(
    ds: ss.ShardDataset, caplog: pytest.LogCaptureFixture
) -> None:
    """The rest of the epoch is still exactly once; both sizes are named."""
    loader = made(ds)
    before = keys(itertools.islice(loader, 3))
    other = made(ds, global_batch_size=7)
    with caplog.at_level(logging.WARNING, "shardstream"):
        other.load_state_dict(loader.state_dict())
    (record,) = caplog.records
    assert (
        "saved with global batch size 10, here it is 7: the rest of the epoch is still exactly once" in record.message
    )
    rest = [key for batch in keys(other) for key in batch if key]
    assert sorted([*itertools.chain(*before), *rest]) == sorted(ds.index["key"].to_pylist())
    with pytest.raises(ss.StateError, match=r"size 10, here it is 7; pass global_batch_size=10, or strict=False"):
        made(ds, global_batch_size=7).load_state_dict(loader.state_dict(), strict=True)
    made(ds).load_state_dict(loader.state_dict(), strict=True)


@pytest.mark.parametrize(
    ("options", "differing"),
    [
        ({"seed": 1}, "seed: 0 saved, 1 here"),
        ({"view": "caption"}, "view: 'image' saved, 'caption:expand' here"),
        ({"shuffle": False}, "shuffle: True saved, False here"),
        ({"shuffle_lanes": 2}, "lanes: 1 saved, 2 here"),
        ({"shuffle_window": 8}, "window: 64 saved, 8 here"),
        ({"sampler": ss.samplers.Natural(size=50)}, r"sampler: 'Natural\(\)' saved, 'Natural\(size=50"),
    ],
)
def test_a_state_of_another_order_is_refused_naming_both(
    ds: ss.ShardDataset, options: dict[str, Any], differing: str
) -> None:
    """Everything that decides the order is part of it."""
    with pytest.raises(ss.StateError, match=differing):
        made(ds, **options).load_state_dict(made(ds).state_dict())


def test_a_selection_is_another_order(ds: ss.ShardDataset) -> None:
    """Its digest differs."""
    with pytest.raises(ss.StateError, match="digest"):
        made(ds.select(range(70))).load_state_dict(made(ds).state_dict())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**6) | st.text(max_size=3), lambda v: st.lists(v, max_size=2)
)


@given(st.sampled_from(["version", "epoch", "position", "global_batch_size", "fingerprint"]), JSON)
def test_a_damaged_state_is_refused_as_ours(ds: ss.ShardDataset, name: str, value: Any) -> None:
    """Never a KeyError, a TypeError, or a place outside the epoch."""
    loader = made(ds)
    state = {**loader.state_dict(), name: value}
    fine = name in ("epoch", "position", "global_batch_size") and type(value) is int and value >= 0
    if fine and not (name == "position" and value > len(ds)) and not (name == "global_batch_size" and value < 1):
        loader.load_state_dict(state)
    elif state != loader.state_dict():
        with pytest.raises(ss.StateError):
            loader.load_state_dict(state)
    with pytest.raises(ss.StateError):
        loader.load_state_dict({k: v for k, v in loader.state_dict().items() if k != name})


def test_a_place_beyond_the_epoch_is_refused(ds: ss.ShardDataset) -> None:
    """With the place and the epoch's size."""
    state = made(ds).state_dict()
    made(ds).load_state_dict({**state, "position": len(ds)})
    with pytest.raises(ss.StateError, match=f"position {len(ds) + 1} of an epoch of {len(ds)} items"):
        made(ds).load_state_dict({**state, "position": len(ds) + 1})


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")  # torchdata 0.11 calls it; torch 2.15 minds
@pytest.mark.parametrize("workers", [0, 2, 3])
def test_inside_torchdatas_stateful_dataloader_every_step_restores(ds: ss.ShardDataset, workers: int) -> None:
    """Its own snapshots, per worker; prefetched batches are not lost and not repeated."""

    def loader(epoch: int = 0) -> StatefulDataLoader:
        stream = ss.Stream(ds, batch_size=10, shuffle=True, drop_last=False)
        stream.set_epoch(epoch)
        return StatefulDataLoader(stream, batch_size=None, num_workers=workers)

    whole = keys(loader(1))
    reference = loader(1)
    states = [reference.state_dict() for _ in reference]
    for step, state in enumerate(states[:-1] if workers == 0 else states[1:-1:3]):
        resumed = loader()
        resumed.load_state_dict(state)
        done = step + 1 if workers == 0 else 3 * step + 2
        assert keys(resumed) == whole[done:]


def test_a_stateful_dataloader_with_other_workers_is_refused(ds: ss.ShardDataset) -> None:
    """One state per worker cannot be dealt to another number; ss.Loader can."""
    stream = ss.Stream(ds, batch_size=10, shuffle=True)
    state = iter(stream).state_dict()
    with pytest.raises(ss.StateError, match=r"saved with 3 workers .* here there are 1"):
        iter(stream).load_state_dict({**state, "workers": 3})
    other = ss.Stream(ds, batch_size=5, shuffle=True)
    with pytest.raises(ss.StateError, match="batches of 10, here there are 1 and 5"):
        iter(other).load_state_dict(state)


class Job:
    """What a trainer hands to torch.distributed.checkpoint: model and loader, both with a state of their own."""

    def __init__(self, ds: ss.ShardDataset) -> None:
        self.model, self.loader = torch.nn.Linear(2, 2), made(ds)

    def state(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "loader": self.loader}


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")  # so it is here: one process
def test_torch_distributed_checkpoint_saves_and_restores_a_loader(ds: ss.ShardDataset, tmp_path: Path) -> None:
    """As a Stateful object, beside a model, without a process group."""
    job = Job(ds)
    whole = keys(job.loader)
    job.loader.set_epoch(0)
    list(itertools.islice(job.loader, 4))
    dcp.save(job.state(), checkpoint_id=tmp_path / "step-4", no_dist=True)
    fresh = Job(ds)
    dcp.load(fresh.state(), checkpoint_id=tmp_path / "step-4", no_dist=True)
    assert keys(fresh.loader) == whole[4:]
