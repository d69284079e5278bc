"""Four ranks killed at a random step, three go on: together exactly the epoch, in every case."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ..index_only import pack_index_only

SCRIPT = Path(__file__).with_name("killed_job.py")


def trials(folder: Path, count: int, seed: int) -> list[dict[str, Any]]:
    pack_index_only(folder / "shards", [40, 7, 90, 1, 33, 60, 25])
    command = [sys.executable, "-P", str(SCRIPT), str(folder / "shards"), str(count), str(seed)]
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(lines) == count + 1, ran.stderr[-2000:]
    return lines[:-1]


def assert_whole(results: list[dict[str, Any]]) -> None:
    wrong = [result for result in results if result["missing"] or result["repeated"] or result["failed"]]
    assert wrong == []
    assert any(0 < result["before"] < result["whole"] for result in results), "some were killed on the way"


def test_a_killed_job_goes_on_with_fewer_ranks_exactly_once(tmp_path: Path) -> None:
    """SIGKILL to real processes: plain, a selection, a sampler, captions, a mixture with sampler and selection."""
    results = trials(tmp_path, 5, seed=1)
    assert {result["case"] for result in results} == set(range(5))
    assert_whole(results)


@pytest.mark.slow
def test_fifty_killed_jobs_go_on_exactly_once(tmp_path: Path) -> None:
    """Issue 5's count: ten of each case."""
    assert_whole(trials(tmp_path, 50, seed=2))
