"""What planning and resuming cost: ``python benchmarks/resume.py [--rows 1000000] [--json FILE]``.

A set of that many rows is made by indexing tars of one small member per sample. In one run, alternating: the first
batch of a fresh loader at the start of an epoch, and of a fresh loader restored at 99 % of it; medians and the ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # `python -P`, which make uses, leaves it out

import numpy as np
from measure import commit, machine

import shardstream as ss
from shardstream.loaders.epoch import Epoch
from shardstream.loaders.order import OrderSpec
from shardstream.loaders.samplers.systematic import OneEach
from shardstream.shard_writer.tar_write import END, member_header, padding

SHARDS, BATCH, ROUNDS = 1_000, 256, 9


def make_tars(folder: Path, rows: int) -> None:
    """Plain WebDataset tars with one ``.cls`` member per sample."""
    folder.mkdir()
    for shard in range(SHARDS):
        with open(folder / f"{shard:06d}.tar", "wb") as file:
            for row in range(shard * rows // SHARDS, (shard + 1) * rows // SHARDS):
                data = str(row % 1000).encode()
                file.write(b"".join((member_header(f"{row:09d}.cls", len(data)), data, padding(len(data)))))
            file.write(END)


def first_batch(url: Path, state: dict[str, Any] | None, workers: int) -> tuple[float, dict[str, Any]]:
    """Seconds from a new loader over a newly opened set, restored where a state is given, to its first batch."""
    ds = ss.open(url)
    started = time.perf_counter()
    loader = ss.Loader(ds, batch_size=BATCH, shuffle=True, num_workers=workers)
    if state is not None:
        loader.load_state_dict(state)
    next(iter(loader))
    return time.perf_counter() - started, loader.state_dict()


def resuming(url: Path, rows: int, workers: int) -> dict[str, Any]:
    """Fresh and restored at 99 %, alternating."""
    _, state = first_batch(url, None, workers)
    late = {**state, "position": rows * 99 // 100 // BATCH * BATCH}
    pairs = [(first_batch(url, None, workers)[0], first_batch(url, late, workers)[0]) for _ in range(ROUNDS)]
    fresh, restored = zip(*pairs, strict=True)
    return {
        "workers": workers,
        "first_batch_of_epoch_s": statistics.median(fresh),
        "first_batch_resumed_at_99_percent_s": statistics.median(restored),
        "ratio": statistics.median(b / a for a, b in pairs),
        "ratio_rounds": [min(b / a for a, b in pairs), max(b / a for a, b in pairs)],
    }


def planning() -> dict[str, Any]:
    """An epoch of ImageNet's 1,281,167 rows in 1,000 shards, to its first 256 places."""
    counts = np.full(SHARDS, 1281)
    counts[:167] += 1
    spec = OrderSpec.for_size(int(counts.sum()), True, 0)

    def plan(epoch: int) -> float:
        started = time.perf_counter()
        Epoch(OneEach(counts), spec, epoch).locate(np.arange(BATCH))
        return time.perf_counter() - started

    seconds = [plan(epoch) for epoch in range(ROUNDS)]
    tracemalloc.start()
    plan(ROUNDS)
    _, peak = tracemalloc.get_traced_memory()
    return {"rows": int(counts.sum()), "seconds": statistics.median(seconds), "peak_bytes": peak}


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", metavar="FILE", help="write the JSON here as well")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shardstream-bench-") as folder:
        make_tars(Path(folder) / "tars", given.rows)
        started = time.perf_counter()
        ss.index(str(Path(folder) / "tars"), None, "train")
        indexed = time.perf_counter() - started
        ds = ss.open(Path(folder) / "tars")
        result = {
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "commit": commit(),
            "machine": machine(),
            "load": round(os.getloadavg()[0], 2),
            "rows": len(ds),
            "indexing_s": round(indexed, 1),
            "resuming": [resuming(Path(folder) / "tars", len(ds), workers) for workers in (0, 2)],
            "planning": planning(),
        }
    text = json.dumps(result, indent=1)
    if given.json:
        Path(given.json).write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
