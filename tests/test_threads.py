"""Threads in place of worker processes: the same batches, bit for bit, in the same order."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

import shardstream as ss

from .toy import pack_toy


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    return pack_toy(tmp_path_factory.mktemp("threads") / "out", 90, ragged=True)


def same(a: ss.Batch, b: ss.Batch) -> bool:
    return a.keys() == b.keys() and all(
        torch.equal(a[name], b[name]) if isinstance(a[name], torch.Tensor) else a[name] == b[name] for name in a
    )


def made(ds: ss.ShardDataset, workers: int, kind: str, **options: Any) -> ss.Loader:
    given = {"batch_size": 8, "shuffle": True, "transform": ss.presets.train(16), "drop_last": False, **options}
    return ss.Loader(ds, num_workers=workers, worker_kind=kind, **given)


@pytest.mark.parametrize(
    ("workers", "kind"), [(n, "thread") for n in (1, 2, 3, 4)] + [(n, "process") for n in (1, 2, 4)]
)
def test_batches_are_bit_identical_for_any_number_and_kind_of_workers(
    ds: ss.ShardDataset, workers: int, kind: str
) -> None:
    """Two epochs, augmentation included, against no workers at all."""
    alone, other = made(ds, 0, "process"), made(ds, workers, kind)
    for _ in range(2):
        pairs = list(zip(alone, other, strict=True))
        assert len(pairs) == 12
        assert all(same(a, b) for a, b in pairs)


def test_a_state_taken_while_threads_run_ahead_counts_delivered_batches(ds: ss.ShardDataset) -> None:
    """Prefetched batches are not counted; the rest follows."""
    whole = [batch["key"] for batch in made(ds, 0, "process")]
    for step in (1, 5, 11):
        loader = made(ds, 3, "thread", prefetch_factor=3)
        list(itertools.islice(loader, step))
        resumed = made(ds, 2, "thread")
        resumed.load_state_dict(loader.state_dict())
        assert [batch["key"] for batch in resumed] == whole[step:]


def test_leaving_early_ends_the_threads(ds: ss.ShardDataset) -> None:
    """No thread outlives its loop."""
    before = threading.active_count()
    iterator = iter(made(ds, 4, "thread"))
    next(iterator)
    assert threading.active_count() > before
    iterator.close()
    assert threading.active_count() == before


def test_an_error_comes_in_its_turn(ds: ss.ShardDataset, tmp_path: Path) -> None:
    """The batches before it are delivered, and the sample is named."""
    broken = pack_toy(tmp_path / "out", 40, shard_size=9_000)
    path = Path(broken.urls[-1].removeprefix("file://"))
    data = bytearray(path.read_bytes())
    data[700] ^= 0xFF
    path.write_bytes(data)
    delivered: list[list[int]] = []

    def deliver() -> None:
        for batch in ss.Loader(broken, batch_size=4, num_workers=3, worker_kind="thread"):
            delivered.append(batch["index"].tolist())

    with pytest.raises(ss.ChecksumMismatch, match="checksum"):
        deliver()
    assert delivered == [list(range(i, i + 4)) for i in range(0, 4 * len(delivered), 4)]
    assert delivered


def test_torch_keeps_its_own_threads_in_the_main_thread(ds: ss.ShardDataset) -> None:
    """Only the loader's threads use one each."""
    before = torch.get_num_threads()
    list(made(ds, 2, "thread"))
    assert torch.get_num_threads() == before


def test_another_kind_of_worker_is_refused(ds: ss.ShardDataset) -> None:
    """With what exists."""
    with pytest.raises(ss.OptionError, match="'fiber' is not one of 'process', 'thread'"):
        made(ds, 2, "fiber")
