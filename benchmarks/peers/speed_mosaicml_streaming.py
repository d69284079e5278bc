"""mosaicml-streaming: MDS shards of the original bytes in a ``StreamingDataLoader``."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from photos import channels_first, photo, stacked
from side import Batch, Epoch, Job, Side, main
from streaming import MDSWriter, StreamingDataLoader, StreamingDataset
from streaming.base.util import clean_stale_shared_memory

NAME = "mds"


class Photos(StreamingDataset):  # type: ignore[misc]
    """Each sample through ``function``."""

    def __init__(self, function: Any, **options: Any) -> None:
        super().__init__(**options)
        self.function = function

    def __getitem__(self, at: int) -> Any:
        return self.function(super().__getitem__(at))


def prepare(job: Job) -> None:
    """``bytes`` and ``int`` columns, or ``ndarray`` rows."""
    folder = job.own(NAME)
    if os.path.exists(os.path.join(folder, "index.json")):
        return
    if job.recipe == "cifar":
        images, labels = (np.load(os.path.join(job.rows, f"{name}.npy")) for name in ("images", "labels"))
        samples = ({"image": image, "label": int(label)} for image, label in zip(images, labels, strict=True))
        columns = {"image": "ndarray:uint8:32,32,3", "label": "int"}
    else:
        files = sorted(glob.glob(os.path.join(job.photos, "*", "*")))
        samples = ({"image": _bytes(file), "label": int(file.split(os.sep)[-2])} for file in files)
        columns = {"image": "bytes", "label": "int"}
    with MDSWriter(out=folder, columns=columns, size_limit=1 << 23) as out:
        for sample in samples:
            out.write(sample)


def _bytes(file: str) -> bytes:
    with open(file, "rb") as opened:
        return opened.read()


def open_loader(job: Job) -> Epoch:
    """Shuffled by its default, py1e."""
    clean_stale_shared_memory()
    functions = {"read": _image, "cifar": _row}
    dataset = Photos(
        functions.get(job.recipe) or _decoded(job.recipe),
        local=job.own(NAME),
        shuffle=job.recipe in ("imagenet", "cifar"),
        batch_size=job.batch,
    )
    collate = {"read": list, "cifar": _rows}.get(job.recipe, stacked)
    loader = StreamingDataLoader(
        dataset, batch_size=job.batch, num_workers=job.workers, persistent_workers=True, collate_fn=collate
    )

    def epoch() -> Iterator[Batch]:
        for batch in loader:
            yield (batch, None) if job.recipe == "read" else batch

    return epoch


def _decoded(recipe: str) -> Any:
    function = photo(recipe)
    return lambda sample: (function(sample["image"]), sample["label"])


def _image(sample: dict[str, Any]) -> bytes:
    data: bytes = sample["image"]
    return data


def _row(sample: dict[str, Any]) -> tuple[Any, int]:
    return sample["image"], sample["label"]


def _rows(rows: list[tuple[Any, int]]) -> Batch:
    import torch

    images, labels = zip(*rows, strict=True)
    return channels_first(np.stack(images)), torch.tensor(labels)


if __name__ == "__main__":
    how = "StreamingDataset (local MDS) in StreamingDataLoader, 2 persistent workers"
    main(
        Side(
            settings={
                "imagenet": f"{how}, py1e, torchvision decode_jpeg and v2 on tensors",
                "eval": f"{how}, not shuffled, torchvision decode_jpeg and v2 on tensors",
                "read": f"{how}, not shuffled, bytes column",
                "cifar": f"{how}, py1e, ndarray column",
            },
            open=open_loader,
            prepare=prepare,
        )
    )
