"""Answers to the questions of our batches, collected as an official VQA result file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ...errors import OptionError
from ..base import Dataset
from .coco_ground_truth import records
from .ranks import of_all_ranks


class VqaResults:
    """One answer per question of a split or selection, by official question id.

    Rows that are not valid are skipped. A question answered twice, or one that the split does not have, raises
    OptionError and leaves the results as they were.
    """

    def __init__(self, ds: Dataset) -> None:
        _has_questions(ds)
        column = ds.index_columns(["question_ids"])["question_ids"]
        self.known: frozenset[int] = frozenset(pc.list_flatten(column).cast(pa.int64()).to_pylist())
        self.by_question: dict[int, str] = {}

    def __len__(self) -> int:
        """Questions answered."""
        return len(self.by_question)

    @property
    def missing(self) -> list[int]:
        """Ids of the questions that have no answer yet, ascending."""
        return sorted(self.known.difference(self.by_question))

    def add(self, batch: Mapping[str, Any], answers: Sequence[str]) -> None:
        """One text per row of a batch with ``question_id``; it is kept as it is, so pass ``normalise_answer(text)``."""
        if "question_id" not in batch:
            raise OptionError("the batch has no question_id; load it with a view of questions.")
        if len(answers) != len(batch["question_id"]):
            raise OptionError(f"{len(answers)} answers for a batch of {len(batch['question_id'])} rows; one per row.")
        rows = zip(batch["question_id"], batch["valid"], answers, strict=True)
        self._put([(int(question), answer) for question, valid, answer in rows if valid])

    def load(self, path: str | os.PathLike[str]) -> None:
        """Take over an official result file; raises OptionError for what is none."""
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
            pairs = [(int(entry["question_id"]), entry["answer"]) for entry in found]
        except (KeyError, TypeError, ValueError) as error:
            raise OptionError(f"{path} is no JSON list of question_id and answer: {error!r}.") from error
        self._put(pairs)

    def merge(self, other: VqaResults) -> None:
        """Take over another rank's results."""
        self._put(list(other.by_question.items()))

    def gather(self) -> VqaResults:
        """On every rank of an initialised process group, the results of all; without one, these. Call it once."""
        parts = of_all_ranks(self.by_question)
        self.by_question = {}
        self._put([pair for part in parts for pair in part.items()])
        return self

    def as_list(self) -> list[dict[str, Any]]:
        """The official result list, by question id."""
        return [
            {"question_id": question, "answer": self.by_question[question]} for question in sorted(self.by_question)
        ]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the official result file. The evaluation server takes complete ones only: see ``missing``."""
        Path(path).write_text(json.dumps(self.as_list()), encoding="utf-8")

    def _put(self, pairs: Sequence[tuple[int, str]]) -> None:
        made: dict[int, str] = {}
        for question, answer in pairs:
            if not isinstance(answer, str):
                raise OptionError(f"question {question}: the answer is {type(answer).__name__}, expected str.")
            if question not in self.known:
                raise OptionError(
                    f"question {question} is none of the {len(self.known):,} of this dataset. Is it of another split?"
                )
            if question in made or question in self.by_question:
                raise OptionError(
                    f"question {question} was answered before: each is scored once. Was a batch added twice?"
                )
            made[question] = answer
        self.by_question |= made


def questions(ds: Dataset) -> Iterator[Mapping[str, Any]]:
    """Every question of the selected images with its answers; raises OptionError where the split has none."""
    _has_questions(ds)
    return (question for record in records(ds) for question in record["questions"])


def answered_questions(ds: Dataset) -> Iterator[Mapping[str, Any]]:
    """``questions``, whose answers are published; raises OptionError at one without."""
    for question in questions(ds):
        if not question["answers"]:
            raise OptionError(
                f"question {question['question_id']} of split {ds.info.name!r} has no answers: those of test splits are"
                " not published. Send VqaResults.save()'s file to the evaluation server, or use train or val."
            )
        yield question


def _has_questions(ds: Dataset) -> None:
    if "question_ids" not in ds.info.columns:
        raise OptionError(f"split {ds.info.name!r} has no questions: its index has no column 'question_ids'.")
