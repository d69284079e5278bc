"""Our side: ``ss.Loader`` over the tars, checksums on; workers are threads, or processes (``SHARDSTREAM_WORKERS``)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from side import Batch, Epoch, Job, Side, main

import shardstream as ss

KIND: Any = os.environ.get("SHARDSTREAM_WORKERS", "thread")
TRANSFORMS = {"imagenet": ss.presets.train(224), "eval": ss.presets.eval(256, 224)}


def open_loader(job: Job) -> Epoch:
    """Batches; the rows that fill up the last one are cut off, as the peers deliver it short."""
    options = {"transform": TRANSFORMS[job.recipe]} if job.recipe in TRANSFORMS else {}
    persistent = {"persistent_workers": True} if KIND == "process" else {}
    loader = ss.Loader(
        ss.open(os.path.dirname(os.path.dirname(job.tars[0]))),
        batch_size=job.batch,
        shuffle=job.recipe != "eval",
        drop_last=False,
        num_workers=job.workers,
        worker_kind=KIND,
        **options,
        **persistent,
    )

    def epoch() -> Iterator[Batch]:
        for batch in loader:
            valid = batch["valid"]
            rows = len(valid) if bool(valid[-1]) else int(valid.sum())  # rows that are not valid stand last
            yield batch["image"][:rows], batch["label"][:rows]

    return epoch


def open_bytes(job: Job) -> Epoch:
    """Every image's bytes, checked against its checksum; a thread takes a shard at a time."""
    ds = ss.open(os.path.dirname(os.path.dirname(job.tars[0])))

    def shard(number: int) -> list[bytes | memoryview]:
        return [_member(ds, number, row) for row in range(int(ds.counts[number]))]

    def epoch() -> Iterator[Batch]:
        with ThreadPoolExecutor(job.workers) as pool:
            for images in pool.map(shard, range(len(ds.counts))):
                yield images, None

    return epoch


def _member(ds: ss.ShardDataset, shard: int, row: int) -> bytes | memoryview:
    data = ds.fetcher.member(shard, row, "jpg")
    if data is None:
        raise ValueError(f"shard {shard}, row {row} has no image")
    return data


if __name__ == "__main__":
    how = f"ss.Loader(num_workers=2, worker_kind={KIND!r}), checksums on"
    main(
        Side(
            settings={
                "imagenet": f"{how}, presets.train(224)",
                "eval": f"{how}, presets.eval(256, 224)",
                "read": "ds.fetcher.member from 2 threads, checksums on",
                "cifar": f"{how}, .npy rows",
            },
            open=lambda job: open_bytes(job) if job.recipe == "read" else open_loader(job),
        )
    )
