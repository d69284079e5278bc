"""litdata on many ranks: ``StreamingDataset`` in a ``StreamingDataLoader``, with ``drop_last`` as it is and False."""

from __future__ import annotations

import os
from typing import Any

import litdata
from ranks import Epoch, Job, numbers, on_ranks, report


def dropping(job: Job) -> list[Epoch]:
    """Its default on several ranks."""
    return _epochs(job, shuffle=True, drop_last=True)


def keeping(job: Job) -> list[Epoch]:
    """What its documentation gives for losing nothing."""
    return _epochs(job, shuffle=True, drop_last=False)


def _epochs(job: Job, *, shuffle: bool, drop_last: bool) -> list[Epoch]:
    dataset = litdata.StreamingDataset(os.path.join(job.folder, "litdata"), shuffle=shuffle, drop_last=drop_last)
    loader = litdata.StreamingDataLoader(dataset, batch_size=job.batch, num_workers=job.workers)
    return [numbers(batch["number"] for batch in loader) for _ in range(job.epochs)]


def _sample(number: int) -> dict[str, Any]:
    return {"number": number}


def write(job: Job) -> None:
    """The samples in its own format, in about as many chunks as the tars."""
    litdata.optimize(
        _sample,
        list(range(job.samples)),
        os.path.join(job.folder, "litdata"),
        chunk_size=-(-job.samples // 64),
        num_workers=1,
        keep_data_ordered=True,
        verbose=False,
    )


if __name__ == "__main__":
    given = Job.from_arguments()
    write(given)
    report(
        {
            "StreamingDataset, drop_last=True (default)": on_ranks(given, dropping, group=True),
            "StreamingDataset, drop_last=False": on_ranks(given, keeping, group=True),
        }
    )
