"""Questions below a picture, with everything that people answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from .palette import GREY
from .panel import INDENT, Line, wrapped

Question = Mapping[str, Any]


def question_lines(item: Mapping[str, Any], width: float) -> Iterator[Line]:
    """Each question and its types, then the answers with how many gave them and how sure they were."""
    for number, question in enumerate(item.get("questions") or [], start=1):
        yield from wrapped(Line(f"{number}.  {question['question']}"), width, hanging=INDENT)
        yield from wrapped(Line(answers_of(question), GREY, INDENT), width)


def answers_of(question: Question) -> str:
    """``'white' x4 (3 yes, 1 maybe), 'grey' x1 (no) · other, what color is the``: the official answer first, then by count."""
    given: dict[str, Counter[str]] = {}
    for answer in question["answers"]:
        given.setdefault(answer["answer"], Counter())[answer["answer_confidence"]] += 1
    official = question["multiple_choice_answer"]
    order = sorted(given, key=lambda text: (text != official, -given[text].total()))
    said = ", ".join(f"{text!r} {_counted(given[text])}" for text in order) or "no answers"
    kinds = ", ".join(filter(None, (question["answer_type"], question["question_type"])))
    return f"{said} \N{MIDDLE DOT} {kinds}" if kinds else said


def _counted(confidences: Counter[str]) -> str:
    sure = [f"{count} {word}" if len(confidences) > 1 else word for word, count in confidences.most_common()]
    return f"x{confidences.total()} ({', '.join(sure)})"
