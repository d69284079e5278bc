"""The official VQA evaluation written a second time, as plainly as it can be: one character, one record at a time.

From the rules alone (GT-Vision-Lab/VQA, vqaEval.py), sharing nothing with ``loaders/scoring``.
"""

from __future__ import annotations

from functools import cache
from typing import Any

MARKS = [";", "/", "[", "]", '"', "{", "}", "(", ")", "=", "+", "\\", "_", "-", ">", "<", "@", "`", ",", "?", "!"]
DIGITS = {
    "none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5",
    "six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10",
}  # fmt: skip
# Every word that the official table leads to; a key is the word without one of its apostrophes.
APOSTROPHES = """
    'ow's'at 'twas ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't
    he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've mustn't
    needn't not've o'clock oughtn't shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're
    there's they'd they'd've they'll they're they've wasn't we'd've we've weren't what'll what're what's what've when's
    where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've
    y'all y'all'd've y'all'll you'd you'd've you'll you're you've
"""


def contracted(word: str) -> str:
    """The word with its apostrophes; "somebody'd" loses the one it has."""
    if word == "somebody'd":
        return "somebodyd"
    for right in APOSTROPHES.split():
        for place, letter in enumerate(right):
            if letter == "'" and right[:place] + right[place + 1 :] == word:
                return right
    return word


def spaced(mark: str, text: str) -> bool:
    """Whether the mark stands beside a space anywhere in the text."""
    neighbours = [text[i - 1 : i] + text[i + 1 : i + 2] for i in range(len(text)) if text[i] == mark]
    return any(" " in pair for pair in neighbours)


@cache
def normalised(text: str) -> str:
    comma = any(text[i].isdecimal() and text[i + 1] == "," and text[i + 2].isdecimal() for i in range(len(text) - 2))
    plain = ""
    for letter in text:
        if letter not in MARKS:
            plain += letter
        elif not (comma or spaced(letter, text)):
            plain += " "
    without, removed = "", 0
    for place, letter in enumerate(plain):
        if letter == "." and not plain[place + 1 : place + 2].isdecimal() and removed < 32:
            removed += 1
        else:
            without += letter
    words = []
    for word in without.lower().split():
        digit = DIGITS.get(word, word)
        if digit not in ("a", "an", "the"):
            words.append(contracted(digit))
    return " ".join(words)


def stripped(text: str) -> str:
    return "".join(" " if letter in "\n\t" else letter for letter in text).strip()


def accuracy(answers: list[dict[str, Any]], predicted: str) -> float:
    """Take one answer out, count who of the rest says the same, thirds up to one; the mean over who is taken out."""
    answers = [{**answer, "answer": stripped(answer["answer"])} for answer in answers]
    predicted = stripped(predicted)
    if any(answer["answer"] != answers[0]["answer"] for answer in answers):
        answers = [{**answer, "answer": normalised(answer["answer"])} for answer in answers]
        predicted = normalised(predicted)
    total = 0.0
    for out in answers:
        others = [answer for answer in answers if answer != out]
        same = [answer for answer in others if answer["answer"] == predicted]
        total += min(1.0, len(same) / 3)
    return total / len(answers)


def evaluate(questions: list[dict[str, Any]], predicted: dict[int, str]) -> dict[str, Any]:
    """Accuracies as the official evaluator reports them: overall, by answer type, by question type, by question."""
    found = {q["question_id"]: accuracy(q["answers"], predicted[q["question_id"]]) for q in questions}

    def mean(chosen: list[dict[str, Any]]) -> float:
        return round(100 * sum(found[q["question_id"]] for q in chosen) / len(chosen), 2)

    def by(name: str) -> dict[str, float]:
        return {kind: mean([q for q in questions if q[name] == kind]) for kind in {q[name] for q in questions}}

    return {
        "overall": mean(questions),
        "per_answer_type": by("answer_type"),
        "per_question_type": by("question_type"),
        "per_question": {identity: round(100 * value, 2) for identity, value in found.items()},
    }
