"""The picture of the speed results: bars as long as their figures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ImageColor

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def side(name: str, rate: float) -> dict[str, Any]:
    return {"side": name, "images_per_second": rate, "slowest_and_fastest": [rate, rate]}


def test_bars_are_as_long_as_their_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """In every panel from its own longest one; ours, the limit and peers in their colours."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    import speed_plot  # type: ignore[import-not-found]

    recipes = [
        {"recipe": "imagenet", "sides": [side("ours-thread", 1000), side("limit", 500), side("dali", 250)]},
        {"recipe": "cifar", "sides": [side("ours-thread", 10), side("ffcv", 40)]},
    ]
    machine = {"cores": 2, "cpu": "x"}
    page = np.asarray(speed_plot.plot({"recipes": recipes, "machine": machine, "date": "2026-11-24"}))

    def widths(colour: str) -> list[int]:
        wide = (page == ImageColor.getrgb(colour)).all(axis=2).sum(axis=1)
        bars = np.diff(np.flatnonzero(np.diff(np.concatenate([[0], wide > 20, [0]]))).reshape(-1, 2), axis=1)
        assert (bars >= 10).all()
        return [int(row) for row in dict.fromkeys(wide[wide > 20]) if row > 20]

    full = speed_plot.RIGHT - speed_plot.LEFT
    assert any(abs(width - full) <= 2 for width in widths(speed_plot.OURS))
    assert any(abs(width - full / 4) <= 2 for width in widths(speed_plot.OURS))
    assert any(abs(width - full / 2) <= 2 for width in widths(speed_plot.LIMIT))
    assert any(abs(width - full / 4) <= 2 for width in widths(speed_plot.PEER))
    assert any(abs(width - full) <= 2 for width in widths(speed_plot.PEER))
