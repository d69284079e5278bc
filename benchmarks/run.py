"""Side by side with webdataset, in one run: ``python benchmarks/run.py [--quick] [--json FILE] [--only pack|stream]``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # `python -P`, which make uses, leaves it out

from material import photo_folder, pixel_rows
from measure import Case, commit, compare, machine, versions
from packing import photo_case, pixel_case
from streaming import pack, raw_case, recipe_case


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured."""

    photos: int
    pixels: int
    repeats: int


FULL, QUICK = Scale(2_000, 10_000, 7), Scale(48, 200, 3)


def cases(folder: Path, scale: Scale, only: str | None) -> Iterator[Case]:
    """The comparisons, their images made as they are asked for."""
    source, out = folder / "photos", folder / "out"
    what = photo_folder(source, scale.photos)
    if only in (None, "pack"):
        yield photo_case(source, out, what)
        pixels = pixel_rows(scale.pixels)
        yield pixel_case(pixels, out, statistics=False)
        yield pixel_case(pixels, out, statistics=True)
    if only in (None, "stream"):
        packed = pack(source, folder / "packed")
        yield raw_case(packed, what)
        yield recipe_case(packed, what)


def run(scale: Scale, only: str | None) -> dict[str, Any]:
    """All results, as the JSON file holds them."""
    result: dict[str, Any] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        "load_before": round(os.getloadavg()[0], 2),
        "cases": [],
    }
    with tempfile.TemporaryDirectory(prefix="shardstream-bench-") as folder:
        for case in cases(Path(folder), scale, only):
            print(f"{case.name} ...", file=sys.stderr, flush=True)
            result["cases"].append(compare(case, scale.repeats))
    return result | {"load_after": round(os.getloadavg()[0], 2)}


def table(result: dict[str, Any]) -> str:
    """The results as a Markdown table; a ratio above 1 means that ours is faster."""
    lines = [
        "| case | ours, samples/s | webdataset, samples/s | ratio (rounds) | CPU ratio | spread |",
        "|---|---|---|---|---|---|",
    ]
    for case in result["cases"]:
        ours, peer, rounds = case["ours"], case["webdataset"], case["ratio_rounds"]
        lines.append(
            f"| {case['case']} | {ours['samples_per_second']:,.0f} | {peer['samples_per_second']:,.0f}"
            f" | {case['ratio']:.2f} ({rounds['min']:.2f} to {rounds['max']:.2f}) | {case['cpu_ratio']:.2f}"
            f" | {ours['spread_percent']:.0f} %, {peer['spread_percent']:.0f} % |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print JSON and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a tiny set, 3 rounds: shows that it works, measures little"
    )
    parser.add_argument("--json", metavar="FILE", help="write the JSON here as well")
    parser.add_argument("--only", choices=("pack", "stream"))
    given = parser.parse_args()
    result = run(QUICK if given.quick else FULL, given.only)
    text = json.dumps(result, indent=1)
    if given.json:
        Path(given.json).write_text(text + "\n")
    print(text)
    print(table(result))


if __name__ == "__main__":
    main()
