"""An answer's normal form and its accuracy, by the rules of the official VQA evaluator, odd corners included.

Source: GT-Vision-Lab/VQA, PythonEvaluationTools/vqaEvaluation/vqaEval.py (its rules as Python 3 runs them).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

_MARKS = frozenset(';/[]"{}()=+\\_-><@`,?!')
_DIGIT_COMMA_DIGIT = re.compile(r"\d,\d")
# Theirs begins with (?!<=\d), a misspelt lookbehind that always holds: a digit before the period saves nothing.
_PERIOD = re.compile(r"\.(?!\d)")
_PERIODS_REMOVED = 32  # they pass the flag re.UNICODE where the count stands

_WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_NUMBERS = {"none": "0", **{word: str(number) for number, word in enumerate(_WORDS)}}
_ARTICLES = frozenset(("a", "an", "the"))
_CONTRACTED = {  # ending -> what stands before it
    "n't": "ai are ca could did does do had has have is might must need ought sha should was were wo would",
    "n't've": "could had might should would",
    "'ve": "could might must not should they we what where who would you",
    "'d": "he how it someone something there they where who you",
    "'d've": "he it she somebody someone something there they we who you",
    "'ll": "how it somebody someone something they what who why you",
    "'re": "there they what why you",
    "'s": "he how somebody someone that there what when where who why",
    "": "ma'am o'clock 'twas y'all y'all'll y'all'd've 'ow's'at",
}


def _contractions() -> dict[str, str]:
    """Word with one apostrophe left out -> the word.

    Not here: their keys Im, Ive, Id've and I'dve, which lower-cased words never equal.
    """
    found = {"somebody'd": "somebodyd"}  # theirs, the wrong way round
    for word in (stem + ending for ending, stems in _CONTRACTED.items() for stem in stems.split()):
        found |= {word[: at.start()] + word[at.end() :]: word for at in re.finditer("'", word)}
    return found


_CONTRACTIONS = _contractions()


def normalise_answer(text: str) -> str:
    """``text`` as the official evaluator compares it where annotators disagree: ``"A cat."`` -> ``"cat"``.

    Give predictions in this form: where all ten annotators agree, they are compared as they stand. Punctuation goes
    (joining its neighbours where it touches a space anywhere in the text, or where a digit, a comma and a digit
    follow one another; parting them elsewhere), periods go unless a digit follows, letters become small, none to ten
    become digits, articles go, and apostrophes come back. May be empty: ``"the"`` -> ``""``.
    """
    return normal_form(clean_answer(text))


def clean_answer(text: str) -> str:
    """What is compared where all annotators agree: line breaks and tabs as spaces, none around."""
    return text.replace("\n", " ").replace("\t", " ").strip()


@lru_cache(maxsize=1 << 17)
def normal_form(text: str) -> str:
    """``normalise_answer`` of a text that is clean; also the form of answer vocabularies, which clean nothing."""
    words = (_NUMBERS.get(word, word) for word in _without_marks(text).lower().split())
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def _without_marks(text: str) -> str:
    """Each mark is judged by the text as it was, so their order plays no part."""
    numeric = _DIGIT_COMMA_DIGIT.search(text) is not None
    joined = {mark: numeric or f"{mark} " in text or f" {mark}" in text for mark in _MARKS.intersection(text)}
    parted = text.translate({ord(mark): None if joins else " " for mark, joins in joined.items()})
    return _PERIOD.sub("", parted, count=_PERIODS_REMOVED)


def answer_accuracy(answers: Sequence[Mapping[str, Any]], predicted: str) -> float:
    """The official accuracy of one prediction, 0..1: of ten answers, 0, 1, 2, 3 alike give 0, .3, .6, .9, more give 1.

    The mean over ``answers`` of min(answers alike among the others / 3, 1). The others are those that differ as whole
    records, as official code has it: without an ``answer_id`` equal answers are not others to one another, and ten
    alike give 0. Where all answers are the same text, nothing is normalised.
    """
    given = [{**answer, "answer": clean_answer(answer["answer"])} for answer in answers]
    predicted = clean_answer(predicted)
    if len({answer["answer"] for answer in given}) > 1:
        given = [{**answer, "answer": normal_form(answer["answer"])} for answer in given]
        predicted = normal_form(predicted)
    alike = [answer for answer in given if answer["answer"] == predicted]
    return math.fsum(min(sum(other != one for other in alike) / 3, 1.0) for one in given) / len(given)
