"""mosaicml-streaming on many ranks: ``StreamingDataset`` in a ``StreamingDataLoader``, one node."""

from __future__ import annotations

import os

from ranks import Epoch, Job, numbers, on_ranks, report
from streaming import MDSWriter, StreamingDataLoader, StreamingDataset
from streaming.base.util import clean_stale_shared_memory


def shuffled(job: Job) -> list[Epoch]:
    """Its defaults for training: py1e shuffle, relaxed partition, a canonical node per node."""
    return _epochs(job, shuffle=True)


def in_order(job: Job) -> list[Epoch]:
    """For evaluation."""
    return _epochs(job, shuffle=False)


def _epochs(job: Job, shuffle: bool) -> list[Epoch]:
    dataset = StreamingDataset(local=os.path.join(job.folder, "mds"), batch_size=job.batch, shuffle=shuffle)
    loader = StreamingDataLoader(dataset, batch_size=job.batch, num_workers=job.workers)
    return [numbers(batch["number"] for batch in loader) for _ in range(job.epochs)]


def write(job: Job) -> None:
    """The samples in its own format, in about as many shards as the tars."""
    columns, nbytes = {"number": "int"}, 12 * job.samples // 64
    with MDSWriter(out=os.path.join(job.folder, "mds"), columns=columns, size_limit=nbytes, exist_ok=True) as out:
        for number in range(job.samples):
            out.write({"number": number})


if __name__ == "__main__":
    given = Job.from_arguments()
    write(given)
    clean_stale_shared_memory()
    report(
        {
            "StreamingDataset, shuffle=True": on_ranks(given, shuffled, group=True),
            "StreamingDataset, shuffle=False": on_ranks(given, in_order, group=True),
        }
    )
