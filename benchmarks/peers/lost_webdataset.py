"""webdataset on many ranks: its tar pipeline with ``split_by_node``, and its README's ways to equal step counts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import webdataset as wds
from ranks import Epoch, Job, numbers, on_ranks, report


def split_by_node(job: Job) -> list[Epoch]:
    """Shards shared out over nodes and workers, each read once; seeded, so that no two ranks read the same."""
    return _epochs(job, _loader(job, job.urls))


def uneven(job: Job) -> list[Epoch]:
    """The same, of shards whose number does not divide by the ranks."""
    return _epochs(job, _loader(job, job.other_urls))


def _loader(job: Job, urls: list[str]) -> wds.WebLoader:
    dataset = wds.WebDataset(urls, shardshuffle=100, detshuffle=True, seed=0, nodesplitter=wds.split_by_node)
    batches = dataset.shuffle(1000).decode().to_tuple("cls").batched(job.batch)
    return wds.WebLoader(batches, batch_size=None, num_workers=job.workers)


def repeated(job: Job) -> list[Epoch]:
    """The same, repeated and cut after as many steps as a rank's fair share takes: every rank takes equally many."""
    return _repeated(job, job.urls)


def uneven_repeated(job: Job) -> list[Epoch]:
    """The same, of shards whose number does not divide by the ranks."""
    return _repeated(job, job.other_urls)


def _repeated(job: Job, urls: list[str]) -> list[Epoch]:
    loader, steps = _loader(job, urls), math.ceil(job.samples / (job.batch * job.world))
    return _epochs(job, loader.unbatched().shuffle(1000).batched(job.batch).repeat(2).with_epoch(steps))


def resampled(job: Job) -> list[Epoch]:
    """The README's multi-node recipe: shards drawn with replacement, an epoch is a number of steps."""
    dataset = wds.WebDataset(job.urls, resampled=True, nodesplitter=wds.split_by_node)
    samples = dataset.shuffle(1000).decode().to_tuple("cls").batched(job.batch)
    loader = wds.WebLoader(samples, batch_size=None, num_workers=job.workers)
    return _epochs(job, loader.with_epoch(job.samples // (job.batch * job.world)))


def _epochs(job: Job, loader: Iterable[Any]) -> list[Epoch]:
    return [numbers(batch[0] for batch in loader) for _ in range(job.epochs)]


if __name__ == "__main__":
    given = Job.from_arguments()
    report(
        {
            "split_by_node, 64 shards": on_ranks(given, split_by_node),
            "split_by_node, 100 shards": on_ranks(given, uneven),
            "split_by_node, repeat(2).with_epoch(20), 64 shards": on_ranks(given, repeated),
            "split_by_node, repeat(2).with_epoch(20), 100 shards": on_ranks(given, uneven_repeated),
            "resampled=True, with_epoch(19)": on_ranks(given, resampled),
        }
    )
