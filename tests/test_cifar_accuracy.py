"""examples/cifar_train.py on real CIFAR-10 rows: it trains with and without augmentation, and augmentation pays."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

import shardstream as ss

ROOT = Path(__file__).parents[1]
ROWS = "cifar10/cifar-10-batches-py"
MIXED = "RandAugment, MixUp"


@pytest.fixture(scope="module")
def cifar() -> Iterator[ModuleType]:
    """The example as a module; one thread, as its command line has it."""
    spec = importlib.util.spec_from_file_location("cifar_train", ROOT / "examples" / "cifar_train.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError("cifar_train")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # dataclasses look their module up
    spec.loader.exec_module(module)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield module
    torch.set_num_threads(threads)
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def shards(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cifar") / "shards"
    ss.write("cifar10", real_data / ROWS, out=out)
    return out


def test_every_recipe_learns_and_is_compared_on_the_test_split(
    cifar: ModuleType, shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three epochs of a tiny network: the loss falls, and all three know more than a guess of 10 classes."""
    outcomes = cifar.compare(str(shards), list(cifar.RECIPES), [0], cifar.Training(epochs=3, width=8))
    for recipe, (run,) in outcomes.items():
        assert len(run.losses) == 3
        assert run.losses[-1] < run.losses[0] - 0.05, recipe
        assert run.test_accuracy > 0.17, recipe  # 400 images: a guess is above 0.146 once in 1,000
    assert capsys.readouterr().out.count("seed 0") == 3
    assert "| RandAugment, MixUp |" in cifar.table(outcomes)


def test_training_is_the_same_with_worker_threads_and_another_for_another_seed(cifar: ModuleType, shards: Path) -> None:
    """Order, crops, operations and partners are functions of the seed: every loss is equal to the last bit."""
    train, test = (ss.open(shards, split=split) for split in ("train", "test"))
    train = train.select(range(500))
    plain, threaded = (cifar.Training(epochs=1, width=8, workers=workers) for workers in (0, 2))
    first = cifar.fit(train, test, MIXED, 0, plain)
    again = cifar.fit(train, test, MIXED, 0, threaded)
    assert (first.losses, first.test_accuracy) == (again.losses, again.test_accuracy)
    assert cifar.fit(train, test, MIXED, 1, plain).losses != first.losses


def test_accuracy_counts_every_image_once(cifar: ModuleType, shards: Path) -> None:
    """A model that always says class 3: its share of the test labels, the last short batch included."""
    test = ss.open(shards, split="test").select(range(311))

    class Always(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.one_hot(torch.full((len(pixels),), 3), 10)

    labels = test.index.column("label").to_pylist()
    expected = labels.count(3) / 311
    assert cifar.accuracy(Always(), test, ss.presets.cifar_eval("imagenet"), "cpu") == expected > 0


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_augmentation_beats_none_on_unseen_images_over_three_seeds(real_data: Path, tmp_path: Path) -> None:
    """100 epochs each, the last one counts: the mean of three seeds, and each of them; what is learnt by heart is not."""
    script, out = ROOT / "benchmarks" / "cifar_accuracy.py", tmp_path / "out.json"
    done = subprocess.run(
        [sys.executable, "-P", script, real_data / ROWS, "--json", out], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(out.read_text())
    recipes = result["recipes"]
    assert recipes["none"]["mean_train_accuracy"] > 0.99
    assert recipes[MIXED]["mean_test_accuracy"] > recipes["none"]["mean_test_accuracy"]
    assert min(result["points_gained"]) > 0
    assert len(result["points_gained"]) == 3
