"""Images a second, side by side: ``python benchmarks/speed.py [--only imagenet,cifar] [--peers a,b] [--json FILE]``.

Ours, the peers (``make peers``) and ``limit``, a loop over the same decode calls without a loader, each in a process of
its own that stays, with two workers, on the same images, the page cache warm. Every side's epoch is checked first:
all images once, the same labels, shape and dtype, evaluation against Pillow's. Then rounds: one epoch per side and
round, one side at a time, each round beginning with the next side. Ratios are ours over the peer's.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "peers"))
sys.path.insert(0, str(Path(__file__).parent))  # `python -P`, which make uses, leaves it out

from measure import commit, machine, versions
from rounds import Program, Running, SideFailedError, alternate, ratio, summary
from side import Job
from speed_material import make
from venvs import PEERS, is_installed, python_of, versions_of

HERE = Path(__file__).parent
OURS = ("ours-thread", "ours-process")
RECIPES = {"imagenet": (1_000, 64), "eval": (1_000, 64), "read": (1_000, 64), "cifar": (50_000, 256)}
"""Images and rows per batch."""


def program(name: str) -> Program:
    """How a side is started; peers do not see this checkout."""
    if name in OURS:
        env = {"SHARDSTREAM_WORKERS": name.partition("-")[2]}
        return Program(name, Path(sys.executable), HERE / "peers" / "speed_ours.py", env)
    if name == "limit":
        return Program(name, Path(sys.executable), HERE / "peers" / "speed_limit.py")
    script = HERE / "peers" / f"speed_{name.replace('-', '_')}.py"
    return Program(name, python_of(name), script, {"PYTHONPATH": None})


def measure(recipe: str, names: Sequence[str], folder: Path, rounds: int, scale: float) -> dict[str, Any]:
    """One recipe: what was delivered, how fast, and the ratios. A side that fails is left out, with the reason."""
    images, batch = RECIPES[recipe]
    images = max(batch, int(images * scale))
    place, what = make(folder, recipe, images)
    job = Job(recipe, str(place), images, batch, workers=2)
    found: dict[str, Any] = {"recipe": recipe, "what": what, "batch": batch, "workers": 2, "failed": {}, "checks": {}}
    with ExitStack() as stack:
        sides = []
        for name in names:
            try:
                if side := _begin(program(name), job, folder, stack, found):
                    sides.append(side)
            except SideFailedError as error:
                found["failed"][name] = str(error)
        runs = alternate(sides, rounds)
    found["sides"] = [summary(name, answers) for name, answers in runs.items()]
    for mine in (name for name in OURS if name in runs):
        found[f"{mine} over"] = {name: ratio(runs[mine], runs[name]) for name in runs if name not in OURS}
    return found


def _begin(side: Program, job: Job, folder: Path, stack: ExitStack, found: dict[str, Any]) -> Running | None:
    """Start a side and check an epoch of it; its very first epoch gives the time to the first batch of all."""
    print(f"{job.recipe}: {side.name} ...", file=sys.stderr, flush=True)
    if not side.prepare(job.text()):
        return None
    running = stack.enter_context(Running(side, job.text(), folder / f"{job.recipe}-{side.name}.log"))
    cold = running.ask("go")
    checked = running.ask("check")
    checked["settings"] = running.ready["settings"]
    checked["opened_to_first_batch_s"] = round(running.ready["open_s"] + cold["first_batch_s"], 4)
    found["checks"][side.name] = checked
    return running


def run(recipes: Sequence[str], peers: Sequence[str], rounds: int, scale: float, folder: Path) -> dict[str, Any]:
    """All results, as the JSON file holds them."""
    present = [name for name in peers if is_installed(name)]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit(),
        "machine": machine(),
        "versions": versions() | {name: versions_of(name) for name in present},
        "absent": [name for name in peers if name not in present],
        "rounds": rounds,
        "load_before": round(os.getloadavg()[0], 2),
        "recipes": [measure(recipe, [*OURS, "limit", *present], folder, rounds, scale) for recipe in recipes],
    }


def table(found: dict[str, Any]) -> str:
    """One recipe as a Markdown table; a ratio above 1 means that ours (threads, else processes) is faster."""
    lines = [
        f"**{found['recipe']}**",
        "",
        "| side | images/s | slowest to fastest round | ours over it (rounds) | images per CPU s | first batch, ms | memory, MB |",
        "|---|---|---|---|---|---|---|",
    ]
    over = next((found[f"{name} over"] for name in OURS if f"{name} over" in found), {})
    for side in sorted(found["sides"], key=lambda side: -side["images_per_second"]):
        low, high = side["slowest_and_fastest"]
        against = over.get(side["side"])
        times = f"{against['ratio']:.2f} ({against['rounds'][0]:.2f} to {against['rounds'][1]:.2f})" if against else ""
        lines.append(
            f"| {side['side']} | {side['images_per_second']:,.0f} | {low:,.0f} to {high:,.0f} | {times}"
            f" | {side['images_per_cpu_second']:,.0f} | {1000 * side['first_batch_s']:.0f} | {max(side['peak_rss_mb'])} |"
        )
    lines += [f"| {name} | failed | | | | | |" for name in found["failed"]]
    for side in found["sides"]:
        if side["idle_cpu_s"] > 0.05 * side["cpu_s"]:
            lines.append(f"\n{side['side']} worked {side['idle_cpu_s']} CPU s between its turns: its rate is too high")
    return "\n".join(lines)


def main() -> None:
    """Measure, print JSON and the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(RECIPES), help=f"recipes, of {','.join(RECIPES)}")
    parser.add_argument("--peers", default=",".join(PEERS), help=f"of {','.join(PEERS)}; '' for ours alone")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1, help="of the number of images; small ones measure little")
    parser.add_argument("--folder", type=Path, help="keep the images here, for the next run; default: a temporary one")
    parser.add_argument("--json", metavar="FILE", help="write the JSON here as well")
    given = parser.parse_args()
    recipes, peers = ([name for name in text.split(",") if name] for text in (given.only, given.peers))
    for kind, names, known in (("recipe", recipes, RECIPES), ("peer", peers, PEERS)):
        if unknown := sorted(set(names) - set(known)):
            parser.error(f"no such {kind}: {', '.join(unknown)}; there are {', '.join(known)}")
    with tempfile.TemporaryDirectory(prefix="shardstream-speed-") as temporary:
        result = run(recipes, peers, given.rounds, given.scale, given.folder or Path(temporary))
    text = json.dumps(result, indent=1)
    if given.json:
        Path(given.json).write_text(text + "\n")
    print(text)
    for found in result["recipes"]:
        print(table(found), end="\n\n")


if __name__ == "__main__":
    main()
