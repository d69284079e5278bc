"""Selections, joins and mixtures of real CIFAR, COCO and ImageNet files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pytest

import shardstream as ss

from .bare_index import bare_index


@pytest.fixture(scope="module")
def cifar10(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    out = tmp_path_factory.mktemp("cifar10") / "out"
    ss.write("cifar10", real_data / "cifar10" / "cifar-10-batches-bin", out=out, split="train", shard_size="200KB")
    return ss.open(out)


@pytest.fixture(scope="module")
def coco(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, ss.ShardDataset]:
    out = tmp_path_factory.mktemp("coco") / "out"
    ss.write("coco", real_data / "coco" / "COCO-MINI", out=out, shard_size="2MB")
    return {name: ss.open(out, name) for name in ("train2017", "val2017")}


def test_folds_of_cifar10_are_disjoint_even_and_train(cifar10: ss.ShardDataset) -> None:
    """Five of 2,000 real rows: of each class as many in each to within one; every row held out once."""
    held: Counter[str] = Counter()
    whole = np.bincount(cifar10.column("label"))
    for number in range(5):
        train = cifar10.select(ss.subsets.fold(number, 5, by="label"))
        val = cifar10.select(ss.subsets.fold(number, 5, by="label", held_out=True))
        assert (np.abs(np.bincount(val.column("label")) - whole / 5) < 1).all()
        assert abs(len(val) - 400) <= 1
        seen = Counter(key for b in ss.Loader(val, batch_size=64) for key in b["key"] if key)
        kept = Counter(
            key for b in ss.Loader(train, batch_size=64, shuffle=True, drop_last=False) for key in b["key"] if key
        )
        assert not seen & kept
        assert sum(seen.values()) + sum(kept.values()) == len(cifar10) == 2000
        held += seen
    assert set(held.values()) == {1}
    assert len(held) == 2000


def test_cifar10_lt_of_the_real_labels_has_the_published_size(real_data: Path, tmp_path: Path) -> None:
    """All 50,000 labels in official order; 12,406 rows at a ratio of 100."""
    labels = [int(line) for line in (real_data / "cifar10/labels-full/train_labels_50000.txt").read_text().split()]
    keys = [f"{i:05d}" for i in range(len(labels))]
    ds = bare_index(tmp_path / "out", keys, {"label": ("int64", labels)}, [8_000] * 6 + [2_000], label="label")
    tail = ds.select(ss.subsets.long_tail(0.01))
    assert len(tail) == 12_406
    assert np.bincount(tail.column("label")).tolist() == [int(5000 * 0.01 ** (c / 9)) for c in range(10)]
    chosen = [labels[int(key)] for key in tail.index["key"].to_pylist()]
    assert chosen == tail.column("label").tolist()


def test_cifar100_lt_of_the_real_rows_balances_again(real_data: Path, tmp_path: Path) -> None:
    """3,000 rows of 100 classes, unevenly many: a tail from 20 to 2, and ClassBalanced makes it even."""
    ss.write("cifar100", real_data / "cifar100" / "cifar-100-binary", out=tmp_path / "out", split="train")
    ds = ss.open(tmp_path / "out")
    tail = ds.select(ss.subsets.long_tail(0.1, largest=20))
    sizes = np.bincount(tail.column("label"))
    assert sizes.tolist() == [int(20 * 0.1 ** (c / 99)) for c in range(100)]
    with pytest.raises(ss.OptionError, match=r"takes 48 rows of class 0 \(apple\), which has"):
        ds.select(ss.subsets.long_tail(0.1))
    sampler = ss.samplers.ClassBalanced(size=500)
    loader = ss.Loader(tail, batch_size=50, shuffle=True, sampler=sampler)
    assert np.bincount([label for batch in loader for label in batch["label"].tolist()]).tolist() == [5] * 100


def test_karpathys_split_of_coco_comes_from_a_table(
    coco: dict[str, ss.ShardDataset], real_data: Path, tmp_path: Path
) -> None:
    """A CSV by image id, joined; each cut delivers exactly the original captions of its images."""
    body = json.loads((real_data / "coco/COCO-MINI/annotations/captions_val2017.json").read_text())
    ds = coco["val2017"]
    ids = ds.column("image_id").tolist()
    names = ["train", "restval", "val", "test"]
    split_of = {image: names[image % 4] for image in [*ids, 1, 2]}
    table = pa.table({"image_id": list(split_of), "karpathy_split": list(split_of.values())})
    pyarrow.csv.write_csv(table, tmp_path / "karpathy.csv")
    joined = ds.join(tmp_path / "karpathy.csv", on="image_id", extra="ignore")
    told: Counter[int] = Counter()
    for name in names:
        part = joined.select(pc.field("karpathy_split") == name)
        wanted = {a["id"]: a["caption"] for a in body["annotations"] if split_of.get(a["image_id"]) == name}
        found = {}
        for batch in ss.Loader(part, view="caption", batch_size=16, shuffle=True, drop_last=False):
            assert set(batch["karpathy_split"]) <= {name, ""}
            found |= dict(zip(batch["caption_id"].tolist(), batch["caption"], strict=True))
        found.pop(-1, None)
        assert found == wanted
        told.update(list(found))
    assert set(told.values()) == {1}
    assert len(told) == len(body["annotations"])


def test_coco_splits_mix_with_boxes_captions_and_shares(coco: dict[str, ss.ShardDataset]) -> None:
    """Objects and captions of both, each image as its own split gives it; exact shares with captions and a sampler."""
    parts = list(coco.values())
    union = ss.mix(parts)
    alone = [batch for part in parts for batch in ss.Loader(part, batch_size=1)]
    mixed = list(ss.Loader(union, batch_size=1))
    assert [batch["dataset"].item() for batch in mixed] == [n for n, part in enumerate(parts) for _ in range(len(part))]
    for one, other in zip(alone, mixed, strict=True):
        assert one["captions"] == other["captions"]
        for name in ("image", "boxes", "labels", "ann_id", "box_offsets"):
            assert np.array_equal(one[name], other[name])
    truth = ss.scoring.coco_ground_truth(union)
    each = [ss.scoring.coco_ground_truth(part) for part in parts]
    assert truth["images"] == [image for one in each for image in one["images"]]
    assert truth["annotations"] == [entry for one in each for entry in one["annotations"]]
    weighted = ss.mix(parts, weights=[0.25, 0.75])
    sampler = ss.samplers.RepeatFactor(threshold=0.2, size=200)
    stream = ss.Stream(weighted, view="caption", batch_size=8, shuffle=True, drop_last=False, sampler=sampler)
    found = np.bincount([d for b in stream for d, v in zip(b["dataset"].tolist(), b["valid"], strict=True) if v])
    assert np.abs(found - stream.size * np.array([0.25, 0.75])).max() < 1


def test_a_published_list_of_real_imagenet_files(real_data: Path, tmp_path: Path) -> None:
    """Lines as ImageNet-LT has them, of the files that are there; labels of another order are refused."""
    folder = real_data / "imagenet" / "ILSVRC" / "Data" / "CLS-LOC"
    ss.write("imagenet", real_data / "imagenet", out=tmp_path / "out", split="train")
    ds = ss.open(tmp_path / "out")
    label_of = dict(zip(ds.index["key"].to_pylist(), ds.column("label").tolist(), strict=True))
    files = sorted((folder / "train").rglob("*.*"))[::3]
    lines = [f"train/{path.parent.name}/{path.name} {label_of[path.stem]}" for path in files]
    part = ds.select(ss.subsets.listed(lines))
    assert sorted(part.index["key"].to_pylist()) == sorted(path.stem for path in files)
    moved = [*lines[:-1], lines[-1].rpartition(" ")[0] + " 7"]
    with pytest.raises(ss.OptionError, match="1 of 77 lines state another label than the index"):
        ds.select(ss.subsets.listed(moved))
