"""Exactly once, deterministic, elastic: over worlds, workers, batch sizes and shards of any number and size."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import shardstream as ss
from shardstream.loaders.state import BatchIterator, Place

from ..index_only import pack_index_only

LAYOUTS = {
    "one shard": [37],
    "fewer shards than ranks": [20, 3],
    "uneven": [1, 50, 2, 2, 31, 7, 1],
    "many": [4, 3, 5] * 13,
}
Dealt = list[list[tuple[int, int]]]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ss.ShardDataset]:
    return {name: pack_index_only(tmp_path_factory.mktemp("i") / "out", sizes) for name, sizes in LAYOUTS.items()}


def rows_of(batch: ss.Batch) -> list[tuple[int, int]]:
    """(index, copy) of the rows that count."""
    return [
        (int(index), int(copy))
        for index, copy, valid in zip(batch["index"], batch["copy"], batch["valid"], strict=True)
        if valid
    ]


def dealt(
    ds: ss.ShardDataset, world: int, workers: int = 0, epoch: int = 0, position: int = 0, **options: Any
) -> Dealt:
    """Per step the rows of all ranks together; workers take turns as DataLoader lets them, without its processes."""
    ranks = []
    for rank in range(world):
        stream = ss.Stream(ds, world=ss.World(rank, world), **options)
        shares = [(worker, max(workers, 1)) for worker in range(max(workers, 1))]
        place = Place(epoch, position, stream.config.global_batch)
        takers = [iter(BatchIterator(stream, place, share, stream.maker(epoch))) for share in shares]
        turns = itertools.zip_longest(*takers)
        ranks.append([batch for turn in turns for batch in turn if batch is not None])
        assert all(len(batch["key"]) == stream.config.rows for batch in ranks[-1])
    assert len({len(batches) for batches in ranks}) == 1, "every rank takes the same number of steps"
    return [[row for batch in step for row in rows_of(batch)] for step in zip(*ranks, strict=True)]


CASES = {
    "layout": st.sampled_from(list(LAYOUTS)),
    "world": st.integers(1, 9),
    "workers": st.integers(0, 4),
    "batch": st.integers(1, 40),
    "shuffle": st.booleans(),
    "seed": st.integers(0, 3),
    "lanes": st.sampled_from([None, 1, 2, 6, 16]),
    "window": st.sampled_from([1, 4, 64]),
    "selected": st.booleans(),
}


def chosen(ds: ss.ShardDataset, selected: bool) -> ss.ShardDataset:
    return ds.select(np.flatnonzero(np.arange(len(ds)) % 3 != 1)) if selected else ds


@settings(max_examples=60)
@given(**CASES, view=st.sampled_from(["image", "caption", "caption:first"]))
def test_every_item_comes_exactly_once(
    packed: dict[str, ss.ShardDataset], layout: str, world: int, workers: int, batch: int, selected: bool, **order: Any
) -> None:
    """Over all ranks and workers; for images and for captions, with selections."""
    ds = chosen(packed[layout], selected)
    options = {name: order[name] for name in ("shuffle", "seed", "view")}
    options |= {"shuffle_lanes": order["lanes"], "shuffle_window": order["window"]}
    steps = dealt(ds, world, workers, global_batch_size=batch, drop_last=False, **options)
    captions = ds.column("n_captions")
    times = {"image": np.ones(len(ds), int), "caption": captions, "caption:first": np.minimum(captions, 1)}
    found = np.bincount([index for step in steps for index, _ in step], minlength=len(ds))
    assert found.tolist() == times[order["view"]].tolist()


@settings(max_examples=40)
@given(**CASES)
def test_global_batches_depend_on_neither_world_nor_workers(
    packed: dict[str, ss.ShardDataset], layout: str, world: int, workers: int, batch: int, selected: bool, **order: Any
) -> None:
    """Batch t is the same set for every world that divides it, and the same sequence without shuffling."""
    ds = chosen(packed[layout], selected)
    options = {"shuffle": order["shuffle"], "seed": order["seed"], "shuffle_window": order["window"]}
    options |= {"shuffle_lanes": order["lanes"], "drop_last": False, "global_batch_size": batch * world}
    alone, together = dealt(ds, 1, **options), dealt(ds, world, workers, **options)
    assert [sorted(step) for step in alone] == [sorted(step) for step in together]
    if not order["shuffle"]:
        assert alone == together


@settings(max_examples=40)
@given(**CASES, share=st.floats(0, 1))
def test_a_new_world_goes_on_where_another_stopped(
    packed: dict[str, ss.ShardDataset], layout: str, world: int, workers: int, batch: int, share: float, **order: Any
) -> None:
    """Any batch boundary of the first world, any world after it: together the epoch, once."""
    ds = chosen(packed[layout], order["selected"])
    options = {"shuffle": order["shuffle"], "seed": order["seed"], "drop_last": False}
    before = dealt(ds, world, workers, global_batch_size=batch, **options)
    steps = int(share * len(before))
    position = min(steps * batch, len(ds))
    after = dealt(ds, 10 - world, 4 - workers, position=position, global_batch_size=batch + 3, **options)
    rows = [row for step in [*before[:steps], *after] for row in step]
    assert sorted(rows) == [(index, 0) for index in range(len(ds))]


@pytest.mark.parametrize("workers", range(5))
def test_real_workers_give_what_the_turns_give(packed: dict[str, ss.ShardDataset], workers: int) -> None:
    """Processes of DataLoader, so that the tests above, which play them, speak of the real thing."""
    ds = packed["uneven"]
    for rank in range(2):
        stream = ss.Stream(ds, global_batch_size=10, shuffle=True, drop_last=False, world=ss.World(rank, 2))
        loader = DataLoader(stream, batch_size=None, num_workers=workers)
        played = BatchIterator(stream, Place(0, 0, 10), (0, 1), stream.maker(0))
        assert [rows_of(batch) for batch in loader] == [rows_of(batch) for batch in played]


def test_without_shuffling_ranks_take_contiguous_parts_and_nothing_is_dropped(
    packed: dict[str, ss.ShardDataset],
) -> None:
    """Evaluation: canonical order, short slots filled and flagged."""
    ds = packed["uneven"]
    steps = dealt(ds, 3, global_batch_size=20)
    assert [index for step in steps for index, _ in step] == list(range(len(ds)))


def test_training_drops_the_same_items_on_every_world(packed: dict[str, ss.ShardDataset]) -> None:
    """N mod G items of the epoch's order, others in the next epoch."""
    ds = packed["uneven"]
    kept = [
        {row for step in dealt(ds, world, epoch=epoch, global_batch_size=12, shuffle=True) for row in step}
        for epoch in (0, 1)
        for world in (1, 4)
    ]
    assert kept[0] == kept[1] != kept[2] == kept[3]
    assert len(kept[0]) == len(ds) // 12 * 12


def test_a_loader_keeps_no_posix_shared_memory_and_no_global_state(packed: dict[str, ss.ShardDataset]) -> None:
    """Two loaders interleaved do not disturb each other; no process group is started."""
    import torch

    def keys(loader: Any) -> list[list[str]]:
        return [batch["key"] for batch in loader]

    make = lambda seed: ss.Stream(packed["many"], batch_size=8, shuffle=True, seed=seed)  # noqa: E731
    apart = keys(make(0)), keys(make(1))
    together = [(a["key"], b["key"]) for a, b in zip(make(0), make(1), strict=True)]
    assert ([a for a, _ in together], [b for _, b in together]) == apart
    assert not torch.distributed.is_initialized()
