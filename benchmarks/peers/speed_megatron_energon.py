"""Megatron-Energon: the same tars with its own index, a ``TaskEncoder``, and its loader."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from megatron.energon import (
    DefaultTaskEncoder,
    ImageClassificationSample,
    WorkerConfig,
    get_savable_loader,
    get_train_dataset,
    get_val_dataset,
)
from photos import channels_first, photo
from side import Batch, Epoch, Job, Side, main

HEADER = 128  # of a .npy file of version 1.0


class Encoder(DefaultTaskEncoder):  # type: ignore[type-arg]
    """Gets undecoded members and decodes them as the other sides do."""

    decoder = None

    def __init__(self, recipe: str) -> None:
        super().__init__()
        self.recipe = recipe
        self.photo = photo(recipe)

    def encode_sample(self, sample: ImageClassificationSample) -> tuple[Any, int]:
        """Pixels and label; of ``read`` the bytes."""
        data: Any = sample.image
        if self.recipe == "read":
            return data, 0
        label = int(sample.label or 0)
        if self.recipe == "cifar":
            return np.frombuffer(data, dtype=np.uint8, offset=HEADER).reshape(32, 32, 3), label
        return self.photo(data), label

    def batch(self, samples: list[tuple[Any, int]]) -> tuple[Any, Any]:
        """Stacked."""
        images, labels = zip(*samples, strict=True)
        if self.recipe == "read":
            return list(images), None
        stacked = channels_first(np.stack(images)) if self.recipe == "cifar" else torch.stack(images)
        return stacked, torch.tensor(labels)


def prepare(job: Job) -> None:
    """Tars are linked, then indexed and described by ``energon prepare``."""
    folder = Path(job.own("energon"))
    if (folder / ".nv-meta" / "dataset.yaml").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    for tar in job.tars:
        (folder / Path(tar).name).symlink_to(tar)
    fields = {"image": "npy" if job.recipe == "cifar" else "jpg", "label": "cls"}
    options = {
        "--split-ratio": "1,0,0",
        "--sample-type": "ImageClassificationSample",
        "--field-map": json.dumps(fields),
        "--num-workers": "2",
    }
    energon = Path(sys.executable).parent / "energon"
    words = [word for option in options.items() for word in option]
    subprocess.run([energon, "prepare", "--non-interactive", *words, folder], check=True)


def open_loader(job: Job) -> Epoch:
    """One pass over the set per epoch, shuffled by shards, sequences of 100 and a buffer for training."""
    workers = WorkerConfig(rank=0, world_size=1, num_workers=job.workers)
    options: dict[str, Any] = {
        "worker_config": workers,
        "batch_size": job.batch,
        "task_encoder": Encoder(job.recipe),
    }
    if job.recipe in ("imagenet", "cifar"):
        dataset = get_train_dataset(
            job.own("energon"), shuffle_buffer_size=1000, max_samples_per_sequence=100, repeat=False, **options
        )
    else:
        dataset = get_val_dataset(job.own("energon"), split_part="train", **options)
    # Its forced garbage collections take 0.5 CPU seconds an epoch here.
    loader = get_savable_loader(dataset, gc_collect_every_n_steps=0)

    def epoch() -> Iterator[Batch]:
        yield from loader

    return epoch


if __name__ == "__main__":
    how = "get_savable_loader(gc_collect_every_n_steps=0) over the tars with energon's index, 2 workers"
    main(
        Side(
            settings={
                "imagenet": f"{how}, shuffle buffer 1000, sequences of 100, torchvision decode_jpeg and v2 on tensors",
                "eval": f"{how}, get_val_dataset, torchvision decode_jpeg and v2 on tensors",
                "read": f"{how}, get_val_dataset, nothing decoded",
                "cifar": f"{how}, shuffle buffer 1000, sequences of 100, .npy read with numpy.frombuffer",
            },
            open=open_loader,
            prepare=prepare,
        )
    )
