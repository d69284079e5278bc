"""``AnswerVocabulary``: VQA as classification over frequent answers, with soft targets."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ..errors import OptionError
from .base import Dataset
from .scoring.vqa_answer import normal_form
from .scoring.vqa_results import answered_questions

Mode = Literal["butd", "normalised"]
_SCORES = (0.0, 0.3, 0.6, 0.9, 1.0)  # by how many of the ten annotators said it; 1 from four on


class AnswerVocabulary:
    """The answers a classifier chooses from: ``vocabulary.labels[i]`` is class i, ``vocabulary.index`` leads back.

    Normalisation and scores follow hengyuan-hu/bottom-up-attention-vqa, tools/compute_softscore.py.
    """

    def __init__(self, labels: Iterable[str]) -> None:
        """Class i is the i-th of ``labels``; raises OptionError for none, or one that stands there twice."""
        self.labels = tuple(labels)
        self.index = {label: number for number, label in enumerate(self.labels)}
        if len(self.index) != len(self.labels) or not self.labels:
            repeated = [label for label, count in Counter(self.labels).items() if count > 1]
            raise OptionError(
                f"a vocabulary needs answers that differ; given {len(self.labels)}, repeated {repeated[:3]}."
            )
        self.rows = 0
        """Rows with answers that ``soft_targets`` has seen."""
        self.outside = 0
        """Those of them that got no score: none of their answers is in the vocabulary."""

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"AnswerVocabulary({len(self):,} answers; {self.outside:,} of {self.rows:,} rows outside)"

    @classmethod
    def build(cls, *datasets: Dataset, min_count: int = 9) -> AnswerVocabulary:
        """Every normalised ``multiple_choice_answer`` of at least ``min_count`` questions over all ``datasets``.

        Train and val of VQA v2 give the usual 3,129, the empty string among them (it is what "a" and "the" become).
        Most frequent first, equally frequent ones by code point; a published checkpoint has an order of its own, see
        ``from_file``. A question that stands in two datasets counts once. Reads every record, decodes no image. The
        published rule also deletes commas, of which normalising leaves none. Raises OptionError for splits without
        answers.
        """
        if not datasets or min_count < 1:
            raise OptionError(f"{len(datasets)} datasets and min_count={min_count}; at least 1 of each is needed.")
        chosen = {
            question["question_id"]: normal_form(question["multiple_choice_answer"])
            for ds in datasets
            for question in answered_questions(ds)
        }
        counts = Counter(chosen.values())
        kept = [answer for answer, count in counts.items() if count >= min_count]
        if not kept:
            raise OptionError(
                f"none of the {len(counts):,} answers to {len(chosen):,} questions is that of {min_count}; lower min_count."
            )
        return cls(sorted(kept, key=lambda answer: (-counts[answer], answer)))

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> AnswerVocabulary:
        """Read a JSON list in class order: what ``save`` wrote, or a published ``trainval_label2ans.json``."""
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise OptionError(f"{path} is no JSON: {error}.") from error
        if not isinstance(found, list) or not all(isinstance(label, str) for label in found):
            raise OptionError(f"{path} holds no JSON list of answers in class order, each a string.")
        return cls(found)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON list in class order."""
        Path(path).write_text(json.dumps(self.labels), encoding="utf-8")

    def soft_targets(self, answers: Sequence[Sequence[Mapping[str, Any]]], mode: Mode = "butd") -> torch.Tensor:
        """(B, len(self)) float32 scores for ``batch["answers"]``: 0, .3, .6, .9, 1 for 0, 1, 2, 3, 4 or more annotators.

        ``butd`` looks the answers up as they were written, as the published code does although its own comment asks
        for normalised ones; ``normalised`` normalises them as the vocabulary was. A row without any answer of the
        vocabulary is zero and counted in ``outside``: keep it, for leaving it out would raise what can be reached. A
        row without answers (test splits, padding) is zero and not counted.
        """
        if mode not in ("butd", "normalised"):
            raise OptionError(f"mode={mode!r} is not one of 'butd', 'normalised'.")
        targets = torch.zeros(len(answers), len(self))
        for row, given in enumerate(answers):
            texts = (answer["answer"] for answer in given)
            counts = Counter(texts if mode == "butd" else map(normal_form, texts))
            places = {self.index[text]: count for text, count in counts.items() if text in self.index}
            self.rows += bool(given)
            self.outside += bool(given) and not places
            targets[row, list(places)] = torch.tensor([_SCORES[min(count, 4)] for count in places.values()])
        return targets

    def decode(self, logits: torch.Tensor | np.ndarray[Any, Any]) -> list[str]:
        """The answer of each row's greatest value, of equal ones the first; ``logits`` (B, len(self)), no NaN."""
        values = torch.as_tensor(logits).detach().to("cpu", torch.float64).numpy()
        if values.ndim != 2 or values.shape[1] != len(self) or np.isnan(values).any():
            raise OptionError(f"logits have shape {values.shape} or hold NaN; needed are (rows, {len(self)}) numbers.")
        return [self.labels[place] for place in values.argmax(1)]
