"""A small convolutional network for 8x8 digits and its training loop."""

from __future__ import annotations

import torch
from rich.progress import track
from torch import nn

from ..loaders import Loader
from .progress import notes


def small_network(classes: int) -> nn.Sequential:
    """About 60,000 weights: two stages of convolutions on 8x8, then one linear layer."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3, padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 2 * 2, classes),
    )


def train_digits(loader: Loader, epochs: int, classes: int, seed: int = 0) -> nn.Module:
    """Train for some epochs with one-cycle SGD; the global generator is put back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = small_network(classes)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=epochs * len(loader))
    model.train()
    for _ in track(range(epochs), "train digits        ", console=notes, disable=not notes.is_terminal):
        for batch in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(batch["image"]), batch["label"])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return model


@torch.no_grad()
def accuracy(model: nn.Module, loader: Loader) -> float:
    """Share of valid rows whose largest logit is their label."""
    model.eval()
    right = total = 0
    for batch in loader:
        hits = model(batch["image"]).argmax(1) == batch["label"]
        right += int(hits[batch["valid"]].sum())
        total += int(batch["valid"].sum())
    return right / total
