"""Batch transforms beside a per-sample torchvision v2 loop, in one run, on a CPU or on a GPU.

    python benchmarks/transforms.py [--batch 256] [--size 224] [--repeats 7] [--device cuda] [--threads 1] [--only WORD]

Every side gets the same uint8 batch; the loop is ``torch.stack([transform(image) for image in batch])``, and kornia,
where it is installed, gets the batch as floats, the conversion timed. Sides take turns, each round in another order.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # `python -P`, which make uses, leaves it out

import numpy as np
import torch
from measure import commit, machine, versions
from skimage.data import astronaut
from torch import Tensor
from transform_cases import Case, cases, kornia_module

from shardstream.counted import mix


def photographs(count: int, size: int) -> Tensor:
    """(count, 3, size, size) uint8: windows of a public-domain photograph at several scales."""
    picture = torch.from_numpy(astronaut()).permute(2, 0, 1)
    rng, made = np.random.default_rng(0), torch.empty(count, 3, size, size, dtype=torch.uint8)
    for row in range(count):
        side = int(rng.integers(size // 2, 512))
        top, left = rng.integers(0, 512 - side + 1, 2)
        window = picture[None, :, top : top + side, left : left + side].float()
        made[row] = torch.nn.functional.interpolate(window, (size, size), mode="bilinear", antialias=True)[0].round()
    return made


def sides(case: Case, images: Tensor) -> dict[str, Callable[[], object]]:
    """What to time for a case, by name."""
    count = len(images)
    seeds = torch.from_numpy(mix(7, np.arange(count, dtype=np.uint64)).view(np.int64))
    labels = torch.arange(count, device=images.device) % 10
    pixels = case.prepare(images)
    batch = {"image": pixels, "seed": seeds, "key": [f"k{row}" for row in range(count)], "label": labels}
    made: dict[str, Callable[[], object]] = {"ours": lambda: case.ours(batch)}
    if case.whole_batch:
        made["torchvision"] = lambda: case.torchvision(pixels, labels)
    elif case.ragged:
        made["torchvision"] = lambda: [case.torchvision(image) for image in pixels]
    else:
        made["torchvision"] = lambda: torch.stack([case.torchvision(image) for image in pixels])
    if (module := kornia_module(case.name, images.shape[-1])) is not None:
        floats = pixels.is_floating_point()
        made["kornia"] = lambda: module(pixels if floats else pixels.float().div_(255))
    return made


def timed(run: Callable[[], object], device: torch.device) -> tuple[float, float]:
    """Wall and CPU seconds of one run, the device's work included."""
    cpu, start = time.process_time(), time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start, time.process_time() - cpu


def measured(case: Case, images: Tensor, repeats: int) -> dict[str, Any]:
    """Milliseconds of each side and how many times as long the others take as ours."""
    runs = sides(case, images)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for run in runs.values():
        timed(run, images.device)  # allocators, caches and kernels warm
    for turn in range(repeats):
        order = list(runs)[turn % len(runs) :] + list(runs)[: turn % len(runs)]
        for name in order:
            seconds[name].append(timed(runs[name], images.device))
    result: dict[str, Any] = {"case": case.name}
    for name, both in seconds.items():
        result[name] = {"median_ms": round(1e3 * statistics.median(wall for wall, _ in both), 2)}
        if name != "ours":
            rounds = [theirs[0] / ours[0] for ours, theirs in zip(seconds["ours"], both, strict=True)]
            result[name] |= {
                "ratio": round(_median(both, 0) / _median(seconds["ours"], 0), 2),
                "cpu_ratio": round(_median(both, 1) / max(_median(seconds["ours"], 1), 1e-4), 2),
                "ratio_rounds": {"min": round(min(rounds), 2), "max": round(max(rounds), 2)},
            }
    return result


def _median(both: list[tuple[float, float]], which: int) -> float:
    return statistics.median(pair[which] for pair in both)


def run(batch: int, size: int, repeats: int, device: str, only: str) -> dict[str, Any]:
    """All results, as the JSON file holds them."""
    images = photographs(batch, size).to(device)
    result: dict[str, Any] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        "device": torch.cuda.get_device_name(device) if images.is_cuda else f"cpu, {torch.get_num_threads()} threads",
        "batch": batch,
        "size": size,
        "load_before": round(os.getloadavg()[0], 2),
        "cases": [],
    }
    for case in (case for case in cases(size) if only in case.name):
        print(f"{case.name} ...", file=sys.stderr, flush=True)
        result["cases"].append(measured(case, images, repeats))
    return result | {"load_after": round(os.getloadavg()[0], 2)}


def table(result: dict[str, Any]) -> str:
    """The results as a Markdown table; a ratio above 1 means that ours is faster."""
    lines = [
        "| case | ours, ms | torchvision loop, ms | ratio (rounds) | CPU ratio | kornia, ms | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for case in result["cases"]:
        loop, kornia = case["torchvision"], case.get("kornia")
        peer = f"{kornia['median_ms']:.1f} | {kornia['ratio']:.2f}" if kornia else " | "
        spread = f"{loop['ratio_rounds']['min']:.2f} to {loop['ratio_rounds']['max']:.2f}"
        lines.append(
            f"| {case['case']} | {case['ours']['median_ms']:.1f} | {loop['median_ms']:.1f} | {loop['ratio']:.2f} ({spread})"
            f" | {loop['cpu_ratio']:.2f} | {peer} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print JSON and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--threads", type=int, help="of torch; one, where other work would make two wait for each other"
    )
    parser.add_argument("--only", default="", metavar="WORD", help="cases whose name holds it")
    parser.add_argument("--json", metavar="FILE", help="write the JSON here as well")
    given = parser.parse_args()
    torch.set_num_threads(given.threads or torch.get_num_threads())
    result = run(given.batch, given.size, given.repeats, given.device, given.only)
    text = json.dumps(result, indent=1)
    if given.json:
        Path(given.json).write_text(text + "\n")
    print(text)
    print(table(result))


if __name__ == "__main__":
    main()
