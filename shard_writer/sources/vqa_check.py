"""What a VQA file must be before we believe it: every check names the file, the question and both values."""

from __future__ import annotations

import sys
from typing import Any

from ...errors import SourceError
from .coco_check import Entry, entries, load_json, text, whole
from .options import some
from .vqa_facts import ANSWER_TYPES, ANSWERS, CONFIDENCES, QUESTION_TYPES, home_of

_ANSWER_IDS = list(range(1, ANSWERS + 1))


def read_entries(data: bytes, where: str, kind: str, split: str) -> list[Entry]:
    """``questions`` or ``annotations`` of a split's file, each with a question id of its own.

    Raises SourceError for a file that says it is of another version, task or split.
    """
    body = load_json(data, where)
    if not isinstance(body, dict) or not isinstance(body.get(kind), list):
        raise SourceError(f"{where} has no list {kind!r}; it is no VQA {kind} file.")
    info = body.get("info")
    version = str(info.get("version", "2.0")) if isinstance(info, dict) else "2.0"
    if not version.startswith("2"):
        raise SourceError(f"{where} says version {version}, not 2.0; load the files of VQA v2.")
    splits = (split, home_of(split))
    for name, known in (("task_type", ("Open-Ended",)), ("data_type", ("mscoco",)), ("data_subtype", splits)):
        if body.get(name, known[0]) not in known:
            raise SourceError(
                f"{where} says {name} {body[name]!r}, not {known[0]!r}: a file of another task or split under this name."
                " Load it again, or name it after what it holds."
            )
    return entries(body, kind, where, "question_id")


def make_question(entry: Entry, where: str) -> Entry:
    """One of ``questions``, without answers."""
    return {
        "question_id": entry["question_id"],
        "question": text(entry, "question", where, "question"),
        "question_type": None,
        "answer_type": None,
        "multiple_choice_answer": None,
        "answers": [],
        "complementary_id": None,
    }


def add_answers(question: Entry, entry: Entry, where: str) -> None:
    """Fill in what an annotation says; raises SourceError for one that no evaluator could score."""
    for name, known in (("question_type", QUESTION_TYPES), ("answer_type", ANSWER_TYPES)):
        question[name] = value = entry.get(name)
        if value not in known:
            raise SourceError(
                f"{where}: annotation {entry['question_id']}: {name} is {value!r:.40}, not one of {some(known)}."
            )
    question["multiple_choice_answer"] = sys.intern(text(entry, "multiple_choice_answer", where, "annotation"))
    question["answers"] = _answers(entry.get("answers"), f"{where}: annotation {entry['question_id']}")


def image_of(entry: Entry, where: str, what: str) -> int:
    """The id of the image that a question or annotation is of."""
    image = whole(entry, "image_id", where, what)
    if image < 0:
        raise SourceError(f"{where}: {what} {entry['question_id']}: image_id is {image}, below 0.")
    return image


def _answers(given: Any, what: str) -> list[Entry]:
    """Ten answers as given, in the keys that the official evaluator reads."""
    if not isinstance(given, list) or not all(isinstance(answer, dict) for answer in given):
        raise SourceError(f"{what}: answers is {given!r:.40}, not a list of objects.")
    if len(given) != ANSWERS:
        raise SourceError(
            f"{what} has {len(given)} answers, not {ANSWERS}: the official accuracy is a mean over {ANSWERS}."
        )
    ids = [answer.get("answer_id") for answer in given]
    if set(map(type, ids)) != {int} or sorted(ids) != _ANSWER_IDS:
        raise SourceError(
            f"{what}: answer_id are {ids}, not 1 to {ANSWERS} once each: the official evaluator tells equal answers"
            " apart by them."
        )
    # Interned: two million answers are a hundred thousand texts.
    return [
        {
            "answer": sys.intern(text(answer, "answer", what, "answer")),
            "answer_confidence": _confidence(answer, what),
            "answer_id": answer["answer_id"],
        }
        for answer in given
    ]


def _confidence(answer: Entry, what: str) -> str:
    value = answer.get("answer_confidence")
    if value not in CONFIDENCES:
        raise SourceError(f"{what}: answer_confidence is {value!r:.40}, not one of {', '.join(CONFIDENCES)}.")
    return sys.intern(value)
