"""A job of four ranks is killed at a random step and goes on with three: what was delivered, told by the job itself.

    python killed_job.py SHARDS TRIALS SEED      prints one line of JSON per trial, then the number of failures

Each rank writes the items of a step to its own file before it says that the step is done; a checkpoint is written by
rank 0 when all ranks have done the step. After the kill the next job starts from the last checkpoint, as a trainer
does: steps after it were never trained on and are delivered again.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import shardstream as ss

SIZE = 12
fork = multiprocessing.get_context("fork")


def options_of(trial: int, ds: ss.ShardDataset) -> tuple[ss.ShardDataset, dict[str, Any]]:
    """In turn: plain, a selection, a sampler, captions, a mixture with both."""
    options: dict[str, Any] = {"global_batch_size": SIZE, "shuffle": True, "drop_last": False, "seed": trial}
    third = ds.select(range(0, len(ds), 3))
    match trial % 5:
        case 1:
            return third, options
        case 2:
            return ds, options | {"sampler": ss.samplers.ClassBalanced()}
        case 3:
            return ds, options | {"view": "caption"}
        case 4:
            mixed = ss.mix([ds, third], weights=[0.6, 0.4])
            return mixed, options | {"sampler": ss.samplers.RepeatFactor(threshold=0.2)}
    return ds, options


def rows_of(batch: ss.Batch) -> list[tuple[int, ...]]:
    """(index, copy, caption) of the rows that count."""
    captions = batch["caption_id"].tolist() if "caption_id" in batch else [0] * len(batch["key"])
    rows = zip(batch["index"].tolist(), batch["copy"].tolist(), captions, batch["valid"].tolist(), strict=True)
    return [row[:3] for row in rows if row[3]]


def run(folder: Path, rank: int, world: int, trial: int, ds: ss.ShardDataset, barrier: Any) -> None:
    """One rank: deliver, write down, wait for the others; rank 0 then writes the checkpoint."""
    chosen, options = options_of(trial, ds)
    loader = ss.Loader(chosen, world=ss.World(rank, world), num_workers=rank % 2, **options)
    checkpoint = folder / "checkpoint.json"
    if checkpoint.exists():
        loader.load_state_dict(json.loads(checkpoint.read_text())["state"], strict=True)
    epoch = loader.epoch
    for batch in loader:
        step = loader.state_dict()["position"] if loader.state_dict()["epoch"] == epoch else "last"
        (folder / f"{world}-{rank}-{step}.json").write_text(json.dumps(rows_of(batch)))
        barrier.wait(60)
        if rank == 0:
            temporary = checkpoint.with_suffix(".tmp")
            temporary.write_text(json.dumps({"state": loader.state_dict(), "step": step}))
            temporary.replace(checkpoint)
        barrier.wait(60)


def start(folder: Path, world: int, trial: int, ds: ss.ShardDataset) -> list[Any]:
    barrier = fork.Barrier(world)
    ranks = [fork.Process(target=run, args=(folder, rank, world, trial, ds, barrier)) for rank in range(world)]
    for process in ranks:
        process.start()
    return ranks


def delivered(folder: Path, world: int, upto: Any = None) -> Counter[tuple[int, ...]]:
    """Items of the steps that count: all, or those that the checkpoint knows of."""
    found: Counter[tuple[int, ...]] = Counter()
    for file in folder.glob(f"{world}-*.json"):
        step = file.stem.split("-")[2]
        if upto is None or upto == "last" or (step != "last" and int(step) <= upto):
            found.update(tuple(row) for row in json.loads(file.read_text()))
    return found


def killed(trial: int, ds: ss.ShardDataset, draw: random.Random) -> dict[str, Any]:
    """One trial: how many steps were done at the kill, and what is missing or repeated in the union."""
    chosen, options = options_of(trial, ds)
    steps = len(ss.Loader(chosen, world=ss.World(0, 4), **options))
    until = draw.randrange(steps)
    with TemporaryDirectory() as name:
        folder = Path(name)
        ranks = start(folder, 4, trial, ds)
        deadline = time.monotonic() + 60
        while len(list(folder.glob("4-0-*.json"))) <= until and ranks[0].is_alive() and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(draw.random() * 0.01)
        for process in draw.sample(ranks, len(ranks)):
            os.kill(process.pid, signal.SIGKILL)
        for process in ranks:
            process.join()
        saved = folder / "checkpoint.json"
        place = json.loads(saved.read_text()) if saved.exists() else None
        before = delivered(folder, 4, place["step"]) if place else Counter()
        rest = [] if place and place["state"]["epoch"] else start(folder, 3, trial, ds)  # it was killed after the end
        for process in rest:
            process.join(120)
        failed = [process.exitcode for process in rest if process.exitcode != 0]
        together = before + delivered(folder, 3)
    alone = ss.Loader(chosen, world=ss.World(0, 1), **options)
    whole = Counter(row for batch in alone for row in rows_of(batch))
    return {
        "trial": trial,
        "case": trial % 5,
        "steps": steps,
        "before": sum(before.values()),
        "whole": sum(whole.values()),
        "missing": sum((whole - together).values()),
        "repeated": sum((together - whole).values()),
        "failed": failed,
    }


def main() -> int:
    shards, trials, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    ds, draw = ss.open(shards), random.Random(seed)
    failures = 0
    for trial in range(trials):
        result = killed(trial, ds, draw)
        sys.stdout.write(json.dumps(result) + "\n")
        failures += bool(result["missing"] or result["repeated"] or result["failed"])
    sys.stdout.write(f"{failures}\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
