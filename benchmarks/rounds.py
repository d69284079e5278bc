"""Sides that run in processes of their own, and rounds in which each has its turn."""

from __future__ import annotations

import json
import os
import queue
import statistics
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Answer = dict[str, Any]
PATIENCE = 300.0
"""Seconds for an answer; the first epoch of a side that compiles takes longest."""


class SideFailedError(RuntimeError):
    """A side stopped, or did not answer; the message ends with what it printed last."""


@dataclass(frozen=True, slots=True)
class Program:
    """How a side is started: its Python, its script, and what its environment has beside ours."""

    name: str
    python: Path
    script: Path
    env: Mapping[str, str | None] = field(default_factory=dict)
    """None: taken out."""

    def command(self, word: str, job: str) -> list[str]:
        return [str(self.python), str(self.script), word, job]

    def environment(self) -> dict[str, str]:
        return {key: value for key, value in (os.environ | self.env).items() if value is not None}

    def prepare(self, job: str) -> bool:
        """Let it bring the images into its own format; False where it has no such recipe. Raises SideFailedError."""
        done = subprocess.run(
            self.command("prepare", job), env=self.environment(), capture_output=True, text=True, timeout=600
        )
        if done.returncode not in (0, 3):
            raise SideFailedError(f"{self.name} could not prepare: {(done.stdout + done.stderr)[-1500:]}")
        return done.returncode == 0


class Running:
    """A side that waits for words. Use as a context; leaving it ends the process."""

    def __init__(self, program: Program, job: str, log: Path) -> None:
        self.name, self._log = program.name, log
        with open(log, "w") as errors:
            self._process = subprocess.Popen(
                program.command("serve", job),
                env=program.environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()
        self.ready: Answer = {}

    def __enter__(self) -> Running:
        self.ready = self._answer()
        return self

    def __exit__(self, *error: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(10)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def ask(self, word: str) -> Answer:
        """Say ``check`` or ``go`` and wait. Raises SideFailedError."""
        if self._process.stdin is None or self._process.poll() is not None:
            raise SideFailedError(f"{self.name} has ended: {self._tail()}")
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _collect(self) -> None:
        for line in self._process.stdout or ():
            if line.startswith("{"):  # else a library said something while it was imported
                self._lines.put(line)
        self._lines.put("")  # the end

    def _answer(self) -> Answer:
        try:
            line = self._lines.get(timeout=PATIENCE)
        except queue.Empty as error:
            self._process.kill()
            raise SideFailedError(f"{self.name} gave no answer within {PATIENCE:.0f} s: {self._tail()}") from error
        if not line:
            raise SideFailedError(f"{self.name} stopped: {self._tail()}")
        answer: Answer = json.loads(line)
        return answer

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-1500:]


def alternate(sides: Sequence[Running], rounds: int) -> dict[str, list[Answer]]:
    """``go`` for every side in each round, one after another; each round begins with the next side."""
    found: dict[str, list[Answer]] = {side.name: [] for side in sides}
    for turn in range(rounds):
        shift = turn % max(1, len(sides))
        for side in [*sides[shift:], *sides[:shift]]:
            load = os.getloadavg()[0]
            found[side.name].append(side.ask("go") | {"load": load})
    return found


def summary(name: str, runs: Sequence[Answer]) -> Answer:
    """Medians and the spread of one side's rounds."""
    rates = [run["images"] / run["seconds"] for run in runs]
    return {
        "side": name,
        "images_per_second": round(statistics.median(rates), 1),
        "slowest_and_fastest": [round(min(rates), 1), round(max(rates), 1)],
        "first_batch_s": round(statistics.median(run["first_batch_s"] for run in runs), 4),
        "cpu_s": round(statistics.median(run["cpu_s"] for run in runs), 3),
        "images_per_cpu_second": round(statistics.median(run["images"] / max(run["cpu_s"], 0.01) for run in runs), 1),
        "idle_cpu_s": round(max(run["idle_cpu_s"] for run in runs), 2),
        "peak_rss_mb": [run["peak_rss_mb"] for run in runs],
        "seconds": [round(run["seconds"], 4) for run in runs],
        "load": [round(run["load"], 1) for run in runs],
    }


def ratio(ours: Sequence[Answer], theirs: Sequence[Answer]) -> Answer:
    """Our images/s over theirs: of the medians, and of the rounds with the smallest and the largest."""
    mine, others = ([run["images"] / run["seconds"] for run in runs] for runs in (ours, theirs))
    rounds = [a / b for a, b in zip(mine, others, strict=True)]
    return {
        "ratio": round(statistics.median(mine) / statistics.median(others), 3),
        "rounds": [round(min(rounds), 3), round(max(rounds), 3)],
    }
