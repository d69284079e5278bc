"""A tiny set of questions in the shape of VQA's records, made of numbers that a test can recompute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import shardstream as ss
from shardstream.shard_writer.types import About, SplitInfo

from .toy_parts import HEIGHT, WIDTH, ToyPartsSource, ToyPartsSplit, ToyRecord

ANSWER_TYPES = ("yes/no", "number", "other")
QUESTION_TYPES = ("how many", "is the", "what color is the")  # sorted, as the manifest has them
POOLS = {
    "yes/no": ("yes", "no", "Yes.", "no way"),
    "number": ("2", "two", "3", "none", "1,000"),
    "other": ("a red cat", "red cat", "red/white", "red, white", "t-shirt", "the"),
}
OF_IMAGE = {"image_id": "int64", "n_questions": "int64", "question_ids": "list<int64>"}
OF_ANSWERS = dict.fromkeys(("question_types", "question_answer_types", "question_pairs"), "list<int64>")


def toy_question(number: int, image: int, answers: bool) -> dict[str, Any]:
    """Answers are drawn from a pool; every third question's ten are the same text."""
    identity = 1000 * (image + 100) + number
    kind = (image + number) % 3
    pool = POOLS[ANSWER_TYPES[kind]]
    rng = np.random.default_rng([image, number, 7])
    texts = [str(pool[int(i)]) for i in rng.integers(0, 1 if identity % 3 == 0 else len(pool), 10)]
    given = [
        {"answer": text, "answer_confidence": ("yes", "maybe", "no")[n % 3], "answer_id": n + 1}
        for n, text in enumerate(texts)
    ]
    partner = image ^ 1  # the other of two images, where that has as many questions
    return {
        "question_id": identity,
        "question": f"{QUESTION_TYPES[(1, 0, 2)[kind]]} thing {number} of image {image}?",
        "question_type": QUESTION_TYPES[(1, 0, 2)[kind]] if answers else None,
        "answer_type": ANSWER_TYPES[kind] if answers else None,
        "multiple_choice_answer": Counter(texts).most_common(1)[0][0] if answers else None,
        "answers": given if answers else [],
        "complementary_id": 1000 * (partner + 100) + number if answers and number < partner % 4 else None,
    }


def toy_question_record(image: int, answers: bool = True) -> ToyRecord:
    """Image i has i % 4 questions, by question id; ``answers=False`` is how a test split looks."""
    return {
        "image_id": image + 100,
        "file_name": f"COCO_val2014_{image + 100:012d}.jpg",
        "width": WIDTH,
        "height": HEIGHT,
        "questions": [toy_question(number, image, answers) for number in range(image % 4)],
    }


def question_columns(record: ToyRecord, answers: bool, types: Sequence[str]) -> dict[str, Any]:
    asked = record["questions"]
    made = {
        "image_id": record["image_id"],
        "n_questions": len(asked),
        "question_ids": [q["question_id"] for q in asked],
    }
    if answers:
        made["question_types"] = [types.index(q["question_type"]) for q in asked]
        made["question_answer_types"] = [ANSWER_TYPES.index(q["answer_type"]) for q in asked]
        made["question_pairs"] = [-1 if q["complementary_id"] is None else q["complementary_id"] for q in asked]
    return made


def questions_source(
    splits: Mapping[str, Sequence[ToyRecord]], images: bool = True, types: Sequence[str] = QUESTION_TYPES
) -> ToyPartsSource:
    """Splits of records such as ``toy_question_record`` makes; those whose name begins with test have no answers."""
    made = {}
    for name, records in splits.items():
        answers = not name.startswith("test")
        columns = {**OF_IMAGE, **(OF_ANSWERS if answers else {})}
        info = SplitInfo(name=name, image_field="png" if images else None, columns=columns)
        keys = [record["file_name"].removesuffix(".jpg") for record in records]
        made[name] = ToyPartsSplit(info, keys, records, partial(question_columns, answers=answers, types=types))
    classes = {"question_types": tuple(types), "question_answer_types": ANSWER_TYPES}
    return ToyPartsSource(About(name="toy-questions", licence="CC0-1.0", classes=classes), made)


def pack_toy_questions(out: Path, count: int = 40, split: str = "val2014", images: bool = True) -> ss.ShardDataset:
    """A packed split of ``count`` images with ``sum(i % 4)`` questions; a ``split`` named test... has no answers."""
    records = [toy_question_record(i, not split.startswith("test")) for i in range(count)]
    return questions_source({split: records}, images).pack(out, split)
