"""What a loader holds in memory: ``python benchmarks/memory.py [--rows 1000000] [--json FILE]``.

Each case is a process of its own. Bytes are counted over the process and its workers, shared pages once (PSS), twenty
times an epoch; ``peak`` is the most of an epoch. "photos": the ImageNet recipe, 1,000 photos, 2 workers, six epochs,
of which the first opens shards and fills what is reused. "rows": a set of so many rows, of which batches are taken
until all its shards have been open, against a set of 1,000 rows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "peers"))
sys.path.insert(0, str(Path(__file__).parent))  # `python -P`, which make uses, leaves it out

from measure import commit, machine
from process_tree import pss
from resume import make_tars
from speed_material import make

import shardstream as ss

EPOCHS, PHOTOS, SAMPLES = 6, 1_000, 20
MB = 1e6


def photos(url: str, kind: Any) -> list[float]:
    """The most megabytes of each epoch."""
    loader = ss.Loader(
        ss.open(url),
        batch_size=64,
        shuffle=True,
        drop_last=False,
        num_workers=2,
        worker_kind=kind,
        transform=ss.presets.train(224),
    )
    return [epoch_peak(loader) for _ in range(EPOCHS)]


def epoch_peak(loader: ss.Loader) -> float:
    """Megabytes, looked at now and then, with a batch in the hands of the loop."""
    every, most = max(1, len(loader) // SAMPLES), 0
    for step, _ in enumerate(loader):
        if step % every == 0:
            most = max(most, pss())
    return round(most / MB, 1)


def rows(url: str) -> list[float]:
    """Megabytes before the set is opened, and the most until 4,000 batches were taken."""
    before = pss()
    loader = ss.Loader(ss.open(url), batch_size=256, shuffle=True, num_workers=0)
    most = 0
    for step, _ in enumerate(loader):
        if step % 100 == 0:
            most = max(most, pss())
    return [round(before / MB, 1), round(most / MB, 1)]


CASES: dict[str, Callable[[str], list[float]]] = {
    "thread": lambda url: photos(url, "thread"),
    "process": lambda url: photos(url, "process"),
    "rows": rows,
}


def child(case: str, url: Path) -> list[float]:
    """The figures of a case, from a process of its own."""
    command = [sys.executable, __file__, "--case", case, "--url", str(url)]
    found: list[float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return found


def run(count: int, folder: Path) -> dict[str, Any]:
    """All results, as the JSON file holds them."""
    place, what = make(folder, "imagenet", PHOTOS)
    found: dict[str, Any] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit(),
        "machine": machine(),
        "load": round(os.getloadavg()[0], 2),
        "photos": what,
        "peak_mb_of_epochs": {kind: child(kind, place / "packed") for kind in ("thread", "process")},
    }
    for number in (1_000, count):
        make_tars(folder / f"rows-of-{number}", number)
        ss.index(str(folder / f"rows-of-{number}"), None, "train")
    small, large = (child("rows", folder / f"rows-of-{number}") for number in (1_000, count))
    return found | {"rows": count, "rows_mb": {"of 1,000": small, f"of {count:,}": large,
                                               "difference": round(large[1] - small[1], 1)}}  # fmt: skip


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", metavar="FILE", help="write the JSON here as well")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        print(json.dumps(CASES[given.case](given.url)))
        return
    with tempfile.TemporaryDirectory(prefix="shardstream-memory-") as folder:
        text = json.dumps(run(given.rows, Path(folder)), indent=1)
    if given.json:
        Path(given.json).write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
