"""Augmentation through a loader: classes bound, workers and resuming without effect, ranks the same but for mixing."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import shardstream as ss
from shardstream.transforms import ColorJitter, Compose, CutMix, MixUp, Normalize, RandAugment, RandomErasing

from ..toy import pack_toy

HALF = ((0.5,) * 3, (0.5,) * 3)
PLAIN = [RandAugment(), ColorJitter(0.4, 0.4, 0.4, 0.1), Normalize(HALF), RandomErasing(0.5, value="random")]
MIXED = Compose([*PLAIN, MixUp(0.4), CutMix(mode="elem", p=0.5)])


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    """100 images of 12 x 10 in 7 classes."""
    return pack_toy(tmp_path_factory.mktemp("toy") / "out", 100)


def loader(ds: ss.ShardDataset, transform: Compose = MIXED, **options: Any) -> ss.Loader:
    return ss.Loader(ds, global_batch_size=24, shuffle=True, seed=3, transform=transform, **options)


def same(a: ss.Batch, b: ss.Batch) -> bool:
    return a["key"] == b["key"] and all(torch.equal(a[name], b[name]) for name in ("image", "label"))


def test_the_loader_binds_the_classes_and_labels_become_soft(ds: ss.ShardDataset) -> None:
    """Seven named classes from the packed statistics; every row sums to one; most are mixed."""
    batch = next(iter(loader(ds)))
    assert batch["label"].shape == (24, 7)
    torch.testing.assert_close(batch["label"].sum(1), torch.ones(24))
    assert (batch["label"].amax(1) < 1).sum() > 12


def test_a_short_batch_mixes_its_valid_rows_only(ds: ss.ShardDataset) -> None:
    """100 images in batches of 24 leave 20 fillers, whose labels are empty."""
    last = list(loader(ds, drop_last=False))[-1]
    assert last["valid"].tolist() == [True] * 4 + [False] * 20
    torch.testing.assert_close(last["label"].sum(1), last["valid"].float())


def test_workers_and_resuming_change_no_bit(ds: ss.ShardDataset) -> None:
    """Two workers, and a loader that starts in the middle: the same mixtures; another epoch, others."""
    whole = list(loader(ds))
    assert all(same(a, b) for a, b in zip(whole, loader(ds, num_workers=2), strict=True))
    stopped = loader(ds)
    for _ in zip(range(2), stopped, strict=False):
        state = stopped.state_dict()
    resumed = loader(ds)
    resumed.load_state_dict(state)
    rest = list(resumed)
    assert len(rest) in (2, 3)
    assert all(same(a, b) for a, b in zip(whole[-len(rest) :], rest, strict=True))
    again = loader(ds)
    again.set_epoch(1)
    assert not any(same(a, b) for a, b in zip(whole, again, strict=True))


def test_one_rank_and_three_give_a_sample_the_same_pixels(ds: ss.ShardDataset) -> None:
    """Everything but mixing, which meets the rows of its own rank."""

    def pixels(world: int) -> dict[str, torch.Tensor]:
        ranks = [loader(ds, Compose(PLAIN), world=ss.World(rank, world)) for rank in range(world)]
        batches = [batch for rank in ranks for batch in rank]
        return {key: image for batch in batches for key, image in zip(batch["key"], batch["image"], strict=True)}

    one, three = pixels(1), pixels(3)
    assert one.keys() == three.keys()
    assert all(torch.equal(one[key], three[key]) for key in one)
