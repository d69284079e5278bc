"""What the golden order file holds: run as ``python -m tests.order.golden`` it prints a new one.

A saved state is a position; whoever resumes with a later version relies on this file never changing. An order that
must change gets another ORDER_VERSION and another file.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from shardstream.loaders.epoch import Epoch
from shardstream.loaders.order import ORDER_VERSION, OrderSpec
from shardstream.loaders.samplers.systematic import UNIT, OneEach, Systematic

LAYOUTS = {"one": [20], "uneven": [1, 9, 2, 5, 3], "empty": [4, 0, 6], "many": [3] * 12, "large": [5, 4000]}
SPECS = {
    "sequential": OrderSpec(False),
    "shards only": OrderSpec(True, 0, 1, 1),
    "lanes": OrderSpec(True, 1, 6, 4),
    "default": OrderSpec(True, 2, 2, 64),
    "global": OrderSpec(True, 3, 1, 10_000),
}
SHOWN = 24


def weighted(counts: list[int]) -> Systematic:
    """Item i of a shard weighs i % 4 halves of a copy."""
    weights = [np.arange(count) % 4 * (UNIT // 2) for count in counts]
    starts = np.concatenate([[0], np.cumsum([int(part.sum()) for part in weights])]).tolist()
    return Systematic(sum(counts), 5, starts, weights.__getitem__)


def orders() -> dict[str, Any]:
    """Case -> [shard, item, copy] of its first positions, for two epochs."""
    made: dict[str, Any] = {"order_version": ORDER_VERSION}
    for layout, counts in LAYOUTS.items():
        for name, spec in SPECS.items():
            for sampler, copies in (("natural", OneEach(np.array(counts))), ("weighted", weighted(counts))):
                for epoch in (0, 1):
                    positions = np.arange(min(SHOWN, copies.size))
                    found = Epoch(copies, spec, epoch).locate(positions)
                    made[f"{layout}/{name}/{sampler}/{epoch}"] = [column.tolist() for column in found]
    return made


if __name__ == "__main__":
    body = ",\n".join(f" {json.dumps(name)}: {json.dumps(value)}" for name, value in orders().items())
    print(f"{{\n{body}\n}}")  # noqa: T201 - the file itself
