"""Starting the trainer examples as their users do, and adding up what each rank says it trained on."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import shardstream as ss

EXAMPLES = Path(__file__).parents[2] / "examples"
BATCH = 96  # the examples' global batch: 14 of it in 1,438 digits, 94 are dropped
LAUNCHERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_", "OMPI_", "TORCHELASTIC_", "MASTER_")


@dataclass(frozen=True)
class Step:
    """What one rank trained on in one step of one run."""

    rank: int
    epoch: int
    step: int
    loss: float
    keys: tuple[str, ...]


def environment(**more: str) -> dict[str, str]:
    """One thread a rank, nothing of a launcher around the tests, nothing from a hub."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(LAUNCHERS)}
    # Ranks that are started again would find the dead ones' addresses in a store that outlives them (docs/multinode.md).
    kept |= {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    return kept | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"} | more


def torchrun(ranks: int, example: str, *arguments: str | Path, options: Iterable[str] = ()) -> list[str]:
    """The command line that starts an example on some ranks of this machine."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    return [*start, *options, str(EXAMPLES / f"{example}.py"), *map(str, arguments)]


def plain(example: str, *arguments: str | Path) -> list[str]:
    return [sys.executable, str(EXAMPLES / f"{example}.py"), *map(str, arguments)]


def start(command: list[str], **more: str) -> subprocess.Popen[str]:
    """In the background; ``end`` it, whatever happens."""
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(**more)
    )


def run(command: list[str], timeout: float = 240, **more: str) -> str:
    """To a good end; what it printed."""
    process = start(command, **more)
    try:
        shown = process.communicate(timeout=timeout)[0]
    finally:
        end(process)
    assert process.returncode == 0, shown[-8000:]
    return shown


def recorded(folder: Path) -> list[Step]:
    """Every line of every rank, in the order of writing. A line that was cut by a kill is no step."""
    steps = []
    for path in sorted(folder.glob("rank-*.jsonl")):
        for line in path.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                found = json.loads(line)
                keys = tuple(found["keys"])
                steps.append(Step(int(path.stem[5:]), found["epoch"], found["step"], found["loss"], keys))
    return steps


def batches(steps: Iterable[Step]) -> dict[tuple[int, int], Counter[str]]:
    """(epoch, step) -> the keys of all ranks, in that order."""
    found: dict[tuple[int, int], Counter[str]] = defaultdict(Counter)
    for step in steps:
        found[step.epoch, step.step].update(step.keys)
    return dict(sorted(found.items()))


def assert_exactly_once(steps: Iterable[Step], digits: Path, epochs: int, batch: int = BATCH) -> None:
    """Over all ranks and runs: each epoch has whole batches of distinct digits, and drops others each time."""
    known, dropped = set(ss.open(digits, split="train").index["key"].to_pylist()), []
    counted: dict[int, Counter[str]] = defaultdict(Counter)
    for step in steps:
        counted[step.epoch].update(step.keys)
    assert sorted(counted) == list(range(epochs))
    for keys in counted.values():
        assert keys.total() == len(keys) == len(known) // batch * batch
        assert keys.keys() <= known
        dropped.append(frozenset(known - keys.keys()))
    assert len(set(dropped)) == epochs, "the order of every epoch is its own"


def assert_equal_steps(steps: Iterable[Step], ranks: int) -> None:
    """Each rank took the same steps, its share of each."""
    taken: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for step in steps:
        taken[step.rank].append((step.epoch, step.step, len(step.keys)))
    assert sorted(taken) == list(range(ranks))
    assert all(of_rank == taken[0] for of_rank in taken.values())


def assert_loss_falls(steps: Iterable[Step]) -> None:
    losses = [step.loss for step in steps if step.rank == 0]
    assert losses[-1] < 0.4 * losses[0], losses


def wait_for(condition: Callable[[], bool], patience: float, what: str) -> None:
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, f"{what} not within {patience} s"
        time.sleep(0.005)


def ranks_of(agent: int) -> dict[int, int]:
    """RANK -> process id of what a torchrun agent started."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                if parent == agent:
                    variables = dict(p.split("=", 1) for p in (entry / "environ").read_text().split("\0") if "=" in p)
                    found[int(variables["RANK"])] = int(entry.name)
            except (OSError, KeyError):
                continue  # gone in the meantime, or no rank
    return found


def end(process: subprocess.Popen[str]) -> None:
    """Nothing is left of a job: its ranks lead sessions of their own, so each is killed by its number."""
    left = [*ranks_of(process.pid).values(), process.pid] if process.poll() is None else []
    for number in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    process.wait(timeout=30)
    if process.stdout is not None:
        process.stdout.close()
