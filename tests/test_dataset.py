"""ShardDataset: items by index, Hugging Face transform semantics, statistics, index."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.utils.data import DataLoader

import shardstream as ss

from .toy import CLASSES, pack_toy, toy_pixels


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    return pack_toy(tmp_path_factory.mktemp("toy") / "out", 50)


def test_items_hold_image_label_and_json(ds: ss.ShardDataset) -> None:
    """Each equals what the source made for that number."""
    for i in range(len(ds)):
        item = ds[i]
        assert np.array_equal(np.asarray(item["image"]), toy_pixels(item["number"]))
        assert item["label"] == item["number"] % len(CLASSES)
        assert item["key"] == f"train-{item['number']:05d}"


def test_negative_indices_slices_and_lists_work_as_on_a_list(ds: ss.ShardDataset) -> None:
    """Slices and lists give a dict of lists, as Hugging Face datasets do."""
    assert ds[-1]["key"] == ds[49]["key"]
    assert ds[2:5]["key"] == [ds[i]["key"] for i in (2, 3, 4)]
    assert ds[[7, 1]]["number"] == [ds[7]["number"], ds[1]["number"]]
    with pytest.raises(IndexError, match="outside 'train', which has 50 samples"):
        ds[50]


def test_the_index_has_one_row_per_image_in_canonical_order(ds: ss.ShardDataset) -> None:
    """Labels and keys agree with the items."""
    table = ds.index
    assert table.num_rows == 50
    assert table["key"].to_pylist() == [ds[i]["key"] for i in range(50)]
    assert ds.index_columns(["label"])["label"].to_pylist() == [ds[i]["label"] for i in range(50)]


def test_statistics_equal_numpy(ds: ss.ShardDataset) -> None:
    """Pooled mean and std in float64; label histogram by class name."""
    pixels = np.stack([toy_pixels(i) for i in range(50)]).reshape(-1, 3).astype(np.float64) / 255
    assert np.allclose(ds.statistics["pixel_mean"], pixels.mean(0), atol=1e-12)
    assert np.allclose(ds.statistics["pixel_std"], pixels.std(0), atol=1e-12)
    counts = [sum(i % len(CLASSES) == c for i in range(50)) for c in range(len(CLASSES))]
    assert ds.statistics["histograms"]["label"] == dict(zip(CLASSES, counts, strict=True))


def double(examples: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {"twice": [2 * number for number in examples["number"]], "key": examples["key"]}


def test_with_transform_is_applied_on_access_to_a_batch_of_rows(ds: ss.ShardDataset) -> None:
    """The function sees lists; the original dataset is untouched."""
    view = ds.with_transform(double)
    assert view[3] == {"twice": 2 * ds[3]["number"], "key": ds[3]["key"]}
    assert view[[3, 4]]["twice"] == [2 * ds[3]["number"], 2 * ds[4]["number"]]
    assert "image" in ds[3]
    assert "image" in view.with_transform(None)[3]


def test_a_transformed_dataset_feeds_a_loader(ds: ss.ShardDataset) -> None:
    """Its outputs are collated; every sample still comes once."""
    batches = list(ss.Loader(ds.with_transform(double), batch_size=8, shuffle=True, drop_last=False, num_workers=2))
    twice = [
        int(value) for batch in batches for value, valid in zip(batch["twice"], batch["valid"], strict=True) if valid
    ]
    assert sorted(twice) == [2 * i for i in range(50)]


def test_it_is_an_ordinary_map_style_dataset(ds: ss.ShardDataset) -> None:
    """Works in a plain DataLoader with workers, and pickles."""
    view = ds.with_transform(double)
    loader = DataLoader(view, batch_size=10, num_workers=2)  # type: ignore[arg-type]
    assert sorted(int(n) for batch in loader for n in batch["twice"]) == [2 * i for i in range(50)]
    assert pickle.loads(pickle.dumps(ds))[5]["key"] == ds[5]["key"]


def test_opening_what_is_not_there_says_what_is(tmp_path: Path, ds: ss.ShardDataset) -> None:
    """An empty folder, a wrong split, a folder of tars."""
    with pytest.raises(ss.DatasetNotFound, match=r"dataset\.json is not there\. Check the address"):
        ss.open(tmp_path)
    (tmp_path / "x.tar").write_bytes(b"")
    with pytest.raises(ss.DatasetNotFound, match="shardstream index"):
        ss.open(tmp_path)
    with pytest.raises(ss.OptionError, match=r"split 'val' is not in .* which has train"):
        ss.open(ds.store.url, split="val")


def test_repr_tells_what_it_is(ds: ss.ShardDataset) -> None:
    """Name, split, counts."""
    assert "toy/train: 50 samples in 6 shards, fields png, json, cls" in repr(ds)
