"""examples/hf_vit.py: the same pixel_values as Hugging Face datasets, with only the load line changed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import shardstream as ss

EXAMPLE = Path(__file__).parent.parent / "examples" / "hf_vit.py"
TRAIN = Path("imagenet/ILSVRC/Data/CLS-LOC/train")


@pytest.fixture(scope="module")
def shards(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("vit") / "shards"
    ss.write("folder", real_data / TRAIN, out=out)
    return out


def load_example() -> ModuleType:
    pytest.importorskip("transformers")
    spec = importlib.util.spec_from_file_location("hf_vit", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def path_of(example: dict[str, Any]) -> str:
    return str(Path(example["path"]).name)


def test_pixel_values_equal_those_of_hugging_face_datasets(real_data: Path, shards: Path, tmp_path: Path) -> None:
    """The same rows under the same seed, bit for bit, labels included."""
    datasets = pytest.importorskip("datasets")
    example = load_example()
    processor = example.AutoImageProcessor.from_pretrained(EXAMPLE.parent / "vit")
    transform = example.make_transform(processor)
    theirs = datasets.load_dataset(
        "imagefolder", data_dir=str(real_data / TRAIN), split="train", cache_dir=str(tmp_path)
    )
    names = [Path(row["image"]["path"]).name for row in theirs.cast_column("image", datasets.Image(decode=False))]
    ours = ss.open(shards, split="train")
    rows = {path_of(ours[i]): i for i in range(len(ours))}
    assert len(rows) == len(theirs) == 230
    mine, reference = ours.with_transform(transform), theirs.with_transform(transform)
    for row in range(0, 230, 5):
        torch.manual_seed(row)
        expected = reference[row]
        torch.manual_seed(row)
        found = mine[rows[names[row]]]
        assert torch.equal(found["pixel_values"], expected["pixel_values"])
        assert ours.classes[found["label"]] == theirs.features["label"].names[expected["label"]]


def test_the_example_runs_as_written(shards: Path) -> None:
    """As a user starts it, offline, for a few steps."""
    pytest.importorskip("transformers")
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), str(shards), "--steps", "3", "--batch-size", "8"],
        capture_output=True, text=True, check=False, timeout=200, env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "step    3  loss" in done.stdout
