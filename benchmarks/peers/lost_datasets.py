"""Hugging Face datasets on many ranks: ``split_dataset_by_node`` of a streamed and of a map-style set."""

from __future__ import annotations

import os
from typing import Any

from datasets import IterableDataset, load_dataset
from datasets.distributed import split_dataset_by_node
from ranks import Epoch, Job, numbers, on_ranks, report
from torch.utils.data import DataLoader


def whole_shards(job: Job) -> list[Epoch]:
    """Shards shared out over the ranks, as their number divides by the world size."""
    return _streamed(job, job.urls)


def every_nth(job: Job) -> list[Epoch]:
    """Where it does not divide, every rank reads everything and keeps one example in so many."""
    return _streamed(job, job.other_urls)


def _streamed(job: Job, urls: list[str]) -> list[Epoch]:
    streamed: IterableDataset = load_dataset("webdataset", data_files={"train": urls}, split="train", streaming=True)
    mine = split_dataset_by_node(streamed.shuffle(seed=0, buffer_size=1000), _env("RANK"), _env("WORLD_SIZE"))
    loader = DataLoader(mine, batch_size=job.batch, num_workers=job.workers, collate_fn=_numbers)
    found = []
    for epoch in range(job.epochs):
        mine.set_epoch(epoch)
        found.append(numbers(loader))
    return found


def map_style(job: Job) -> list[Epoch]:
    """A contiguous part per rank, shuffled by the DataLoader."""
    cache = os.path.join(job.folder, "hf")
    loaded = load_dataset("webdataset", data_files={"train": job.urls}, split="train", cache_dir=cache)
    mine = split_dataset_by_node(loaded, _env("RANK"), _env("WORLD_SIZE"))
    loader = DataLoader(mine, batch_size=job.batch, num_workers=job.workers, shuffle=True, collate_fn=_numbers)
    return [numbers(loader) for _ in range(job.epochs)]


def _numbers(rows: list[dict[str, Any]]) -> list[int]:
    return [row["cls"] for row in rows]


def _env(name: str) -> int:
    return int(os.environ[name])


if __name__ == "__main__":
    given = Job.from_arguments()
    load_dataset(
        "webdataset", data_files={"train": given.urls}, split="train", cache_dir=os.path.join(given.folder, "hf")
    )
    report(
        {
            "split_dataset_by_node, 64 shards": on_ranks(given, whole_shards),
            "split_dataset_by_node, 100 shards": on_ranks(given, every_nth),
            "split_dataset_by_node, map-style": on_ranks(given, map_style),
        }
    )
