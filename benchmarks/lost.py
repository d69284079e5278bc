"""Samples lost or repeated on many ranks: ``python benchmarks/lost.py [--peers a,b] [--json FILE]``.

Ours and the peers, each by its documented multi-rank settings, on the same numbered samples; every rank is a process
(ours: a ``World``) with its own loader and workers. Of each epoch it is counted, over all ranks: samples that nobody
got, deliveries beyond a sample's first, and the steps of the rank that took fewest and most. A peer that is not
installed (``make peers``) is named as absent.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "peers"))
sys.path.insert(0, str(Path(__file__).parent))  # `python -P`, which make uses, leaves it out

from measure import commit, machine
from ranks import Epoch, Job
from venvs import is_installed, python_of, versions_of

import shardstream as ss
from shardstream.shard_writer.tar_write import END, member_header, padding

HERE = Path(__file__).parent
PEERS = ("webdataset", "mosaicml-streaming", "litdata", "datasets")
SHARDS = (64, 100)  # 64: one for each of two workers of 32 ranks, as the peers' documentation asks for


@dataclass(frozen=True, slots=True)
class Delivery:
    """What all ranks together got in one epoch."""

    delivered: int
    lost: int
    repeated: int
    fewest_steps: int
    most_steps: int
    fewest_samples: int
    most_samples: int


def delivery(ranks: Sequence[Epoch], samples: int) -> Delivery:
    """Count one epoch: ``ranks[r][step]`` are the numbers of that step, of 0..samples - 1. Raises on any other."""
    found = Counter(number for rank in ranks for step in rank for number in step)
    if strange := sorted(found.keys() - set(range(samples)))[:3]:
        raise ValueError(f"delivered {strange}, which are not among the {samples} samples")
    steps, sizes = [len(rank) for rank in ranks], [sum(map(len, rank)) for rank in ranks]
    delivered = found.total()
    repeated = delivered - len(found)
    return Delivery(delivered, samples - len(found), repeated, min(steps), max(steps), min(sizes), max(sizes))


def make_tars(job: Job) -> None:
    """Plain tars with one ``.cls`` member per sample: its number."""
    for shards in SHARDS:
        for shard, url in enumerate(job.tars(shards)):
            Path(url).parent.mkdir(exist_ok=True)
            _make_tar(url, range(shard * job.samples // shards, (shard + 1) * job.samples // shards))


def _make_tar(url: str, numbers: range) -> None:
    with open(url, "wb") as file:
        for row in numbers:
            data = str(row).encode()
            file.write(b"".join((member_header(f"{row:09d}.cls", len(data)), data, padding(len(data)))))
        file.write(END)


def ours(job: Job) -> dict[str, list[list[Epoch]]]:
    """Training and evaluation; empty slots of the last step are flagged, and are not samples."""
    found = {}
    for shards in SHARDS:
        url = os.path.dirname(job.tars(shards)[0])
        ss.index(url, None, "train")
        ds = ss.open(url)
        for shuffle in (True, False):
            ranks = [_ours(ds, job, rank, shuffle) for rank in range(job.world)]
            found[f"Loader, shuffle={shuffle}, drop_last=False, {shards} shards"] = ranks
    return found


def _ours(ds: ss.ShardDataset, job: Job, rank: int, shuffle: bool) -> list[Epoch]:
    loader = ss.Loader(
        ds,
        batch_size=job.batch,
        shuffle=shuffle,
        drop_last=False,
        world=ss.World(rank, job.world),
        num_workers=job.workers,
        worker_kind="thread",
    )
    return [[batch["label"][batch["valid"]].tolist() for batch in loader] for _ in range(job.epochs)]


def peer(name: str, job: Job) -> dict[str, list[list[Epoch]]]:
    """What one peer delivered, by setting. Raises RuntimeError with the end of its output where it failed."""
    script = HERE / "peers" / f"lost_{name.replace('-', '_')}.py"
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([python_of(name), script, job.text()], capture_output=True, text=True, timeout=900, env=env)
    if done.returncode:
        raise RuntimeError(f"{name} failed: {done.stderr[-2000:]}")
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    return {row["setting"]: row["ranks"] for row in answer}


def counted(name: str, job: Job, settings: dict[str, list[list[Epoch]]]) -> list[dict[str, Any]]:
    """One row per setting: each epoch's ``Delivery``."""
    rows = []
    for setting, ranks in settings.items():
        epochs = [delivery([rank[epoch] for rank in ranks], job.samples) for epoch in range(job.epochs)]
        rows.append({"side": name, "setting": setting, "epochs": [asdict(epoch) for epoch in epochs]})
    return rows


def run(names: Sequence[str], job: Job) -> dict[str, Any]:
    """All results, as the JSON file holds them."""
    make_tars(job)
    present = [name for name in names if is_installed(name)]
    result: dict[str, Any] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit(),
        "machine": machine(),
        **{key: value for key, value in asdict(job).items() if key != "folder"},
        "shards": SHARDS,
        "versions": {name: versions_of(name) for name in present},
        "absent": [name for name in names if name not in present],
        "rows": counted("ours", job, ours(job)),
    }
    for name in present:
        print(f"{name} ...", file=sys.stderr, flush=True)
        result["rows"] += counted(name, job, peer(name, job))
    return result


def table(result: dict[str, Any]) -> str:
    """Per epoch where epochs differ, as a Markdown table."""
    lines = ["| side | setting | lost | repeated | steps per rank | samples per rank |", "|---|---|---|---|---|---|"]
    for row in result["rows"]:
        epochs = row["epochs"]
        cells = [
            _over(epochs, "lost"),
            _over(epochs, "repeated"),
            _between(epochs, "steps"),
            _between(epochs, "samples"),
        ]
        lines.append(f"| {row['side']} | `{row['setting']}` | {' | '.join(cells)} |")
    lines += [f"| {name} | not installed: `make peers` | | | | |" for name in result["absent"]]
    return "\n".join(lines)


def _over(epochs: list[dict[str, int]], key: str) -> str:
    values = [epoch[key] for epoch in epochs]
    return f"{values[0]:,}" if len(set(values)) == 1 else ", ".join(f"{value:,}" for value in values)


def _between(epochs: list[dict[str, int]], what: str) -> str:
    low, high = min(e[f"fewest_{what}"] for e in epochs), max(e[f"most_{what}"] for e in epochs)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def main() -> None:
    """Run and print JSON and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=",".join(PEERS), help=f"of {','.join(PEERS)}; '' for ours alone")
    parser.add_argument("--samples", type=int, default=5_000)
    parser.add_argument("--ranks", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--json", metavar="FILE", help="write the JSON here as well")
    given = parser.parse_args()
    names = [name for name in given.peers.split(",") if name]
    if unknown := sorted(set(names) - set(PEERS)):
        parser.error(f"no such peer: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    with tempfile.TemporaryDirectory(prefix="shardstream-lost-") as folder:
        job = Job(folder, given.samples, given.ranks, batch=8, workers=2, epochs=given.epochs)
        result = run(names, job)
    text = json.dumps(result, indent=1)
    if given.json:
        Path(given.json).write_text(text + "\n")
    print(text)
    print(table(result))


if __name__ == "__main__":
    main()
