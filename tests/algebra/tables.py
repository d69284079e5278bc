"""Tables to join to the shared dataset of 63 rows."""

from __future__ import annotations

from typing import Any

import numpy as np

ROWS = 63


def key(number: int) -> str:
    return f"item-{number:05d}"


def table(**columns: Any) -> dict[str, Any]:
    """One row for each of the dataset's, in another order."""
    order = np.random.default_rng(0).permutation(ROWS).tolist()
    made: dict[str, Any] = {"key": [key(i) for i in order]}
    return made | {name: [make(i) for i in order] for name, make in columns.items()}


FULL = {"key": [key(i) for i in range(ROWS)]}
"""All keys, for a column beside them."""
