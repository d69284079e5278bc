"""What the trainer examples share: a small network for packed digits, and a record of what each rank trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional


class SmallNetwork(nn.Module):
    """22,000 weights for 10 classes: uint8 (B, 3, H, W), digits of 8 x 8 or any larger pictures, to logits."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(256, classes),
        )  # fmt: skip

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.body(image.float() / 128 - 1)
        return logits


def loss_of(model: nn.Module, batch: Mapping[str, Any], world_size: int, global_batch: int) -> torch.Tensor:
    """One rank's part of the mean over the global batch: averaged over ranks (as DDP does) it is that mean.

    Rows that only fill a batch have label -100, which is ignored.
    """
    summed = functional.cross_entropy(model(batch["image"]), batch["label"], ignore_index=-100, reduction="sum")
    return summed * (world_size / global_batch)


@torch.no_grad()
def hits(model: nn.Module, batch: Mapping[str, Any]) -> torch.Tensor:
    """[right, asked] of the rows that count."""
    right = (model(batch["image"]).argmax(1) == batch["label"]) & batch["valid"]
    return torch.stack([right.sum(), batch["valid"].sum()])


class Record:
    """One line of JSON a step and rank: what was trained on. The tests of these examples add them up."""

    def __init__(self, folder: str | None, rank: int) -> None:
        self.path = None if folder is None else Path(folder) / f"rank-{rank}.jsonl"
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, epoch: int, step: int, batch: Mapping[str, Any], loss: float) -> None:
        if self.path is None:
            return
        keys = [key for key, valid in zip(batch["key"], batch["valid"].tolist(), strict=True) if valid]
        with self.path.open("a") as file:
            file.write(json.dumps({"epoch": epoch, "step": step, "loss": loss, "keys": keys}) + "\n")
