"""Train a small residual network on CIFAR, with and without augmentation, and compare what it knows of unseen pictures.

    shardstream write cifar10 --source cifar-10-batches-py --out SHARDS
    python examples/cifar_train.py SHARDS

Every recipe gets the same network, first weights, order of the images and number of steps; only what happens to the
pictures differs. RandAugment and MixUp run on the device, drawn for each sample. What counts is the accuracy after the
last epoch on the test split, which nothing was chosen by.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

import shardstream as ss
from shardstream import transforms as T  # noqa: N812 - as torchvision's users write it

RECIPES: Mapping[str, Callable[[], T.Compose]] = {
    "none": ss.presets.cifar_eval,
    "crop, flip": ss.presets.cifar_train,
    "RandAugment, MixUp": lambda: ss.presets.cifar_train(policy="randaugment", mixing="mixup"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What all recipes share."""

    epochs: int = 100
    batch_size: int = 100
    width: int = 24
    learning_rate: float = 0.1
    weight_decay: float = 5e-4
    device: str = "cpu"
    workers: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One training: the loss of each epoch (of what was fed, so harder with augmentation) and both accuracies."""

    losses: list[float]
    train_accuracy: float
    """On the training images as they are: how well they were learnt by heart."""
    test_accuracy: float
    seconds: float


class Block(nn.Module):
    """Two convolutions and a way past them (He et al. 2015)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_convolved(before, after, stride), nn.ReLU(), *_convolved(after, after, 1))
        self.past = nn.Identity() if (before, stride) == (after, 1) else nn.Sequential(
            nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
        )  # fmt: skip

    def forward(self, pixels: Tensor) -> Tensor:
        return functional.relu(self.body(pixels) + self.past(pixels))


def _convolved(before: int, after: int, stride: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(before, after, 3, stride, padding=1, bias=False), nn.BatchNorm2d(after)


def network(width: int, classes: int) -> nn.Sequential:
    """(B, 3, 32, 32) to logits; the first step halves the sides, which a CPU can afford."""
    return nn.Sequential(
        *_convolved(3, width, 2), nn.ReLU(),
        Block(width, width, 1), Block(width, 2 * width, 2), Block(2 * width, 4 * width, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, classes),
    )  # fmt: skip


def fit(train: ss.ShardDataset, test: ss.ShardDataset, recipe: str, seed: int, how: Training) -> Outcome:
    """One training with one recipe; the same numbers for the same seed and machine."""
    torch.manual_seed(seed)
    start = time.perf_counter()
    model = network(how.width, len(train.classes)).to(how.device, memory_format=torch.channels_last)
    loader = ss.Loader(
        train, batch_size=how.batch_size, shuffle=True, seed=seed, transform=RECIPES[recipe](), device=how.device,
        num_workers=how.workers, worker_kind="thread",
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9, nesterov=True, weight_decay=how.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, how.learning_rate, total_steps=how.epochs * len(loader), pct_start=0.1
    )
    losses = [_epoch(model, loader, optimizer, schedule) for _ in range(how.epochs)]
    same = tuple(train.statistics["pixel_mean"]), tuple(train.statistics["pixel_std"])
    known, unseen = (accuracy(model, ds, ss.presets.cifar_eval(same), how.device) for ds in (train, test))
    return Outcome(losses, known, unseen, time.perf_counter() - start)


def _epoch(
    model: nn.Module,
    loader: ss.Loader,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> float:
    """The mean loss. Mixed labels are rows of shares, plain ones whole numbers: cross entropy takes both."""
    model.train()
    losses = []
    for batch in loader:
        loss = functional.cross_entropy(model(batch["image"]), batch["label"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return statistics.fmean(losses)


@torch.no_grad()
def accuracy(model: nn.Module, ds: ss.ShardDataset, transform: T.Compose, device: str) -> float:
    """Share of the split's images whose largest logit is their label, each counted once."""
    model.eval()
    right = 0
    for batch in ss.Loader(ds, batch_size=200, transform=transform, device=device):
        hits = model(batch["image"]).argmax(1) == batch["label"]
        right += int((hits & batch["valid"]).sum())
    return right / len(ds)


def compare(url: str, recipes: Sequence[str], seeds: Sequence[int], how: Training) -> dict[str, list[Outcome]]:
    """Each recipe with each seed, seed after seed; prints as it goes."""
    train, test = ss.open(url, split="train"), ss.open(url, split="test")
    outcomes: dict[str, list[Outcome]] = {recipe: [] for recipe in recipes}
    for seed in seeds:
        for recipe in recipes:
            made = fit(train, test, recipe, seed, how)
            outcomes[recipe].append(made)
            print(
                f"seed {seed}  {recipe:20}  loss {made.losses[0]:.2f} -> {made.losses[-1]:.2f}  "
                f"train {made.train_accuracy:6.1%}  test {made.test_accuracy:6.1%}  {made.seconds:.0f} s",
                flush=True,
            )
    return outcomes


def table(outcomes: Mapping[str, Sequence[Outcome]]) -> str:
    """Markdown: the accuracies of each recipe over its seeds."""
    lines = ["| recipe | train accuracy | test accuracy | each seed |", "|---|---|---|---|"]
    for recipe, runs in outcomes.items():
        known, unseen = ([getattr(run, f"{split}_accuracy") for run in runs] for split in ("train", "test"))
        each = ", ".join(f"{share:.1%}" for share in unseen)
        lines.append(f"| {recipe} | {statistics.fmean(known):.1%} | {statistics.fmean(unseen):.1%} | {each} |")
    return "\n".join(lines)


def main() -> None:
    default = Training()
    parser = argparse.ArgumentParser(description="Train on packed CIFAR-10 or CIFAR-100 with several augmentations.")
    parser.add_argument("shards", help="written by `shardstream write cifar10`")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES), metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=default.epochs)
    parser.add_argument("--batch-size", type=int, default=default.batch_size)
    parser.add_argument("--width", type=int, default=default.width, help="channels of the first stage (default 24)")
    parser.add_argument("--device", default=default.device)
    parser.add_argument("--workers", type=int, default=default.workers, help="threads that read and decode ahead")
    parser.add_argument("--threads", type=int, default=1, help="of torch on a CPU (default 1: the network is small)")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    how = Training(
        epochs=given.epochs, batch_size=given.batch_size, width=given.width, device=given.device, workers=given.workers
    )  # fmt: skip
    print(table(compare(given.shards, given.recipes, given.seeds, how)))


if __name__ == "__main__":
    main()
