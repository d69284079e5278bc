"""Counting what ranks got: ours loses and repeats nothing, and the count would say so if it did."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
MODULES = ("measure", "ranks", "venvs", "lost")


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The file ``lost``, importable with its neighbours."""
    monkeypatch.syspath_prepend(str(FOLDER / "peers"))
    monkeypatch.syspath_prepend(str(FOLDER))
    import lost

    yield lost
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run of ours alone wrote: 501 samples on 4 ranks, steps of 8 per rank."""
    folder = tmp_path_factory.mktemp("lost")
    script, out = str(FOLDER / "lost.py"), str(folder / "out.json")
    command = [sys.executable, "-P", script, "--peers", "", "--samples", "501", "--ranks", "4", "--json", out]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "out.json").read_text())


def test_ours_loses_and_repeats_nothing_in_equal_steps(result: dict[str, Any]) -> None:
    """501 samples do not divide by 4 ranks, 64 or 100 shards; every epoch is whole, 16 steps on each rank."""
    assert len(result["rows"]) == 4
    for row in result["rows"]:
        assert len(row["epochs"]) == 3
        for epoch in row["epochs"]:
            assert (epoch["delivered"], epoch["lost"], epoch["repeated"]) == (501, 0, 0)
            assert epoch["fewest_steps"] == epoch["most_steps"] == 16


def test_lost_and_repeated_samples_are_counted_over_all_ranks(lost: ModuleType) -> None:
    """2 and 4 reach nobody; 1 comes twice on one rank, 0 on both; one rank takes two steps, one three."""
    counted = lost.delivery([[[0, 1], [1]], [[3], [0], [5, 6]]], samples=7)
    assert (counted.delivered, counted.lost, counted.repeated) == (7, 2, 2)
    assert (counted.fewest_steps, counted.most_steps) == (2, 3)
    assert (counted.fewest_samples, counted.most_samples) == (3, 4)


def test_a_number_that_is_no_sample_ends_the_count(lost: ModuleType) -> None:
    """A side that makes samples up is a fault of the benchmark, not a repetition."""
    with pytest.raises(ValueError, match=r"\[7\], which are not among the 7"):
        lost.delivery([[[7]]], samples=7)


def test_a_peer_that_is_not_installed_is_named_as_absent(
    lost: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is in the JSON and in the table, not left out."""
    monkeypatch.setattr(lost, "is_installed", {"webdataset": False, "litdata": False}.__getitem__)
    job = lost.Job(str(tmp_path), samples=130, world=2, batch=4, workers=0, epochs=1)
    result = lost.run(["webdataset", "litdata"], job)
    assert result["absent"] == ["webdataset", "litdata"]
    assert "| litdata | not installed: `make peers` |" in lost.table(result)


def test_every_rank_runs_in_its_own_environment(tmp_path: Path) -> None:
    """RANK and WORLD_SIZE are those of torchrun; a rank that dies is named."""
    script = tmp_path / "three.py"
    script.write_text(
        "import os, sys\n"
        "from ranks import Job, on_ranks, report\n"
        "def work(job):\n"
        "    rank = int(os.environ['RANK'])\n"
        "    if rank == job.batch: os._exit(1)\n"
        "    return [[[rank, int(os.environ['WORLD_SIZE'])]]]\n"
        "report({'x': on_ranks(Job.from_arguments(), work)})\n"
    )

    def run(failing: int) -> subprocess.CompletedProcess[str]:
        job = {"folder": "", "samples": 0, "world": 3, "batch": failing, "workers": 0, "epochs": 1}
        env = {"PYTHONPATH": str(FOLDER / "peers")}
        return subprocess.run(
            [sys.executable, str(script), json.dumps(job)], env=env, capture_output=True, text=True, timeout=60
        )

    assert json.loads(run(failing=9).stdout) == [{"setting": "x", "ranks": [[[[r, 3]]] for r in range(3)]}]
    assert "rank 1 ended without an answer" in run(failing=1).stderr
