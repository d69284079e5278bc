"""What augmentation is worth: one small network on CIFAR rows with and without it, over several seeds.

    python benchmarks/cifar_accuracy.py CIFAR [--seeds 0 1 2] [--epochs 100] [--json FILE]

CIFAR is a folder with the official batches, whole or cut short; it is packed below a temporary folder. Every recipe of
``examples/cifar_train.py`` has the same network, first weights, order and number of steps, enough of them that without
augmentation every training image is learnt by heart. Nothing is chosen by the test images: the last epoch counts.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # `python -P`, which make uses, leaves it out

import torch
from measure import commit, machine, versions

import shardstream as ss

EXAMPLE = Path(__file__).parents[1] / "examples" / "cifar_train.py"
PLAIN, AUGMENTED = "none", "RandAugment, MixUp"


def example() -> ModuleType:
    """``examples/cifar_train.py`` as a module."""
    spec = importlib.util.spec_from_file_location("cifar_train", EXAMPLE)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def measured(source: str, seeds: list[int], epochs: int, width: int) -> dict[str, Any]:
    """All outcomes, as the JSON file holds them."""
    cifar = example()
    how = cifar.Training(epochs=epochs, width=width)
    with tempfile.TemporaryDirectory(prefix="cifar-") as folder:
        ss.write("cifar10", source, out=folder)
        splits = {name: ss.open(folder, split=name) for name in ("train", "test")}
        outcomes = cifar.compare(folder, list(cifar.RECIPES), seeds, how)
        print(cifar.table(outcomes))
        rows = {name: {"images": len(ds), "digest": ds.digest} for name, ds in splits.items()}
    return {"training": asdict(how), "seeds": seeds, "data": rows} | summary(
        {recipe: [asdict(run) for run in runs] for recipe, runs in outcomes.items()}
    )


def summary(recipes: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Each recipe's runs and means, and how many points of accuracy augmentation adds for each seed."""
    made: dict[str, Any] = {}
    for recipe, runs in recipes.items():
        shares = {f"{split}_accuracy": [run[f"{split}_accuracy"] for run in runs] for split in ("train", "test")}
        last = [round(run["losses"][-1], 4) for run in runs]
        means = {f"mean_{name}": round(statistics.fmean(values), 4) for name, values in shares.items()}
        made[recipe] = means | shares | {"last_loss": last, "seconds": [round(run["seconds"]) for run in runs]}
    pairs = zip(made[AUGMENTED]["test_accuracy"], made[PLAIN]["test_accuracy"], strict=True)
    return {"recipes": made, "points_gained": [round(100 * (more - plain), 2) for more, plain in pairs]}


def main() -> None:
    """Train, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="folder of the official CIFAR-10 batches")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--width", type=int, default=24, help="channels of the network's first stage")
    parser.add_argument("--json", metavar="FILE")
    given = parser.parse_args()
    torch.set_num_threads(1)  # small layers: two threads would mostly wait for each other
    head = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit(),
        "command": f"python benchmarks/cifar_accuracy.py CIFAR --seeds {' '.join(map(str, given.seeds))} "
        f"--epochs {given.epochs} --width {given.width}",
        "machine": machine(),
        "versions": versions(),
        "load_before": round(os.getloadavg()[0], 2),
    }
    result = head | measured(given.source, given.seeds, given.epochs, given.width)
    if given.json:
        Path(given.json).write_text(json.dumps(result, indent=1) + "\n")
    print(f"points gained by augmentation, seed by seed: {result['points_gained']}")


if __name__ == "__main__":
    main()
