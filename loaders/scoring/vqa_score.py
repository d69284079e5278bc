"""VQA accuracy over complete results only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ...errors import OptionError
from ..base import Dataset
from .vqa_answer import answer_accuracy
from .vqa_results import VqaResults, answered_questions


@dataclass(frozen=True, slots=True, kw_only=True)
class VqaScore:
    """Accuracies in per cent, rounded to 2 digits as the official evaluator rounds them."""

    overall: float
    per_answer_type: Mapping[str, float]
    """yes/no, number, other; each over its own questions. A question without a type counts under ``""``."""
    per_question_type: Mapping[str, float]
    per_question: Mapping[int, float] = field(repr=False)
    """Question id -> its accuracy."""


def score_vqa(ds: Dataset, results: VqaResults) -> VqaScore:
    """The official VQA accuracy of ``results`` against the answers in the shards (see ``answer_accuracy``).

    Raises OptionError for splits whose answers are not published, and unless every question of ``ds`` has exactly one
    answer and no other has. Sums are exact before the last rounding, so order and ranks play no part; official code
    adds in file order, which could only differ where a mean ends in 5 at the third digit.
    """
    truth = {question["question_id"]: question for question in answered_questions(ds)}
    _complete(truth, results)
    found = {
        question: answer_accuracy(truth[question]["answers"], answer)
        for question, answer in sorted(results.by_question.items())
    }

    def by(name: str) -> dict[str, float]:
        groups: dict[str, list[float]] = {}
        for question, accuracy in found.items():
            groups.setdefault(truth[question][name] or "", []).append(accuracy)
        return {group: _percent(groups[group]) for group in sorted(groups)}

    return VqaScore(
        overall=_percent(found.values()),
        per_answer_type=by("answer_type"),
        per_question_type=by("question_type"),
        per_question={question: _percent([accuracy]) for question, accuracy in found.items()},
    )


def _percent(accuracies: Iterable[float]) -> float:
    values = list(accuracies)
    return round(100 * math.fsum(values) / len(values), 2)


def _complete(truth: Mapping[int, object], results: VqaResults) -> None:
    if not truth:
        raise OptionError("there is no question to score: the dataset or selection is empty.")
    foreign = sorted(results.by_question.keys() - truth.keys())
    if foreign:
        raise OptionError(
            f"{len(foreign):,} answers are to questions that are not scored, such as {foreign[0]}. Were they of another"
            " split or selection?"
        )
    missing = sorted(truth.keys() - results.by_question.keys())
    if missing:
        raise OptionError(
            f"{len(missing):,} of the {len(truth):,} questions have no answer, such as {missing[0]}: the score would be that"
            " of a part. Add every batch of every rank (gather()), or score a selection, ds.select(...)."
        )
