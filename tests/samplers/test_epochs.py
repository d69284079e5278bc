"""Epochs with samplers: exact, unbiased, the same over worlds, resumes and packings; copies are not twins."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shardstream as ss
from shardstream.errors import OptionError, StateError
from shardstream.loaders.epoch import Epoch
from shardstream.loaders.order import OrderSpec
from shardstream.loaders.samplers import stratified
from shardstream.loaders.samplers.stratified import Stratified
from shardstream.loaders.samplers.systematic import Systematic, copy_major
from shardstream.loaders.views import Items, View

from ..index_only import labels_of, pack_index_only
from ..toy_people import pack_toy_people
from . import reference
from .fake_items import FakeItems, copies_of, expected_of, fitted

S = ss.samplers
SIZES = (90, 7, 44, 60, 3, 96)
SAMPLERS: dict[str, S.Sampler] = {
    "class balanced": S.ClassBalanced(column="label"),
    "square root": S.ClassBalanced(0.5, column="label", size=431),
    "repeat factor": S.RepeatFactor(0.5),
    "weighted": S.Weighted("size", size=250),
    "array": S.Weighted(np.random.default_rng(0).random(sum(SIZES))),
    "natural": S.Natural(size=133),
}


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    return pack_index_only(tmp_path_factory.mktemp("epochs") / "out", SIZES)


def image_items(ds: ss.ShardDataset) -> Items:
    return Items(ds, View.parse("image"))


def delivered(ds: ss.ShardDataset, world: int, **options: Any) -> Counter[tuple[int, int]]:
    """(index, copy) of an epoch over all ranks."""
    found: Counter[tuple[int, int]] = Counter()
    for rank in range(world):
        for batch in ss.Stream(ds, world=ss.World(rank, world), shuffle=True, drop_last=False, **options):
            rows = zip(batch["index"].tolist(), batch["copy"].tolist(), batch["valid"].tolist(), strict=True)
            found.update((index, copy) for index, copy, valid in rows if valid)
    return found


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_union_over_ranks_is_the_sampler_for_worlds_1_2_3_8(ds: ss.ShardDataset, name: str) -> None:
    """Item i comes with copies 0 .. k_i - 1, each once, and k_i is what the sampler says."""
    items, sampler = image_items(ds), SAMPLERS[name]
    found = fitted(sampler, items, seed=5)
    copies = copies_of(found, items)
    wanted = Counter((i, copy) for i, count in enumerate(copies) for copy in range(count))
    assert sum(copies) == found.copies.size
    for world in (1, 2, 3, 8):
        assert delivered(ds, world, global_batch_size=24, sampler=sampler, seed=5) == wanted


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("name", SAMPLERS)
def test_means_over_200_epochs_are_the_weights(
    ds: ss.ShardDataset, name: str, table: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within 4 sigma of a coin of the fractional part, for both ways to draw; epochs differ; a seed decides them."""
    if not table:
        monkeypatch.setattr(stratified, "CELLS", 0)
    items = image_items(ds)
    found = fitted(SAMPLERS[name], items, seed=1)
    assert isinstance(found.copies, Stratified if table and name not in ("array", "weighted") else Systematic)
    epochs = np.array([copies_of(found, items, epoch) for epoch in range(200)])
    mean = np.array(expected_of(found, items))
    part = mean % 1
    sigma = np.sqrt(part * (1 - part) / len(epochs))
    assert (np.abs(epochs.mean(0) - mean) <= 4 * sigma + 1e-6).all()
    assert (np.abs(epochs - mean) < 1 + 1e-6).all()
    assert len({tuple(epoch) for epoch in epochs.tolist()}) > 20
    assert copies_of(fitted(SAMPLERS[name], items, seed=1), items, 7) == epochs[7].tolist()
    assert copies_of(fitted(SAMPLERS[name], items, seed=2), items, 7) != epochs[7].tolist()


def test_a_part_of_a_class_is_another_part_in_each_epoch() -> None:
    """Half of 1,000 equal items: two epochs share about half of theirs, as independent draws do, not all or none."""
    items = FakeItems({"labels": [0] * 1000}, [100] * 10)
    found = fitted(S.Natural(size=500), items)
    epochs = np.array([copies_of(found, items, epoch) for epoch in range(40)])
    shared = [(epochs[a] & epochs[b]).sum() for a in range(40) for b in range(a)]
    assert 230 < np.mean(shared) < 270
    assert 190 < min(shared) <= max(shared) < 310


def test_classes_are_counted_over_the_split_not_per_shard(tmp_path: Path, ds: ss.ShardDataset) -> None:
    """The same rows in other shards: the same expected copies of every row, the same classes in an epoch."""
    other = pack_index_only(tmp_path / "other", (1, 150, 149))
    for sampler in (S.ClassBalanced(column="label"), S.RepeatFactor(0.3), S.MultiLabel(column="label", mode="rarest")):
        one, two = (fitted(sampler, image_items(each)) for each in (ds, other))
        assert expected_of(one, image_items(ds)) == expected_of(two, image_items(other))
        before, after = (
            {found.name: found.after for found in sampler.report(each, epoch=3).classes} for each in (ds, other)
        )
        assert all(abs(before[name] - after[name]) <= 1 for name in before)


def test_views_weigh_their_own_items(ds: ss.ShardDataset) -> None:
    """An image's label counts once for each of its captions: classes over captions, not over images."""
    captions = [
        [int(label)]
        for label, count in zip(ds.column("label"), ds.column("n_captions"), strict=True)
        for _ in range(count)
    ]
    items = Items(ds, View.parse("caption"))
    found = fitted(S.ClassBalanced(column="label"), items)
    weights = reference.expected(reference.class_balanced(captions, 1), len(captions))
    assert expected_of(found, items) == pytest.approx(weights, rel=1e-6)


def test_a_state_goes_on_with_the_same_weights_only(ds: ss.ShardDataset) -> None:
    """Another sampler, size or weight is another order; exactly the same one resumes anywhere."""
    weights = np.random.default_rng(0).random(len(ds))
    options: Any = {"batch_size": 16, "shuffle": True, "drop_last": False}
    loader = ss.Loader(ds, sampler=S.Weighted(weights), **options)
    batches = iter(loader)
    done = [(row, copy) for _ in range(5) for batch in [next(batches)] for row, copy in rows(batch)]
    state = loader.state_dict()
    resumed = ss.Loader(ds, sampler=S.Weighted(weights.copy()), world=ss.World(0, 1), **options)
    resumed.load_state_dict(state)
    rest = [found for batch in resumed for found in rows(batch)]
    assert Counter(done + rest) == delivered(ds, 1, batch_size=16, sampler=S.Weighted(weights))

    swapped = weights.copy()
    swapped[[3, 4]] = swapped[[4, 3]]  # two of one shard: its sum stays
    for sampler in (S.Weighted(swapped), S.Weighted(weights, size=299), S.Natural(), S.ClassBalanced(column="label")):
        with pytest.raises(StateError, match="sampler"):
            ss.Loader(ds, sampler=sampler, **options).load_state_dict(state)


@pytest.mark.parametrize("sampler", [S.ClassBalanced(column="label"), S.Weighted("mine", size=9)])
def test_two_items_of_a_shard_that_change_places_are_another_order(sampler: S.Sampler) -> None:
    """All counts and sums stay: the fingerprint holds the weight of every item, for columns too."""
    columns = {"label": [0, 1, 0, 1, 1, 1], "mine": [1.0, 2.0, 1.5, 4.0, 0.5, 3.0]}
    swapped = {name: [values[1], values[0], *values[2:]] for name, values in columns.items()}
    one, same, other = (fitted(sampler, FakeItems(each, [3, 3])).identity for each in (columns, dict(columns), swapped))
    assert one == same != other


def rows(batch: ss.Batch) -> list[tuple[int, int]]:
    found = zip(batch["index"].tolist(), batch["copy"].tolist(), batch["valid"].tolist(), strict=True)
    return [(index, copy) for index, copy, valid in found if valid]


def test_copies_of_an_item_lie_apart(ds: ss.ShardDataset) -> None:
    """No more of them share a batch than in a uniform shuffle of the same items."""
    items = FakeItems({"labels": [[0], [1], [0], [0, 2], [0], [0]] * 3000}, [600] * 30)
    found = fitted(S.Weighted(np.where(np.arange(18_000) % 9, 1, 8)), items)
    epoch = Epoch(found.copies, OrderSpec.for_size(18_000, True, 0), 0)
    shard, item, copy = epoch.locate(np.arange(18_000))
    identity = shard * 600 + item
    assert Counter(zip(identity.tolist(), copy.tolist(), strict=True)).most_common(1)[0][1] == 1
    ours = twins(identity)
    uniform = np.mean([twins(np.random.default_rng(seed).permutation(identity)) for seed in range(10)])
    assert 0 < ours < 1.1 * uniform


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40).filter(any))
def test_a_shard_shows_every_item_before_one_comes_again(copies: list[int]) -> None:
    """Between two copies of an item stand at least as many items as have that many copies."""
    items, number = copy_major(np.array(copies))
    wanted = [(i, k) for i, count in enumerate(copies) for k in range(count)]
    assert sorted(zip(items.tolist(), number.tolist(), strict=True)) == wanted
    place = {pair: slot for slot, pair in enumerate(zip(items.tolist(), number.tolist(), strict=True))}
    for i, k in wanted:
        if k:
            assert place[i, k] - place[i, k - 1] >= sum(count > k for count in copies)


def test_copies_are_far_apart_even_where_the_order_is_nearly_sequential() -> None:
    """4 lanes, windows of 16: side by side in their shard they would come within 64 or 128 items of each other."""
    items = FakeItems({}, [600] * 10)
    found = fitted(S.Natural(size=18_000), items)
    shard, item, _ = Epoch(found.copies, OrderSpec(True, 0, 4, 16), 0).locate(np.arange(18_000))
    identity = shard * 600 + item
    order = np.lexsort((np.arange(len(identity)), identity))
    gaps = np.diff(order)[identity[order][1:] == identity[order][:-1]]
    assert np.median(gaps) > 1500


def twins(identity: np.ndarray, batch: int = 256) -> float:
    """Share of a batch's items that stand in it already."""
    starts = range(0, len(identity) - batch, batch)
    return float(np.mean([1 - len(np.unique(identity[a : a + batch])) / batch for a in starts]))


def test_copies_are_augmented_differently(tmp_path: Path) -> None:
    """Another seed and other pixels for every copy under RandomResizedCrop; ``copy`` tells them apart."""
    ds = pack_toy_people(tmp_path / "out")
    sampler = S.Weighted([9.0] * 4 + [1.0] * 36, size=72)
    seen: dict[str, list[tuple[int, int, bytes]]] = {}
    crop = ss.transforms.RandomResizedCrop(16)
    for batch in ss.Loader(ds, sampler=sampler, batch_size=9, shuffle=True, transform=crop):
        for row, key in enumerate(batch["key"]):
            pixels = batch["image"][row].numpy().tobytes()
            seen.setdefault(key, []).append((int(batch["copy"][row]), int(batch["seed"][row]), pixels))
    repeated = [found for found in seen.values() if len(found) > 1]
    assert len(repeated) >= 4
    assert max(map(len, repeated)) >= 8
    for found in repeated:
        copies, seeds, pixels = (set(column) for column in zip(*found, strict=True))
        assert copies == set(range(len(found)))
        assert len(seeds) == len(pixels) == len(found)


def test_items_without_a_class_come_once_at_least(ds: ss.ShardDataset) -> None:
    """Every 11th image of the set has no label: RepeatFactor keeps it."""
    without = [i for i in range(len(ds)) if not labels_of(i)]
    copies = copies_of(fitted(S.RepeatFactor(0.5, column="labels"), image_items(ds)), image_items(ds))
    assert without
    assert {copies[i] for i in without} <= {1, 2}


def test_distribution_balanced_weights_come_with_the_batch(ds: ss.ShardDataset) -> None:
    """(B, C) float32 for the rows' own labels, 0 where a row only fills; also on a rank without a row."""
    held = ds.select([i for i in range(len(ds)) if labels_of(i)])
    labels = [labels_of(i) for i in range(len(ds)) if labels_of(i)]
    wanted = np.array(reference.class_weight(labels, 4, 0.1, 10, 0.2))
    sampler = S.MultiLabel("distribution_balanced", column="labels", size=100)
    for rank in range(3):
        options: Any = {"global_batch_size": 32, "shuffle": True, "drop_last": False, "world": ss.World(rank, 3)}
        for batch in ss.Stream(held, sampler=sampler, **options):
            found = batch["class_weight"].numpy()
            assert found.dtype == np.float32
            assert found.shape == (11, 4)
            valid = batch["valid"].numpy()
            assert found[valid] == pytest.approx(wanted[batch["index"].numpy()[valid]], abs=1e-5)
            assert (found[~valid] == 0).all()
    assert S.class_counts(held, column="labels").tolist() == [sum(c in own for own in labels) for c in range(4)]
    assert "class_weight" not in next(iter(ss.Stream(held, sampler=S.MultiLabel(column="labels"), shuffle=True)))


@pytest.mark.parametrize("sampler", [S.Natural(), S.ClassBalanced(column="label"), S.Weighted("mine", size=333)])
def test_a_mixture_has_its_shares_in_every_epoch(sampler: S.Sampler) -> None:
    """7 : 3 of two sets of 200 and 40 items, whatever their sizes; within a set the sampler's own weights."""
    rng = np.random.default_rng(0)
    parts = [
        FakeItems({"label": rng.integers(0, 3, sum(counts)).tolist(), "mine": rng.random(sum(counts)).tolist()}, counts)
        for counts in ([50, 100, 50], [25, 15])
    ]
    mixture = FakeItems({}, [50, 100, 50, 25, 15])
    mixture.parts, mixture.shares = parts, [0.7, 0.3]
    found = fitted(sampler, mixture)
    size = sampler.size or 240
    for epoch in range(5):
        copies = copies_of(found, mixture, epoch)
        assert sum(copies) == size
        assert abs(sum(copies[:200]) - 0.7 * size) < 1
    for part, own, share in zip(parts, (slice(0, 200), slice(200, 240)), (0.7, 0.3), strict=True):
        labels, mine = ([*part.columns[name].to_pylist()] for name in ("label", "mine"))
        weights = {"Natural": [1.0] * len(part), "Weighted": mine}.get(type(sampler).__name__)
        weights = weights or reference.class_balanced([[label] for label in labels], 1)
        wanted = reference.expected(weights, share * size)
        assert expected_of(found, mixture)[own] == pytest.approx(wanted, rel=1e-6)


def test_class_weights_of_a_mixture_are_refused() -> None:
    """Two sets of classes have no common (B, C)."""
    mixture = FakeItems({}, [2, 2])
    mixture.parts = [FakeItems({"labels": [[0], [1]]}, [2])] * 2
    with pytest.raises(OptionError, match="a mixture has 2; use 'class_aware'"):
        fitted(S.MultiLabel("distribution_balanced"), mixture)


@pytest.mark.parametrize("name", [*SAMPLERS, "fields"])
def test_other_processes_and_threads_deliver_the_same(ds: ss.ShardDataset, name: str) -> None:
    """A stream that was pickled, as spawned workers get it, and one whose batches threads make."""
    balanced = S.MultiLabel("distribution_balanced", column="label")
    options: Any = {"sampler": balanced if name == "fields" else SAMPLERS[name], "batch_size": 32, "shuffle": True}
    stream = ss.Stream(ds, **options)
    alone = [(batch["index"].tolist(), batch.get("class_weight")) for batch in stream]
    copied = [(batch["index"].tolist(), batch.get("class_weight")) for batch in pickle.loads(pickle.dumps(stream))]
    threads = ss.Loader(ds, num_workers=3, worker_kind="thread", **options)
    threaded = [(batch["index"].tolist(), batch.get("class_weight")) for batch in threads]
    for other in (copied, threaded):
        assert [index for index, _ in other] == [index for index, _ in alone]
        if name == "fields":
            assert all(bool((one == two).all()) for (_, one), (_, two) in zip(alone, other, strict=True))
