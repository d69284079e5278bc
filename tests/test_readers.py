"""Others read what we write, and we read what others write: webdataset, Hugging Face datasets, GNU tar."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset as wds
from PIL import Image

import shardstream as ss

from .toy import pack_toy, toy_pixels


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    return pack_toy(tmp_path_factory.mktemp("toy") / "out", 60)


def expected(ds: ss.ShardDataset) -> dict[str, tuple[int, int]]:
    """key -> (number, label), in canonical order."""
    return {item["key"]: (item["number"], item["label"]) for item in ds}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # webdataset leaves its files open
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("how", ["urls", "pipeline"])
def test_webdataset_reads_our_shards(ds: ss.ShardDataset, how: str) -> None:
    """The same keys in the same order, pixels, labels and JSON decoded by webdataset itself."""
    pipeline = wds.WebDataset(ds.urls, shardshuffle=False) if how == "urls" else ds.webdataset()
    samples = list(pipeline.decode("rgb8"))
    assert [sample["__key__"] for sample in samples] == list(expected(ds))
    for sample in samples:
        number, label = expected(ds)[sample["__key__"]]
        assert np.array_equal(sample["png"], toy_pixels(number))
        assert sample["cls"] == label
        assert sample["json"] == {"number": number}


@pytest.mark.parametrize("streaming", [True, False])
def test_hugging_face_datasets_reads_our_shards(ds: ss.ShardDataset, tmp_path: Path, streaming: bool) -> None:
    """load_dataset("webdataset"), map-style and streaming."""
    datasets = pytest.importorskip("datasets")
    theirs = datasets.load_dataset(
        "webdataset", data_files={"train": ds.urls}, split="train", streaming=streaming, cache_dir=str(tmp_path)
    )
    rows = list(theirs)
    assert [row["__key__"] for row in rows] == list(expected(ds))
    for row in rows:
        number, label = expected(ds)[row["__key__"]]
        assert np.array_equal(np.asarray(row["png"]), toy_pixels(number))
        assert (row["json"]["number"], row["cls"]) == (number, label)


def test_gnu_tar_reads_our_shards(ds: ss.ShardDataset, tmp_path: Path) -> None:
    """tar -x gives every member, byte for byte."""
    for url in ds.urls:
        subprocess.run(["tar", "-xf", url, "-C", str(tmp_path)], check=True)
    assert len(list(tmp_path.iterdir())) == 3 * len(ds)
    for key, (number, label) in expected(ds).items():
        assert np.array_equal(np.asarray(Image.open(tmp_path / f"{key}.png")), toy_pixels(number))
        assert (tmp_path / f"{key}.cls").read_text() == str(label)
        assert json.loads((tmp_path / f"{key}.json").read_text()) == {"number": number}


def written_by_webdataset(folder: Path, count: int) -> dict[str, int]:
    """``count`` samples of webdataset's own ShardWriter; key -> label."""
    folder.mkdir()
    labels = {}
    with wds.ShardWriter(str(folder / "set-%04d.tar"), maxcount=700, verbose=0) as writer:
        for number in range(count):
            buffer = io.BytesIO()
            Image.fromarray(toy_pixels(number)).save(buffer, "png")
            labels[f"s{number:06d}"] = number % 5
            writer.write(
                {"__key__": f"s{number:06d}", "png": buffer.getvalue(), "cls": number % 5, "json": {"number": number}}
            )
    return labels


def test_samples_written_by_webdataset_are_indexed_and_streamed_exactly_once(tmp_path: Path) -> None:
    """4,000 samples in 6 tars, two epochs, three ranks; not a byte of the tars is rewritten."""
    labels = written_by_webdataset(tmp_path / "theirs", 4000)
    before = {path.name: path.read_bytes() for path in (tmp_path / "theirs").iterdir()}
    ss.index(str(tmp_path / "theirs"), None, "train")
    assert all((tmp_path / "theirs" / name).read_bytes() == data for name, data in before.items())
    ds = ss.open(tmp_path / "theirs")
    loaders = [ss.Loader(ds, batch_size=64, shuffle=True, drop_last=False, world=ss.World(r, 3)) for r in range(3)]
    for _ in range(2):
        found: dict[str, Any] = {}
        for loader in loaders:
            for batch in loader:
                for row, key in enumerate(batch["key"]):
                    if batch["valid"][row]:
                        assert key not in found
                        found[key] = int(batch["label"][row])
        assert found == labels
