"""Index columns of an image's questions: one entry a question, in the order of the record."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from ..types import Column
from .vqa_facts import ANSWER_TYPES, QUESTION_TYPES

ANSWERED: Mapping[str, tuple[str, ...]] = {"question_types": QUESTION_TYPES, "question_answer_types": ANSWER_TYPES}
"""Columns that need the annotations file, and the names of their values."""
_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "questions": {"n_questions": "int64", "question_ids": "list<int64>"},
    "annotations": dict.fromkeys(ANSWERED, "list<int64>"),
    "complementary_pairs": {"question_pairs": "list<int64>"},
}
KINDS = tuple(_COLUMNS)
_NO_PAIR = -1
_LABELS = {name: {value: label for label, value in enumerate(values)} for name, values in ANSWERED.items()}


def columns_of_questions(kinds: Container[str]) -> dict[str, str]:
    """Index columns of a split with these files."""
    return {name: kind for of, columns in _COLUMNS.items() if of in kinds for name, kind in columns.items()}


def question_columns(questions: Sequence[Mapping[str, Any]]) -> dict[str, Column]:
    """Values of every column; those of files that are not there mean nothing, and are not declared."""
    types, answer_types = _LABELS.values()
    return {
        "n_questions": len(questions),
        "question_ids": [question["question_id"] for question in questions],
        "question_types": [types.get(question["question_type"], -1) for question in questions],
        "question_answer_types": [answer_types.get(question["answer_type"], -1) for question in questions],
        "question_pairs": [
            _NO_PAIR if question["complementary_id"] is None else question["complementary_id"] for question in questions
        ],
    }
