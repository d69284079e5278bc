"""litdata: chunks of the original JPEG bytes, which it decodes itself, in a ``StreamingDataLoader``."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import litdata
import numpy as np
import torch
from photos import augment, channels_first, stacked
from PIL import Image
from side import Batch, Epoch, Job, Side, main


class Photos(litdata.StreamingDataset):  # type: ignore[misc]
    """Each sample through ``function``."""

    def __init__(self, function: Any, **options: Any) -> None:
        super().__init__(**options)
        self.function = function

    def __getitem__(self, at: Any) -> Any:
        return self.function(super().__getitem__(at))


def _name(job: Job) -> str:
    """Bytes are another leaf type than pictures."""
    return job.own("litdata-bytes" if job.recipe == "read" else "litdata")


def _picture(file: str) -> dict[str, Any]:
    return {"image": Image.open(file), "label": int(file.split(os.sep)[-2])}


def _file(file: str) -> dict[str, Any]:
    with open(file, "rb") as opened:
        return {"image": opened.read()}


def _pixels(folder: str, row: int) -> dict[str, Any]:
    images, labels = (np.load(os.path.join(folder, f"{name}.npy"), mmap_mode="r") for name in ("images", "labels"))
    return {"image": torch.from_numpy(images[row].copy()), "label": int(labels[row])}


def prepare(job: Job) -> None:
    """``optimize``: pictures opened from files keep their bytes."""
    if os.path.exists(os.path.join(_name(job), "index.json")):
        return
    inputs: Any = sorted(glob.glob(os.path.join(job.photos, "*", "*")))
    function: Any = _file if job.recipe == "read" else _picture
    if job.recipe == "cifar":
        inputs, function = list(range(job.images)), partial(_pixels, job.rows)
    litdata.optimize(function, inputs, _name(job), chunk_bytes="64MB", num_workers=2, verbose=False)


def open_loader(job: Job) -> Epoch:
    """Shuffled by its default."""
    functions = {"read": _image, "cifar": _row}
    dataset = Photos(
        functions.get(job.recipe) or _transformed(job.recipe),
        input_dir=_name(job),
        shuffle=job.recipe in ("imagenet", "cifar"),
    )
    collate = {"read": list, "cifar": _rows}.get(job.recipe, stacked)
    loader = litdata.StreamingDataLoader(
        dataset, batch_size=job.batch, num_workers=job.workers, persistent_workers=True, collate_fn=collate
    )

    def epoch() -> Iterator[Batch]:
        for batch in loader:
            yield (batch, None) if job.recipe == "read" else batch

    return epoch


def _transformed(recipe: str) -> Any:
    function = augment(recipe)

    def sample(row: dict[str, Any]) -> tuple[Any, int]:
        image = row["image"]
        return function(image if len(image) == 3 else image.expand(3, -1, -1)), row["label"]  # grey ones are (1, H, W)

    return sample


def _image(sample: dict[str, Any]) -> bytes:
    data: bytes = sample["image"]
    return data


def _row(sample: dict[str, Any]) -> tuple[Any, int]:
    return sample["image"], sample["label"]


def _rows(rows: list[tuple[Any, int]]) -> Batch:
    images, labels = stacked(rows)
    return channels_first(images), labels


if __name__ == "__main__":
    how = "StreamingDataset (local chunks of 64 MB) in StreamingDataLoader, 2 persistent workers"
    main(
        Side(
            settings={
                "imagenet": f"{how}, shuffled, JPEGs decoded by litdata (torchvision), v2 on tensors",
                "eval": f"{how}, not shuffled, JPEGs decoded by litdata (torchvision), v2 on tensors",
                "read": f"{how}, not shuffled, bytes",
                "cifar": f"{how}, shuffled, tensors",
            },
            open=open_loader,
            prepare=prepare,
        )
    )
