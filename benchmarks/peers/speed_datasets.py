"""Hugging Face datasets: an Arrow set on disk, map-style, whole batches indexed at once by the DataLoader's workers."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from datasets import Array3D, Dataset, Features, Value, load_from_disk
from photos import channels_first, photo
from side import Batch, Epoch, Job, Side, main
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler

NAME = "datasets"


def prepare(job: Job) -> None:
    """The files' bytes, or arrays of fixed shape."""
    if os.path.exists(os.path.join(job.own(NAME), "state.json")):
        return
    if job.recipe == "cifar":
        images, labels = (np.load(os.path.join(job.rows, f"{name}.npy")) for name in ("images", "labels"))
        features = Features({"image": Array3D((32, 32, 3), "uint8"), "label": Value("int64")})
        made = Dataset.from_dict({"image": list(images), "label": labels}, features=features)
    else:
        files = sorted(glob.glob(os.path.join(job.photos, "*", "*")))
        labels = [int(file.split(os.sep)[-2]) for file in files]
        features = Features({"image": Value("binary"), "label": Value("int64")})
        made = Dataset.from_dict({"image": [_bytes(file) for file in files], "label": labels}, features=features)
    made.save_to_disk(job.own(NAME), num_shards=2)


def _bytes(file: str) -> bytes:
    with open(file, "rb") as opened:
        return opened.read()


def open_loader(job: Job) -> Epoch:
    """Its documentation's ``BatchSampler``: one call per batch instead of one per row."""
    loaded = load_from_disk(job.own(NAME))
    if job.recipe == "cifar":
        rows = loaded.with_format("numpy", dtype=np.uint8)
    elif job.recipe == "read":
        rows = loaded
    else:
        rows = loaded.with_transform(_transform(job.recipe))
    shuffled = job.recipe in ("imagenet", "cifar")
    order = RandomSampler(rows) if shuffled else SequentialSampler(rows)
    loader = DataLoader(
        rows,
        sampler=BatchSampler(order, job.batch, drop_last=False),
        batch_size=None,
        num_workers=job.workers,
        persistent_workers=True,
        collate_fn=_arrays if job.recipe == "cifar" else _same,
    )

    def epoch() -> Iterator[Batch]:
        for batch in loader:
            yield batch["image"], batch["label"]

    return epoch


def _transform(recipe: str) -> Any:
    function = photo(recipe)

    def batch(rows: dict[str, list[Any]]) -> dict[str, Any]:
        return {"image": torch.stack([function(data) for data in rows["image"]]), "label": torch.tensor(rows["label"])}

    return batch


def _arrays(batch: dict[str, Any]) -> dict[str, Any]:
    return {"image": channels_first(batch["image"]), "label": torch.as_tensor(batch["label"]).long()}


def _same(batch: dict[str, Any]) -> dict[str, Any]:
    return batch


if __name__ == "__main__":
    how = "load_from_disk, DataLoader with BatchSampler, 2 persistent workers"
    main(
        Side(
            settings={
                "imagenet": f"{how}, with_transform: torchvision decode_jpeg and v2 on tensors",
                "eval": f"{how}, with_transform: torchvision decode_jpeg and v2 on tensors",
                "read": f"{how}, binary column",
                "cifar": f"{how}, Array3D column, with_format('numpy', dtype=uint8)",
            },
            open=open_loader,
            prepare=prepare,
        )
    )
