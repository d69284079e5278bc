"""The answer vocabulary and soft targets, against the published rules written plainly over real answers."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import shardstream as ss

from ..toy_questions import pack_toy_questions, questions_source, toy_question_record
from . import vqa_oracle as oracle
from .real_questions import as_records, real_questions

SCORES = {0: 0.0, 1: 0.3, 2: 0.6, 3: 0.9}


@pytest.fixture(scope="module")
def real(real_data: Path) -> list[dict[str, Any]]:
    """Every sixth real image's questions."""
    return [q for record in as_records(real_questions(real_data / "vqa/all"))[::6] for q in record["questions"]]


@pytest.fixture(scope="module")
def packed(real_data: Path, real: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The same as two splits, a third of the images in the second."""
    records = as_records(real_questions(real_data / "vqa/all"))[::6]
    types = sorted({q["question_type"] for q in real})
    splits = {"train2014": [r for n, r in enumerate(records) if n % 3], "val2014": records[::3]}
    out = tmp_path_factory.mktemp("answers") / "out"
    questions_source(splits, images=False, types=types).pack(out, "val2014", 3_000_000)
    return [ss.open(out, name) for name in splits]


def dicts(*texts: str) -> list[dict[str, Any]]:
    return [{"answer": text, "answer_confidence": "yes", "answer_id": n + 1} for n, text in enumerate(texts)]


def test_the_vocabulary_holds_frequent_normalised_answers_of_all_splits(
    real: list[dict[str, Any]], packed: Any
) -> None:
    """Counted over both splits together, most frequent first, then by code point; in whichever order they are given."""
    counts = Counter(oracle.normalised(q["multiple_choice_answer"]).replace(",", "") for q in real)
    expected = sorted((a for a, n in counts.items() if n >= 9), key=lambda a: (-counts[a], a))
    found = ss.AnswerVocabulary.build(*packed)
    assert list(found.labels) == expected
    assert len(found) > 50
    assert found.index[found.labels[7]] == 7
    assert ss.AnswerVocabulary.build(*reversed(packed), packed[0]).labels == found.labels
    alone = ss.AnswerVocabulary.build(packed[1])
    assert set(alone.labels) < set(found.labels)
    rare = ss.AnswerVocabulary.build(*packed, min_count=1)
    assert set(rare.labels) == set(counts)
    assert "" in rare.index  # "a" is somebody's answer


@pytest.mark.parametrize("mode", ["butd", "normalised"])
def test_soft_targets_of_real_answers_follow_the_published_rule(real: list[dict[str, Any]], mode: Any) -> None:
    """Every real question: scores by count, answers outside the vocabulary counted, the two modes differ."""
    chosen = Counter(oracle.normalised(q["multiple_choice_answer"]) for q in real)
    vocabulary = ss.AnswerVocabulary([a for a, n in chosen.items() if n >= 9])
    found = vocabulary.soft_targets([q["answers"] for q in real], mode).numpy()
    assert found.dtype == np.float32
    assert found.shape == (len(real), len(vocabulary))
    expected, differ = np.zeros_like(found), 0
    for row, question in enumerate(real):
        raw = [answer["answer"] for answer in question["answers"]]
        normal = [oracle.normalised(text) for text in raw]
        differ += raw != normal
        for column, label in enumerate(vocabulary.labels):
            count = (raw if mode == "butd" else normal).count(label)
            expected[row, column] = SCORES.get(count, 1.0) if count else 0.0
    assert np.array_equal(found, expected)
    assert differ > 100
    assert vocabulary.rows == len(real)
    assert vocabulary.outside == int((expected == 0).all(1).sum()) > 100


def test_scores_depend_on_the_count_of_raw_or_normalised_answers() -> None:
    """0, .3, .6, .9, 1; raw answers find only what is written as the vocabulary writes it."""
    vocabulary = ss.AnswerVocabulary(["2", "t shirt", "", "red"])
    given = dicts("two", "2", "2", "t-shirt", "t-shirt", "t-shirt", "t-shirt", "a", "red", "Red.")
    tenths = {"butd": [0.6, 0.0, 0.0, 0.3], "normalised": [0.9, 1.0, 0.3, 0.6]}
    for mode, expected in tenths.items():
        assert vocabulary.soft_targets([given], mode).tolist() == [pytest.approx(expected)]  # type: ignore[arg-type]
    assert vocabulary.outside == 0


def test_rows_outside_the_vocabulary_are_zero_and_counted_and_rows_without_answers_are_not() -> None:
    """A test split or padding has no answers; a question nobody can answer from the list is another matter."""
    vocabulary = ss.AnswerVocabulary(["yes", "no"])
    found = vocabulary.soft_targets([dicts(*["maybe"] * 10), [], dicts(*["yes"] * 9, "no")])
    assert found.tolist() == [[0, 0], [0, 0], [1, pytest.approx(0.3)]]
    assert (vocabulary.rows, vocabulary.outside) == (2, 1)
    vocabulary.soft_targets([dicts("perhaps")])
    assert (vocabulary.rows, vocabulary.outside) == (3, 2)
    assert repr(vocabulary) == "AnswerVocabulary(2 answers; 2 of 3 rows outside)"
    assert vocabulary.soft_targets([]).shape == (0, 2)


def test_a_published_list_keeps_its_order_through_file_and_decoding(tmp_path: Path) -> None:
    """Class i is the i-th entry, the empty string and accents too."""
    labels = ["", "net", "café", "2", "yes"]
    (tmp_path / "trainval_label2ans.json").write_text(json.dumps(labels))
    vocabulary = ss.AnswerVocabulary.from_file(tmp_path / "trainval_label2ans.json")
    assert list(vocabulary.labels) == labels
    vocabulary.save(tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text()) == labels
    logits = torch.zeros(4, 5)
    logits[0, 2], logits[1, 0], logits[2, 4] = 3, 0.1, 1
    logits[3, 1] = logits[3, 3] = 5
    assert vocabulary.decode(logits) == ["café", "", "yes", "net"]
    assert vocabulary.decode(logits.bfloat16()) == vocabulary.decode(logits.numpy()) == ["café", "", "yes", "net"]


def test_what_is_no_vocabulary_or_does_not_fit_it_is_refused(tmp_path: Path) -> None:
    """Files of another kind, answers twice, logits of another model, splits without answers."""
    for text, message in (
        ('{"yes": 0}', r"holds no JSON list of answers in class order"),
        ('["yes", 1]', r"holds no JSON list of answers in class order"),
        ("yes", r"is no JSON"),
        ('["yes", "no", "yes"]', r"given 3, repeated \['yes'\]"),
        ("[]", r"given 0"),
    ):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ss.OptionError, match=message):
            ss.AnswerVocabulary.from_file(tmp_path / "bad.json")
    vocabulary = ss.AnswerVocabulary(["yes", "no"])
    for logits in (torch.zeros(2), torch.zeros(2, 3), torch.tensor([[0.0, float("nan")]])):
        with pytest.raises(ss.OptionError, match=r"needed are \(rows, 2\) numbers"):
            vocabulary.decode(logits)
    with pytest.raises(ss.OptionError, match=r"mode='raw' is not one of"):
        vocabulary.soft_targets([], "raw")  # type: ignore[arg-type]
    with pytest.raises(ss.OptionError, match=r"of split 'test2015' has no answers"):
        ss.AnswerVocabulary.build(pack_toy_questions(tmp_path / "test", 8, "test2015"))
    toy = pack_toy_questions(tmp_path / "val", 8, images=False)
    with pytest.raises(ss.OptionError, match=r"to 12 questions is that of 1000; lower min_count"):
        ss.AnswerVocabulary.build(toy, min_count=1000)
    with pytest.raises(ss.OptionError, match=r"0 datasets and min_count=9"):
        ss.AnswerVocabulary.build()
    answers = {
        oracle.normalised(q["multiple_choice_answer"]) for i in range(8) for q in toy_question_record(i)["questions"]
    }
    assert set(ss.AnswerVocabulary.build(toy, min_count=1).labels) == answers
