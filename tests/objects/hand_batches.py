"""Batches of parts as a Loader gives them, made by hand: only what scoring reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch


def hand_batches(
    rows: Sequence[dict[str, Any]], empty: dict[str, Any], rank: int = 0, world: int = 1, size: int = 7
) -> list[dict[str, Any]]:
    """The batches of one rank of ``world``: rows in shuffled order, every one on one rank, the last batch filled up.

    Numbers become tensors (size,); rows that fill up are ``empty`` and not valid.
    """
    order = np.random.default_rng(world).permutation(len(rows))[rank::world]
    made = []
    for start in range(0, len(order), size):
        chosen = [rows[i] for i in order[start : start + size]]
        filled = chosen + [empty] * (size - len(chosen))
        batch: dict[str, Any] = {name: [row[name] for row in filled] for name in empty}
        batch = {n: torch.tensor(v) if isinstance(v[0], int) else v for n, v in batch.items()}
        made.append({**batch, "valid": torch.arange(size) < len(chosen)})
    return made


def question_rows(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "key": record["file_name"].removesuffix(".jpg"),
            "question_id": q["question_id"],
            "image_id": record["image_id"],
        }
        for record in records
        for q in record["questions"]
    ]


def person_rows(records: Sequence[dict[str, Any]], keys: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"key": key, "person_id": person["person"]}
        for key, record in zip(keys, records, strict=True)
        for person in record["persons"]
    ]


NO_QUESTION = {"key": "", "question_id": -1, "image_id": -1}
NO_PERSON = {"key": "", "person_id": -1}
