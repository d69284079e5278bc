"""The benchmark of transforms runs every case and says what it measured. No time is asserted."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "transforms.py"


def test_every_case_is_measured_on_both_sides(tmp_path: Path) -> None:
    """A batch of 4, one round; ours and torchvision's loop for each, both with a time."""
    out = tmp_path / "out.json"
    command = [sys.executable, "-P", str(SCRIPT), "--batch", "4", "--size", "32", "--repeats", "1", "--json", str(out)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(out.read_text())
    assert (result["batch"], result["size"]) == (4, 32)
    names = [case["case"] for case in result["cases"]]
    assert len(names) == len(set(names)) > 45
    for case in result["cases"]:
        assert case["ours"]["median_ms"] > 0
        assert case["torchvision"]["ratio"] >= 0
        assert f"| {case['case']} |" in done.stdout


def test_bars_reach_as_far_as_their_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the line at 1: to the right where ours is faster, to the left where it is slower, none where it is even."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    plot = importlib.import_module("transform_plot")
    rounds = {"min": 1.0, "max": 1.0}  # no whiskers
    cases = [{"case": "c", "torchvision": {"ratio": ratio, "ratio_rounds": rounds}} for ratio in (4.0, 1.0, 0.5, 999.0)]
    page = plot.plot({"batch": 4, "size": 32, "device": "cpu", "date": "2026-11-24", "cases": cases})
    blue = (np.array(page) == [0x2F, 0x6D, 0xB5]).all(2)
    for number, end in enumerate((plot._x(4), plot._x(1), plot._x(0.5), plot._x(plot.HIGH))):
        columns = np.flatnonzero(blue[plot.TOP + number * plot.STEP + 4])
        low, high = sorted((plot._x(1), end))
        assert abs(columns.min() - low) <= 1
        assert abs(columns.max() - high) <= 1
