"""torchvision: ``ImageFolder`` in a plain DataLoader; of small images one tensor in memory, gathered."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from photos import channels_first, photo
from side import Batch, Epoch, Job, Side, main
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder


def _bytes(file: str) -> bytes:
    with open(file, "rb") as opened:
        return opened.read()


def open_folder(job: Job) -> Epoch:
    """Loose files."""
    read = job.recipe == "read"
    folder = ImageFolder(job.photos, transform=None if read else photo(job.recipe), loader=_bytes)
    loader: DataLoader[Any] = DataLoader(
        folder,
        batch_size=job.batch,
        shuffle=job.recipe == "imagenet",
        num_workers=job.workers,
        persistent_workers=True,
        collate_fn=_files if read else None,
    )

    def epoch() -> Iterator[Batch]:
        yield from loader

    return epoch


def _files(rows: list[tuple[bytes, int]]) -> tuple[list[bytes], None]:
    return [row[0] for row in rows], None


def open_tensor(job: Job) -> Epoch:
    """The whole set as one tensor, the way small sets are trained on without a loader."""
    images, labels = (torch.from_numpy(np.load(os.path.join(job.rows, f"{name}.npy"))) for name in ("images", "labels"))

    def epoch() -> Iterator[Batch]:
        for rows in torch.randperm(len(images)).split(job.batch):
            yield channels_first(images[rows]), labels[rows]

    return epoch


if __name__ == "__main__":
    how = "ImageFolder in a DataLoader, 2 persistent workers"
    main(
        Side(
            settings={
                "imagenet": f"{how}, shuffled, torchvision decode_jpeg and v2 on tensors",
                "eval": f"{how}, torchvision decode_jpeg and v2 on tensors",
                "read": f"{how}, nothing decoded",
                "cifar": "one tensor in memory, rows gathered by torch, no loader",
            },
            open=lambda job: open_tensor(job) if job.recipe == "cifar" else open_folder(job),
        )
    )
