"""The order across versions: saved states rely on it."""

from __future__ import annotations

import json
from pathlib import Path

from .golden import orders

FILE = Path(__file__).parents[1] / "golden" / "order-v2.json"


def test_the_order_is_that_of_the_golden_file() -> None:
    """For layouts, shuffles, samplers and epochs; never regenerated without another ORDER_VERSION."""
    assert orders() == json.loads(FILE.read_text())
