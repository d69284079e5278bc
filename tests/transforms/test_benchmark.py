"""The benchmark of transforms runs every case and says what it measured. No time is asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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
    assert len(names) == len(set(names)) > 35
    for case in result["cases"]:
        assert case["ours"]["median_ms"] > 0
        assert case["torchvision"]["ratio"] >= 0
        assert f"| {case['case']} |" in done.stdout
