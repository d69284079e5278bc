"""The two sources that pip ships: scikit-learn's digits and scikit-image's photographs."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shardstream.counted import mix_one
from shardstream.shard_writer.sources import SourceOptions, open_source
from shardstream.shard_writer.types import Source

from .conformance import SourceConformance

sklearn_datasets = pytest.importorskip("sklearn.datasets")
skimage = pytest.importorskip("skimage")


@pytest.mark.parametrize("encode", ["png", "raw"])
class TestDigitsConformance(SourceConformance):
    """Both encodings."""

    @pytest.fixture
    def source(self, encode: str) -> Source:
        return open_source("digits", None, SourceOptions(encode=encode))


class TestPhotosConformance(SourceConformance):
    """PNG and JPEG under one field."""

    @pytest.fixture
    def source(self) -> Source:
        return open_source("photos")


def test_every_digit_is_packed_once_and_loses_nothing() -> None:
    """All 1,797 come back as scikit-learn's own 0..16, with their targets."""
    truth = sklearn_datasets.load_digits()
    source = open_source("digits")
    seen = []
    for name in source.splits():
        split = source.split(name)
        for record in split.records():
            sample = split.read(record)
            row = sample.annotations["row"]
            with Image.open(io.BytesIO(sample.image)) as image:
                assert (image.mode, image.size) == ("L", (8, 8))
                pixels = np.asarray(image).astype(float)
            assert np.array_equal(np.rint(pixels * 16 / 255), truth.images[row])
            assert sample.annotations["target"] == sample.label == truth.target[row]
            assert sample.key == f"{name}-{row:04d}"
            seen.append(row)
    assert sorted(seen) == list(range(1797))


def test_the_split_of_digits_is_stratified_and_counted() -> None:
    """A fifth of each class, those with the smallest hash of their row: the same for ever."""
    truth = sklearn_datasets.load_digits().target
    split = open_source("digits").split("test")
    rows = {record.where for record in split.records()}
    for label, count in Counter(truth.tolist()).items():
        ordered = sorted((row for row in range(1797) if truth[row] == label), key=lambda row: mix_one(0, row))
        assert {row for row in rows if truth[row] == label} == set(ordered[: round(count / 5)])
    assert split.info.pixel_stats


def test_photos_are_the_files_that_the_wheel_ships() -> None:
    """Original bytes, each with its licence and credit; at least a dozen."""
    split = open_source("photos").split("train")
    found = [split.read(record) for record in split.records()]
    folder = Path(skimage.__file__).parent / "data"
    assert len(found) >= 12
    for sample in found:
        assert sample.image == (folder / sample.annotations["path"]).read_bytes()
        assert sample.annotations["licence"] in ("CC0", "public domain", "no known copyright restrictions")
        assert sample.annotations["credit"]
        assert sample.key == sample.annotations["path"].split(".")[0]


def test_every_photo_is_called_free_by_scikit_image_itself() -> None:
    """The words stand in the docstring of the function that loads the file."""
    source = (Path(skimage.__file__).parent / "data/_fetchers.py").read_text()
    split = open_source("photos").split("train")
    for record in split.records():
        before = source[: source.index(f"data/{record.where}")]
        text = before[before.rindex("\ndef ") :]
        assert any(
            word in " ".join(text.split())
            for word in ("CC0", "public domain", "No known copyright", "Creative Commons CC0")
        )


def test_photos_import_neither_scikit_image_nor_its_downloader(tmp_path: Path) -> None:
    """Its fetcher may go to the network; a fresh process shows that it is not even loaded."""
    code = (
        "import json, sys; from shardstream.shard_writer.sources import open_source;"
        "s = open_source('photos').split('train'); [s.read(r) for r in s.records()];"
        "print(json.dumps(sorted({'pooch', 'skimage.data._fetchers', 'skimage'} & set(sys.modules))))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(found.stdout) == []
