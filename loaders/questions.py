"""Questions of a batch, one a row, with the answers that people gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

Question = Mapping[str, Any]


def question_fields(questions: Sequence[Question], size: int) -> dict[str, Any]:
    """Batch fields of one question a row: lists of ``size``, and ``question_id`` (size,) int64.

    ``answers`` holds a list per row of the record's dicts (``answer``, ``answer_confidence``, ``answer_id``), ten in
    VQA. Where nobody answered (test splits) it is empty, and ``question_type``, ``answer_type`` and
    ``multiple_choice_answer`` are ''; so are rows beyond, with ``question`` '' and ``question_id`` -1.
    """
    missing = size - len(questions)
    texts = {
        name: [question[name] or "" for question in questions] + [""] * missing
        for name in ("question", "question_type", "answer_type", "multiple_choice_answer")
    }
    numbers = [question["question_id"] for question in questions]
    return {
        **texts,
        "question_id": torch.tensor(numbers + [-1] * missing, dtype=torch.int64),
        "answers": [question["answers"] for question in questions] + [[] for _ in range(missing)],
    }
