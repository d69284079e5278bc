"""What a user packs with one command is what the official files hold: read anew here by numpy, pickle and tarfile."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

import shardstream as ss
from shardstream.cli import main

BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
TRAIN = Path("imagenet/ILSVRC/Data/CLS-LOC/train")


def official_rows(path: Path, labels: str) -> tuple[np.ndarray, list[int]]:
    """(N, 32, 32, 3) pixels and labels of one official pickle, trusted here: it is the reference."""
    with open(path, "rb") as file:
        body = pickle.load(file, encoding="latin1")  # the reference file, not foreign bytes
    return np.asarray(body["data"]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), list(body[labels])


def rows_by_key(ds: ss.ShardDataset) -> dict[str, dict[str, Any]]:
    return {item["key"]: item for item in ds}


@pytest.fixture(scope="module")
def cifar10(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cifar") / "out"
    source = str(real_data / "cifar10/cifar-10-batches-py")
    assert main(["write", "cifar10", "--source", source, "--out", str(out), "--shard-size", "2MB"]) == 0
    return out


def test_cifar10_holds_every_row_of_the_pickles(real_data: Path, cifar10: Path) -> None:
    """2,000 train and 400 test rows, whatever batches.meta claims; each pixel and label."""
    folder = real_data / "cifar10/cifar-10-batches-py"
    for split, files, count in (("train", BATCHES, 2000), ("test", ("test_batch",), 400)):
        parts = [official_rows(folder / name, "labels") for name in files]
        pixels, labels = np.concatenate([p for p, _ in parts]), [label for _, part in parts for label in part]
        items = rows_by_key(ss.open(cifar10, split))
        assert len(items) == count == len(labels)
        for row, key in enumerate(sorted(items)):
            assert np.array_equal(np.asarray(items[key]["image"]), pixels[row])
            assert items[key]["label"] == labels[row]


def test_cifar10_mean_and_std_are_those_of_numpy(real_data: Path, cifar10: Path) -> None:
    """Float64, over all pixels together, to 1e-6 (exact sums give better)."""
    folder = real_data / "cifar10/cifar-10-batches-py"
    pixels = np.concatenate([official_rows(folder / name, "labels")[0] for name in BATCHES]).reshape(-1, 3) / 255.0
    statistics = ss.open(cifar10, "train").statistics
    assert np.allclose(statistics["pixel_mean"], pixels.mean(0), atol=1e-6, rtol=0)
    assert np.allclose(statistics["pixel_std"], pixels.std(0), atol=1e-6, rtol=0)


@pytest.mark.parametrize("layout", ["cifar-10-batches-bin", "hf-parquet"])
def test_binary_files_and_parquet_give_the_same_rows(
    real_data: Path, cifar10: Path, tmp_path: Path, layout: str
) -> None:
    """The same keys, pixels and labels in the same order as the pickles."""
    ss.write("cifar10", real_data / "cifar10" / layout, out=tmp_path / "out", shard_size="2MB")
    for split in ("train", "test"):
        mine, reference = facts_by_key(ss.open(tmp_path / "out", split)), facts_by_key(ss.open(cifar10, split))
        assert sorted(mine) == sorted(reference)[: len(mine)]
        assert len(mine) == {"train": 2000, "test": 400}[split] // (2 if layout == "hf-parquet" else 1)  # half is there
        assert all(reference[key] == facts for key, facts in mine.items())


def facts_by_key(ds: ss.ShardDataset) -> dict[str, tuple[int, int]]:
    """Label and checksum of the encoded pixels."""
    table = ds.index_columns(["key", "label", "png_xxh3"])
    return {row["key"]: (row["label"], row["png_xxh3"]) for row in table.to_pylist()}


def test_raw_encoding_holds_the_same_pixels(real_data: Path, cifar10: Path, tmp_path: Path) -> None:
    """--encode raw stores .npy; batches of both are equal."""
    ss.write("cifar10", real_data / "cifar10/cifar-10-batches-py", out=tmp_path / "out", shard_size="2MB", encode="raw")
    raw, png = ss.open(tmp_path / "out", "test"), ss.open(cifar10, "test")
    assert raw.info.image_field == "npy"
    for a, b in zip(ss.Loader(raw, batch_size=100), ss.Loader(png, batch_size=100), strict=True):
        assert (a["image"] == b["image"]).all()
        assert a["key"] == b["key"]


def test_cifar100_holds_fine_and_coarse_labels(real_data: Path, tmp_path: Path) -> None:
    """1,000 train and 200 test rows of the pickles, both labels, both lists of names."""
    folder = real_data / "cifar100/cifar-100-python"
    ss.write("cifar100", folder, out=tmp_path / "out")
    with open(folder / "meta", "rb") as file:
        names = pickle.load(file, encoding="latin1")
    for split, count in (("train", 1000), ("test", 200)):
        pixels, fine = official_rows(folder / split, "fine_labels")
        _, coarse = official_rows(folder / split, "coarse_labels")
        items = rows_by_key(ss.open(tmp_path / "out", split))
        assert len(items) == count
        for row, key in enumerate(sorted(items)):
            item = items[key]
            assert np.array_equal(np.asarray(item["image"]), pixels[row])
            assert (item["label"], item["coarse_label"]) == (fine[row], coarse[row])
            assert item["label_name"] == names["fine_label_names"][fine[row]]
            assert item["coarse_label_name"] == names["coarse_label_names"][coarse[row]]


def test_a_class_folder_keeps_every_file_bit_for_bit(real_data: Path, tmp_path: Path) -> None:
    """230 real ImageNet photos, compared by digest through Python's own tarfile."""
    ss.write("folder", real_data / TRAIN, out=tmp_path / "out", shard_size="8MB")
    packed = []
    for url in ss.open(tmp_path / "out", "train").urls:
        with tarfile.open(url) as tar:
            packed += [hashlib.sha256(tar.extractfile(m).read()).hexdigest() for m in tar if m.name.endswith(".jpg")]  # type: ignore[union-attr]
    original = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (real_data / TRAIN).rglob("*.JPEG")]
    assert len(original) == 230
    assert sorted(packed) == sorted(original)


def test_the_folder_labels_are_the_sorted_class_names(real_data: Path, tmp_path: Path) -> None:
    """As torchvision's ImageFolder has them; pixels as Pillow decodes them."""
    ss.write("folder", real_data / TRAIN, out=tmp_path / "out")
    ds = ss.open(tmp_path / "out", "train")
    assert list(ds.classes) == sorted(path.name for path in (real_data / TRAIN).iterdir())
    for i in range(0, 230, 23):
        item = ds[i]
        assert ds.classes[item["label"]] == item["path"].split("/")[0]
        with Image.open(io.BytesIO((real_data / TRAIN / item["path"]).read_bytes())) as image:
            assert np.array_equal(np.asarray(item["image"]), np.asarray(image.convert("RGB")))


def test_the_evaluation_recipe_gives_the_reference_pixels(real_data: Path, tmp_path: Path) -> None:
    """Resize(256) + CenterCrop(224) of torchvision on PIL images, bit for bit, where decode is ``exact``."""
    ss.write("folder", real_data / TRAIN, out=tmp_path / "out")
    ds = ss.open(tmp_path / "out", "train")
    pipeline = ss.transforms.Compose([ss.transforms.Resize(256), ss.transforms.CenterCrop(224)])
    reference = v2.Compose([v2.Resize(256), v2.CenterCrop(224), v2.PILToTensor()])
    batch = next(iter(ss.Loader(ds, batch_size=60, transform=pipeline, decode="exact")))
    for row in range(60):
        assert torch.equal(batch["image"][row], reference(ds[row]["image"]))
