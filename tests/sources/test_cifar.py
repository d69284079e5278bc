"""CIFAR in every published form, against the raw files read anew by pickle, NumPy and pyarrow."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from shardstream.shard_writer.sources import SourceOptions, open_source
from shardstream.shard_writer.types import Source, SourceSplit

from .conformance import SourceConformance

FORMS = {
    "cifar10": ("cifar-10-batches-py", "cifar-10-batches-bin", "hf-parquet"),
    "cifar100": ("cifar-100-python", "cifar-100-binary", "hf-parquet"),
}
ALL = [(name, form) for name, forms in FORMS.items() for form in forms]
PICKLES = {
    "cifar10": {
        "train": [f"cifar-10-batches-py/data_batch_{i}" for i in range(1, 6)],
        "test": ["cifar-10-batches-py/test_batch"],
    },
    "cifar100": {"train": ["cifar-100-python/train"], "test": ["cifar-100-python/test"]},
}


def pixels_of(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def truth(real_data: Path, name: str, split: str) -> dict[str, Any]:
    """Pixels (N,32,32,3), labels and file names by plain pickle."""
    parts = [pickle.loads((real_data / name / file).read_bytes(), encoding="latin1") for file in PICKLES[name][split]]
    joined: dict[str, Any] = {
        key: [x for part in parts for x in part[key]] for key in parts[0] if key not in ("data", "batch_label")
    }
    joined["pixels"] = np.concatenate([part["data"] for part in parts]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return joined


@pytest.mark.parametrize("encode", [None, "raw"], ids=["png", "raw"])
@pytest.mark.parametrize(("name", "form"), ALL)
class TestConformance(SourceConformance):
    """Every form of both sets, in both encodings."""

    @pytest.fixture
    def source(self, real_data: Path, name: str, form: str, encode: str | None) -> Source:
        return open_source(name, str(real_data / name / form), SourceOptions(encode=encode))


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(("name", "form"), ALL)
def test_every_form_gives_the_pixels_and_labels_of_the_pickles(
    real_data: Path, name: str, form: str, split: str
) -> None:
    """Same keys, pixels and labels in the same order, over all rows that both forms hold."""
    expected = truth(real_data, name, split)
    opened = open_source(name, str(real_data / name / form)).split(split)
    records = opened.records()
    both = min(len(records), len(expected["pixels"]))
    assert both >= 200
    for row, record in enumerate(records[:both]):
        sample = opened.read(record)
        assert record.key == f"{split}-{row:05d}"
        assert np.array_equal(pixels_of(sample.image), expected["pixels"][row])
        assert sample.label == expected["labels" if name == "cifar10" else "fine_labels"][row]
        assert sample.annotations["index"] == row
        if name == "cifar100":
            assert sample.columns["coarse_label"] == expected["coarse_labels"][row]
        assert sample.annotations["filename"] == (expected["filenames"][row] if "py" in form.split("-")[-1] else None)


def test_a_row_leads_back_to_its_batch_file(real_data: Path) -> None:
    """Row 801 of train is row 1 of data_batch_3, since the real batches here hold 400 rows each."""
    split = open_source("cifar10", str(real_data / "cifar10/cifar-10-batches-py")).split("train")
    found = split.read(split.records()[801]).annotations
    assert (found["batch"], found["row"]) == ("data_batch_3", 1)


def test_labels_agree_with_the_full_official_lists(real_data: Path) -> None:
    """The partial set is the beginning of the official one: 2,000 rows of train, 400 of test."""
    full = real_data / "cifar10/labels-full"
    train = [int(line) for line in (full / "train_labels_50000.txt").read_text().split()]
    test = [int(line) for line in (full / "test_labels_10000.txt").read_text().split()]
    source = open_source("cifar10", str(real_data / "cifar10/cifar-10-batches-py"))
    found = {
        name: [source.split(name).read(record) for record in source.split(name).records()] for name in source.splits()
    }
    assert [sample.label for sample in found["train"]] == train[:2000]
    assert [sample.label for sample in found["test"]] == test[:400]
    names = (full / "test_filenames_10000.txt").read_text().split()
    assert [sample.annotations["filename"] for sample in found["test"]] == names[:400]


def test_binary_rows_are_those_that_numpy_reads(real_data: Path) -> None:
    """All 3,000 rows of CIFAR-100: coarse byte, fine byte, 3,072 pixels."""
    raw = np.fromfile(real_data / "cifar100/cifar-100-binary/train.bin", np.uint8).reshape(-1, 3074)
    split = open_source("cifar100", str(real_data / "cifar100/cifar-100-binary"), SourceOptions(encode="raw")).split(
        "train"
    )
    assert len(split.records()) == 3000
    for row, record in enumerate(split.records()):
        sample = split.read(record)
        array = np.load(io.BytesIO(sample.image), allow_pickle=False)
        assert array.shape == (32, 32, 3)
        assert np.array_equal(array.transpose(2, 0, 1).ravel(), raw[row, 2:])
        assert (sample.columns["coarse_label"], sample.label) == (raw[row, 0], raw[row, 1])


def test_parquet_images_keep_their_own_bytes(real_data: Path) -> None:
    """They are lossless PNG files already; another encoder would only change their bytes."""
    path = real_data / "cifar10/hf-parquet/plain_text/test-00000-of-00001.parquet"
    expected = [row["bytes"] for row in pq.read_table(path)["img"].to_pylist()]
    split = open_source("cifar10", str(path.parents[1])).split("test")
    assert [split.read(record).image for record in split.records()] == expected


def test_class_names_are_the_official_ones(real_data: Path) -> None:
    """Read from the meta files of each form."""
    names = (real_data / "cifar10/cifar-10-batches-bin/batches.meta.txt").read_text().split()
    fine = (real_data / "cifar100/cifar-100-binary/fine_label_names.txt").read_text().split()
    coarse = (real_data / "cifar100/cifar-100-binary/coarse_label_names.txt").read_text().split()
    for form in FORMS["cifar10"]:
        assert list(open_source("cifar10", str(real_data / "cifar10" / form)).about().classes["label"]) == names
    for form in FORMS["cifar100"]:
        found = open_source("cifar100", str(real_data / "cifar100" / form)).about().classes
        assert (list(found["label"]), list(found["coarse_label"])) == (fine, coarse)


def test_a_partial_set_is_packed_as_it_is_and_says_so(real_data: Path) -> None:
    """batches.meta claims 10,000 rows a batch; 400 are there."""
    about = open_source("cifar10", str(real_data / "cifar10/cifar-10-batches-py")).about()
    assert "partial: train holds 2,000 of 50,000 images" in about.notes
    assert "partial: test holds 400 of 10,000 images" in about.notes


def test_png_files_are_the_same_between_processes(real_data: Path, tmp_path: Path) -> None:
    """Workers must write byte-identical shards."""
    import hashlib
    import subprocess
    import sys

    folder = str(real_data / "cifar10/cifar-10-batches-py")
    code = (
        "import hashlib, sys; from shardstream.shard_writer.sources import open_source;"
        "s = open_source('cifar10', sys.argv[1]).split('test');"
        "print(hashlib.sha256(b''.join(s.read(r).image for r in s.records())).hexdigest())"
    )
    split: SourceSplit = open_source("cifar10", folder).split("test")
    here = hashlib.sha256(b"".join(split.read(record).image for record in split.records())).hexdigest()
    there = subprocess.run(
        [sys.executable, "-c", code, folder], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert there.stdout.strip() == here
