"""webdataset: its fluent pipeline in a ``WebLoader``, batches made in the workers, unused members left out."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import webdataset as wds
from photos import channels_first, photo
from side import Batch, Epoch, Job, Side, main


def open_pipeline(job: Job) -> Epoch:
    """Its documentation's order: shards shuffled, a shuffle buffer, map, batched."""
    shuffled = job.recipe in ("imagenet", "cifar")
    dataset = wds.WebDataset(
        job.tars, shardshuffle=100 if shuffled else False, detshuffle=shuffled, select_files=_is_needed
    )
    if shuffled:
        dataset = dataset.shuffle(1000)
    if job.recipe == "read":
        batches = dataset.to_tuple("jpg").batched(job.batch, collation_fn=_first)
    elif job.recipe == "cifar":
        batches = dataset.decode().to_tuple("npy", "cls").batched(job.batch).map_tuple(channels_first, torch.as_tensor)
    else:
        rows = dataset.to_tuple("jpg", "cls").map_tuple(photo(job.recipe), int)
        batches = rows.batched(job.batch).map_tuple(_same, torch.as_tensor)
    loader = wds.WebLoader(batches, batch_size=None, num_workers=job.workers, persistent_workers=True)

    def epoch() -> Iterator[Batch]:
        for batch in loader:
            yield (batch, None) if job.recipe == "read" else batch

    return epoch


def _is_needed(name: str) -> bool:
    return not name.endswith(".json")


def _first(rows: list[tuple[bytes]]) -> list[bytes]:
    return [row[0] for row in rows]


def _same(images: torch.Tensor) -> torch.Tensor:
    return images


if __name__ == "__main__":
    how = "WebDataset over the tars, shuffle(1000), batched in 2 persistent workers"
    main(
        Side(
            settings={
                "imagenet": f"{how}, torchvision decode_jpeg and v2 on tensors",
                "eval": f"{how}, not shuffled, torchvision decode_jpeg and v2 on tensors",
                "read": f"{how}, not shuffled, nothing decoded",
                "cifar": f"{how}, decode() of .npy",
            },
            open=open_pipeline,
        )
    )
