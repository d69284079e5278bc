"""Loader and Stream: exactly once, the same for any workers and world, resumable, honest at the end of an epoch."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import shardstream as ss
from shardstream.loaders import RaggedImages

from .toy import CLASSES, pack_toy, toy_pixels


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    return pack_toy(tmp_path_factory.mktemp("toy") / "out", 100)


@pytest.fixture(scope="module")
def ragged(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    return pack_toy(tmp_path_factory.mktemp("ragged") / "out", 40, ragged=True)


def number_of(key: str) -> int:
    return int(key.rsplit("-", 1)[1])


def keys_of(batches: Any) -> list[str]:
    return [key for batch in batches for key, valid in zip(batch["key"], batch["valid"], strict=True) if valid]


def epoch_keys(ds: ss.ShardDataset, world: int, **options: Any) -> list[list[list[str]]]:
    """Per rank, per batch, the keys."""
    return [
        [keys_of([batch]) for batch in ss.Loader(ds, world=ss.World(rank, world), **options)] for rank in range(world)
    ]


@pytest.mark.parametrize("world", range(1, 10))
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batch", [1, 7, 16, 100, 130])
def test_every_sample_comes_exactly_once_and_every_rank_takes_the_same_steps(
    ds: ss.ShardDataset, world: int, shuffle: bool, batch: int
) -> None:
    """Over all ranks, with short batches filled and flagged."""
    ranks = epoch_keys(ds, world, global_batch_size=batch, shuffle=shuffle, drop_last=False)
    delivered = [key for batches in ranks for keys in batches for key in keys]
    assert sorted(delivered) == sorted(f"train-{i:05d}" for i in range(100))
    assert len({len(batches) for batches in ranks}) == 1


@pytest.mark.parametrize("world", [2, 3, 4, 6])
def test_global_batches_are_the_same_for_every_world_size(ds: ss.ShardDataset, world: int) -> None:
    """Elastic: the union over ranks of batch t does not depend on the world."""
    alone = [set(keys) for keys in epoch_keys(ds, 1, global_batch_size=12, shuffle=True)[0]]
    ranks = epoch_keys(ds, world, global_batch_size=12, shuffle=True)
    together = [set(itertools.chain(*parts)) for parts in zip(*ranks, strict=True)]
    assert together == alone


def same(a: ss.Batch, b: ss.Batch) -> bool:
    return a.keys() == b.keys() and all(
        torch.equal(a[name], b[name]) if isinstance(a[name], torch.Tensor) else a[name] == b[name] for name in a
    )


def test_two_epochs_are_byte_equal_for_0_1_and_3_workers(ds: ss.ShardDataset) -> None:
    """Through a DataLoader of the user's own, augmentation included; and the two epochs differ."""
    runs = []
    for workers in (0, 1, 3):
        stream = ss.Stream(ds, batch_size=16, shuffle=True, seed=5, transform=ss.presets.cifar_train(size=8, padding=2))
        loader = DataLoader(
            stream, batch_size=None, num_workers=workers, prefetch_factor=2 if workers else None, pin_memory=True,
            worker_init_fn=ss.worker_init_fn,
        )  # fmt: skip
        epochs = []
        for epoch in (0, 1):
            stream.set_epoch(epoch)
            epochs.append(list(loader))
        runs.append(epochs)
    for run in runs[1:]:
        for mine, first in zip(run, runs[0], strict=True):
            assert len(mine) == len(first) == 6
            assert all(same(a, b) for a, b in zip(mine, first, strict=True))
    assert not same(runs[0][0][0], runs[0][1][0])


def test_set_epoch_reaches_persistent_workers(ds: ss.ShardDataset) -> None:
    """Workers that live on take the new epoch, too."""
    stream = ss.Stream(ds, batch_size=20, shuffle=True)
    loader = DataLoader(stream, batch_size=None, num_workers=2, persistent_workers=True)
    orders = []
    for epoch in (0, 1, 0):
        stream.set_epoch(epoch)
        orders.append(keys_of(loader))
    assert orders[0] == orders[2] != orders[1]


def test_a_finished_epoch_advances_and_break_restarts_it(ds: ss.ShardDataset) -> None:
    """A plain for per epoch gives new orders; leaving early gives the same epoch again."""
    loader = ss.Loader(ds, batch_size=10, shuffle=True)
    first = keys_of(loader)
    second = keys_of(loader)
    assert loader.epoch == 2
    assert first != second
    for _ in loader:
        break
    third = keys_of(loader)
    loader.set_epoch(0)
    assert keys_of(loader) == first
    loader.set_epoch(2)
    assert keys_of(loader) == third


@pytest.mark.parametrize("workers", [0, 2])
def test_resuming_at_every_step_continues_exactly(ds: ss.ShardDataset, workers: int) -> None:
    """Prefetched but undelivered batches are not counted; compared to the end of the next epoch."""
    reference = ss.Loader(ds, batch_size=15, shuffle=True, drop_last=False)
    states, batches = [reference.state_dict()], []
    for _ in range(2):
        for batch in reference:
            batches.append(batch["key"])
            states.append(reference.state_dict())
    for step in range(0, len(states), 1 if workers == 0 else 4):
        resumed = ss.Loader(ds, batch_size=15, shuffle=True, drop_last=False, num_workers=workers)
        resumed.load_state_dict(states[step])
        rest = [batch["key"] for _ in range(2 - resumed.epoch) for batch in resumed]
        assert rest == batches[step:]


def test_a_state_continues_on_another_world_size(ds: ss.ShardDataset) -> None:
    """Saved on one rank, continued on three: the union of what is delivered is the whole epoch, once."""
    one = ss.Loader(ds, global_batch_size=12, shuffle=True, drop_last=False)
    before = keys_of(itertools.islice(iter(one), 3))
    state = one.state_dict()
    after = []
    for rank in range(3):
        loader = ss.Loader(ds, global_batch_size=12, shuffle=True, drop_last=False, world=ss.World(rank, 3))
        loader.load_state_dict(state)
        after += keys_of(loader)
    assert sorted(before + after) == sorted(f"train-{i:05d}" for i in range(100))


def test_a_state_of_another_order_is_refused_with_both_values(ds: ss.ShardDataset, ragged: ss.ShardDataset) -> None:
    """Seed, shuffle and content are part of it."""
    state = ss.Loader(ds, batch_size=4, shuffle=True, seed=1).state_dict()
    with pytest.raises(ss.StateError, match="seed: 1 saved, 2 here"):
        ss.Loader(ds, batch_size=4, shuffle=True, seed=2).load_state_dict(state)
    with pytest.raises(ss.StateError, match="digest"):
        ss.Loader(ragged, batch_size=4, shuffle=True, seed=1).load_state_dict(state)


def test_pixels_and_labels_are_those_of_the_source(ds: ss.ShardDataset) -> None:
    """Whatever order: image, label, index and size belong to the key."""
    for batch in ss.Loader(ds, batch_size=8, shuffle=True, drop_last=False):
        for row, key in enumerate(batch["key"]):
            if not batch["valid"][row]:
                continue
            number = number_of(key)
            assert np.array_equal(batch["image"][row].permute(1, 2, 0).numpy(), toy_pixels(number))
            assert int(batch["label"][row]) == number % len(CLASSES)
            assert ds[int(batch["index"][row])]["key"] == key
            assert batch["orig_size"][row].tolist() == [12, 10]


def test_invalid_rows_are_zero_and_flagged(ds: ss.ShardDataset) -> None:
    """100 samples in batches of 64 leave 28 empty slots."""
    last = list(ss.Loader(ds, batch_size=64))[-1]
    empty = ~last["valid"]
    assert int(empty.sum()) == 28
    assert not last["image"][empty].any()
    assert set(last["label"][empty].tolist()) == {-100}
    assert {key for key, valid in zip(last["key"], last["valid"], strict=True) if not valid} == {""}


def test_images_of_different_sizes_come_ragged(ragged: ss.ShardDataset) -> None:
    """Without a plan every image keeps its size; one flat buffer holds them."""
    batch = next(iter(ss.Loader(ragged, batch_size=16)))
    images = batch["image"]
    assert isinstance(images, RaggedImages)
    for row, key in enumerate(batch["key"]):
        assert np.array_equal(images[row].permute(1, 2, 0).numpy(), toy_pixels(number_of(key), ragged=True))


def test_a_planned_crop_is_decoded_in_the_worker_and_equals_the_unplanned_one(ragged: ss.ShardDataset) -> None:
    """RandomResizedCrop before decoding and after decoding differ by at most a grey level."""
    transform = ss.transforms.Compose([ss.transforms.RandomResizedCrop(16)])
    planned = next(iter(ss.Loader(ragged, batch_size=16, shuffle=True, transform=transform)))
    plain = next(iter(ss.Loader(ragged, batch_size=16, shuffle=True)))
    after = transform(plain)
    assert planned["crop"].shape == (16, 4)
    assert (planned["image"].int() - after["image"].int()).abs().max() <= 1


def test_augmentation_depends_on_seed_epoch_and_key_only(ragged: ss.ShardDataset) -> None:
    """The same picture alone, in a large batch, or on another world; another one in the next epoch."""

    def pictures(**options: Any) -> dict[str, torch.Tensor]:
        loader = ss.Loader(ragged, shuffle=True, drop_last=False, transform=ss.presets.train(16), **options)
        return {key: batch["image"][row] for batch in loader for row, key in enumerate(batch["key"]) if key}

    single = pictures(batch_size=1)
    for other in (pictures(batch_size=32), pictures(batch_size=5, world=ss.World(1, 2))):
        assert all(torch.equal(image, single[key]) for key, image in other.items())
    loader = ss.Loader(ragged, batch_size=40, shuffle=True, transform=ss.presets.train(16))
    first, second = (dict(zip(b["key"], b["image"], strict=True)) for _ in range(2) for b in loader)
    # 8-pixel pictures have few different crops, so a few may agree by chance
    assert sum(torch.equal(first[key], second[key]) for key in first) < len(first) / 10


def test_evaluation_draws_nothing(ds: ss.ShardDataset) -> None:
    """Without shuffle two epochs are equal, even with a random transform."""
    loader = ss.Loader(ds, batch_size=50, transform=ss.presets.cifar_train(size=8, padding=2))
    first, second = list(loader), list(loader)
    assert all(same(a, b) for a, b in zip(first, second, strict=True))


def test_sample_transform_gets_a_seeded_pil_image(ragged: ss.ShardDataset) -> None:
    """Python, numpy and torch generators are seeded per sample: workers and batches do not matter."""

    def noisy(image: Any) -> torch.Tensor:
        assert image.mode == "RGB"
        return torch.tensor([random.random(), np.random.rand(), float(torch.rand(()))])

    def draws(**options: Any) -> dict[str, list[float]]:
        loader = ss.Loader(ragged, shuffle=True, drop_last=False, sample_transform=noisy, **options)
        return {k: batch["image"][i].tolist() for batch in loader for i, k in enumerate(batch["key"]) if k}

    random.seed(1)
    before = random.getstate()
    alone = draws(batch_size=1)
    assert random.getstate() == before
    assert draws(batch_size=7, num_workers=2) == alone
    assert len({tuple(value) for value in alone.values()}) == len(ragged)


def test_rename_gives_fields_the_names_that_a_trainer_expects(ds: ss.ShardDataset) -> None:
    """Hugging Face models want pixel_values and labels."""
    batch = next(iter(ss.Loader(ds, batch_size=2, rename={"image": "pixel_values", "label": "labels"})))
    assert batch["pixel_values"].shape == (2, 3, 12, 10)
    assert batch["labels"].shape == (2,)
    assert "image" not in batch


def test_normalize_dataset_uses_the_packed_statistics(ds: ss.ShardDataset) -> None:
    """All pixels of an epoch then have mean 0 and deviation 1."""
    loader = ss.Loader(ds, batch_size=100, transform=ss.presets.cifar_eval(normalize="dataset"))
    image = next(iter(loader))["image"].double()
    assert torch.allclose(image.mean((0, 2, 3)), torch.zeros(3, dtype=torch.float64), atol=1e-5)
    assert torch.allclose(image.std((0, 2, 3), correction=0), torch.ones(3, dtype=torch.float64), atol=1e-5)


def test_training_drops_the_rest_of_an_epoch_and_says_so(ds: ss.ShardDataset) -> None:
    """100 mod 16 samples, another set each epoch."""
    loader = ss.Loader(ds, batch_size=16, shuffle=True)
    assert len(loader) == 6
    assert "drops the last 4 samples" in repr(loader)
    everyone = {f"train-{i:05d}" for i in range(100)}
    left_out = [everyone - set(keys_of(loader)) for _ in range(2)]
    assert [len(keys) for keys in left_out] == [4, 4]
    assert left_out[0] != left_out[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 4, "global_batch_size": 8}, "both given"),
        ({"batch_size": 0}, "at least 1, not 0"),
        ({"batch_size": 4, "num_workers": -1}, "0 or more, not -1"),
        ({"batch_size": 4, "prefetch_factor": 2}, "needs num_workers above 0"),
        ({"batch_size": 4, "shuffle_window": 0}, "at least 1, not 0"),
    ],
)
def test_options_that_contradict_are_refused(ds: ss.ShardDataset, options: dict[str, Any], message: str) -> None:
    """With both values in the message."""
    with pytest.raises(ss.OptionError, match=message):
        ss.Loader(ds, **options)


def test_a_world_is_read_from_the_environment_and_checked() -> None:
    """RANK and WORLD_SIZE as torchrun sets them; half of it is an error."""
    assert ss.World.from_environment({"RANK": "2", "WORLD_SIZE": "4"}) == ss.World(2, 4)
    assert ss.World.from_environment({}) == ss.World(0, 1)
    with pytest.raises(ss.OptionError, match="WORLD_SIZE is None"):
        ss.World.from_environment({"RANK": "2"})
    with pytest.raises(ss.OptionError, match="rank 4 is not within a world of 4"):
        ss.World(4, 4)
