"""What tests of the views of parts (persons, questions) share: their rows, and how crowded a batch may be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.special import gammaln

import shardstream as ss
from shardstream.loaders import decode
from shardstream.loaders.epoch import Epoch

ID = {"person": "person_id", "question": "question_id"}
Part = tuple[str, int]


def rows_of(batches: Iterable[ss.Batch]) -> list[tuple[ss.Batch, int]]:
    """Every row that is valid, with its batch."""
    return [(batch, row) for batch in batches for row in range(len(batch["key"])) if batch["valid"][row]]


def parts_of(batches: Iterable[ss.Batch], view: str) -> list[Part]:
    """(key, person_id or question_id) of every valid row, as delivered."""
    return [(batch["key"][row], int(batch[ID[view]][row])) for batch, row in rows_of(batches)]


def image_numbers(ds: ss.ShardDataset, size: int, epochs: int, **options: Any) -> list[NDArray[np.int64]]:
    """Which image each row of each full batch shows; from the order alone, so that no record is read."""
    stream = ss.Stream(ds, batch_size=size, shuffle=True, **options)
    found = []
    for number in range(epochs):
        epoch = Epoch(stream.sampled.copies, stream.spec, number)
        for start in range(0, stream.size - size + 1, size):
            shards, items, _ = epoch.locate(np.arange(start, start + size))
            found.append(ds.shard_start(shards) + stream.items.locate(shards, items)[0])
    return found


def distinct_if_uniform(parts: NDArray[np.int64], size: int) -> float:
    """Images that a batch drawn uniformly without repeats from all parts shows, on average.

    An image of k of the N parts is missed with probability C(N - k, size) / C(N, size).
    """
    parts, total = parts[parts > 0], int(parts.sum())
    missed = np.exp(_log_choose(total - parts, size) - _log_choose(np.array(total), size))
    return float((1 - missed).sum())


def _log_choose(n: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    chosen: NDArray[np.float64] = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return chosen


def decoded_pictures(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of pictures, added to whenever one is decoded."""
    decoded: list[str] = []
    real = decode.decode_image

    def counted(data: bytes, where: object, orientation: int = 1) -> Image.Image:
        decoded.append(str(where))
        return real(data, where, orientation)

    monkeypatch.setattr(decode, "decode_image", counted)
    return decoded
