"""Views: every caption once, or one of each image, over any number of ranks, workers and resumes."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import shardstream as ss

from ..toy_coco import pack_toy_coco, toy_record

COUNT = 40
CAPTIONS = [(f"{i:06d}", c["id"], c["caption"]) for i in range(COUNT) for c in toy_record(i)["captions"]]
CAPTIONED = [f"{i:06d}" for i in range(COUNT) if toy_record(i)["captions"]]


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    return pack_toy_coco(tmp_path_factory.mktemp("views") / "out", COUNT)


def captions(loader: ss.Loader) -> list[tuple[str, int, str]]:
    """(key, caption id, caption) of all valid rows, as delivered."""
    return [
        (batch["key"][i], int(batch["caption_id"][i]), batch["caption"][i])
        for batch in loader
        for i in range(len(batch["key"]))
        if batch["valid"][i]
    ]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 99), st.integers(1, 5), st.integers(1, 9), st.booleans())
def test_every_caption_comes_exactly_once_over_all_ranks(
    ds: ss.ShardDataset, seed: int, world: int, batch: int, shuffle: bool
) -> None:
    """Expanded, whatever the ranks and the batch size."""
    got = Counter(
        caption
        for rank in range(world)
        for caption in captions(
            ss.Loader(
                ds,
                view="caption",
                batch_size=batch,
                shuffle=shuffle,
                seed=seed,
                drop_last=False,
                world=ss.World(rank, world),
            )
        )
    )
    assert got == Counter(CAPTIONS)


def test_captions_of_an_image_are_spread_over_the_epoch(ds: ss.ShardDataset) -> None:
    """Not fanned out one after another; another order each epoch, the same for any worker count."""
    loader = ss.Loader(ds, view="caption", batch_size=8, shuffle=True, seed=3, drop_last=False)
    first, second = captions(loader), captions(loader)
    assert sorted(first) == sorted(second) == sorted(CAPTIONS)
    assert first != second
    neighbours = sum(a[0] == b[0] for a, b in itertools.pairwise(first))
    assert neighbours < len(CAPTIONS) / 5  # fanned out it would be about 2 of 3
    for workers in (1, 3):
        assert (
            captions(
                ss.Loader(ds, view="caption", batch_size=8, shuffle=True, seed=3, drop_last=False, num_workers=workers)
            )
            == first
        )


def test_one_random_caption_of_each_image_is_drawn_per_epoch(ds: ss.ShardDataset) -> None:
    """Images without captions are left out; over epochs every caption comes, about equally often."""
    loader = ss.Loader(ds, view="caption:random", batch_size=4, shuffle=True, seed=1, drop_last=False)
    epochs = [captions(loader) for _ in range(120)]
    assert all(sorted(key for key, _, _ in epoch) == CAPTIONED for epoch in epochs)
    seen = Counter(caption for epoch in epochs for caption in epoch)
    assert set(seen) == set(CAPTIONS)
    five = [n for (key, _, _), n in seen.items() if len(toy_record(int(key))["captions"]) == 5]
    assert 8 <= min(five) <= max(five) <= 42  # 120 / 5 = 24, 3.6 standard deviations


def test_the_first_and_all_captions_are_as_in_the_record(ds: ss.ShardDataset) -> None:
    """``first`` is caption 0 of each image that has one, ``all`` the list, empty ones too."""
    first = captions(ss.Loader(ds, view="caption:first", batch_size=4))
    assert sorted(first) == sorted(c for c in CAPTIONS if c[1] % 10 == 0)
    rows = {
        key: texts
        for batch in ss.Loader(ds, view="caption:all", batch_size=4)
        for key, texts in zip(batch["key"], batch["captions"], strict=True)
        if key
    }
    assert rows == {f"{i:06d}": [c["caption"] for c in toy_record(i)["captions"]] for i in range(COUNT)}


def test_a_caption_epoch_resumes_at_every_step(ds: ss.ShardDataset) -> None:
    """What follows a restored state is what would have followed."""
    options: dict[str, Any] = {"view": "caption", "batch_size": 16, "shuffle": True, "seed": 5}
    loader = ss.Loader(ds, **options)
    states, batches = [loader.state_dict()], []
    for batch in loader:
        batches.append(batch["caption_id"].tolist())
        states.append(loader.state_dict())
    for step, state in enumerate(states[:-1]):
        again = ss.Loader(ds, **options)
        again.load_state_dict(state)
        assert [batch["caption_id"].tolist() for batch in again] == batches[step:]
    with pytest.raises(ss.StateError, match="view"):
        ss.Loader(ds, **{**options, "view": "image"}).load_state_dict(states[1])


def test_each_caption_of_an_image_has_a_crop_of_its_own(ds: ss.ShardDataset) -> None:
    """Seeds differ between the captions of one image."""
    seeds = [
        seed for batch in ss.Loader(ds, view="caption", batch_size=8) for seed in batch["seed"][batch["valid"]].tolist()
    ]
    assert len(set(seeds)) == len(CAPTIONS)


def test_views_that_do_not_exist_or_fit_are_named(ds: ss.ShardDataset, tmp_path: Path) -> None:
    """With what exists; a random caption is no evaluation."""
    from ..toy import pack_toy

    with pytest.raises(ss.OptionError, match=r"'captions' is not one of image, caption:expand"):
        ss.Loader(ds, view="captions")
    with pytest.raises(ss.OptionError, match=r"'image:random' is not one of"):
        ss.Loader(ds, view="image:random")
    with pytest.raises(ss.OptionError, match=r"evaluation\) draws nothing"):
        ss.Loader(ds, view="caption:random")
    with pytest.raises(ss.OptionError, match=r"needs the index column 'n_captions'"):
        ss.Loader(pack_toy(tmp_path / "toy", 10), view="caption")
    with pytest.raises(ss.OptionError, match=r"no image of split 'train2017' has one"):
        ss.Loader(ds.select(pc.field("n_captions") == 0), view="caption")


def test_a_selection_is_a_dataset_of_its_own(ds: ss.ShardDataset) -> None:
    """Karpathy's split over the same shards: items, index, loader and captions are those rows alone."""
    val = ds.select(pc.field("karpathy") == "val")
    keys = [f"{i:06d}" for i in range(COUNT) if i % 3 == 1]
    assert sorted(item["key"] for item in val) == sorted(val.index["key"].to_pylist()) == keys
    assert len(val) == len(keys)
    loader = ss.Loader(val, view="caption", batch_size=3, shuffle=True, drop_last=False)
    assert sorted(captions(loader)) == sorted(c for c in CAPTIONS if c[0] in keys)
    for batch in ss.Loader(val, batch_size=4, shuffle=True, drop_last=False):
        for row in range(4):
            if batch["valid"][row]:
                assert val[int(batch["index"][row])]["key"] == batch["key"][row]
    again = val.select([0, 2, -1])
    assert [item["key"] for item in again] == [val[0]["key"], val[2]["key"], val[-1]["key"]]
    mask = [key in keys for key in ds.index["key"].to_pylist()]
    assert [item["key"] for item in ds.select(np.array(mask))] == [item["key"] for item in val]
    assert len({ds.digest, val.digest, again.digest}) == 3
    assert len(ds) == COUNT


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([0, COUNT], r"row 40 is outside"),
        ([1, 1], r"row 1 is selected twice"),
        ([True], r"mask has shape \(1,\)"),
        ([0.5], r"rows are float64"),
        (pc.field("nothing") == 1, r"does not fit the index \(columns: image_id"),
    ],
)
def test_a_selection_that_does_not_fit_is_named(ds: ss.ShardDataset, rows: Any, message: str) -> None:
    """Rows that are not there, twice there, or no rows."""
    with pytest.raises(ss.OptionError, match=message):
        ds.select(rows)
