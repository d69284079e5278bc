"""Real VQA questions with their answers, and answers a model might give to them."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from ..toy_parts import ToyRecord

TWO_FILES = "v2_OpenEnded_mscoco_train2014_questions.json", "v2_mscoco_train2014_annotations.json"


@cache
def real_questions(folder: Path) -> list[dict[str, Any]]:
    """Questions in the order of the official files, each with its text and its annotation. Shared: change nothing."""
    asked, annotated = (json.loads((folder / name).read_text()) for name in TWO_FILES)
    text = {q["question_id"]: q["question"] for q in asked["questions"]}
    return [{**a, "question": text[a["question_id"]], "complementary_id": None} for a in annotated["annotations"]]


def as_records(questions: list[dict[str, Any]]) -> list[ToyRecord]:
    """One record per image, as packed."""
    images: dict[int, list[dict[str, Any]]] = {}
    for question in questions:
        images.setdefault(question["image_id"], []).append({k: v for k, v in question.items() if k != "image_id"})
    return [
        {
            "image_id": image,
            "file_name": f"COCO_train2014_{image:012d}.jpg",
            "width": None,
            "height": None,
            "questions": sorted(found, key=lambda q: int(q["question_id"])),
        }
        for image, found in images.items()
    ]


def common(question: dict[str, Any]) -> str:
    """The most common answer as it was written."""
    return str(Counter(a["answer"] for a in question["answers"]).most_common(1)[0][0])


def careless(question: dict[str, Any]) -> str:
    """The most common answer, not normalised: capitals, a period, an article, a word for a digit, and so on."""
    text = common(question)
    words = {"1": "one", "2": "Two", "3": "three.", "0": "none"}
    mutants = (
        text, text.upper(), f"{text}.", f"The {text}", words.get(text, text.title()),
        f" {text}\n", text.replace(" ", " , "), f"{text}!", "yes" if text == "no" else "no",
    )  # fmt: skip
    return mutants[question["question_id"] % len(mutants)]
