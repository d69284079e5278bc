"""VQA accuracy: every odd corner of the official rules, and a second implementation over all real answers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardstream import scoring
from shardstream.loaders.scoring import vqa_answer

from . import vqa_oracle as oracle
from .real_questions import careless, common, real_questions

GOLDEN = {
    "A cat": "cat", "the": "", "3.": "3", ".5": ".5", "1,000": "1000", "1,2": "12", "a.b.c": "abc", "t-shirt": "t shirt",
    "red/white": "red white", "yes, sir": "yes sir", "none": "0", "dont know": "don't know", "oclock": "o'clock",
    "Im": "im", "2:30 pm": "2:30 pm", "U.S.A.": "usa",
}  # fmt: skip
CORNERS = {
    "t-shirt - red": "tshirt red",  # joined everywhere, for one of the marks touches a space
    "t-shirt , red": "t shirt red",  # but each mark is judged by itself
    "1,000-2,000": "10002000",  # a digit, a comma and a digit: every mark joins
    "3.5": "3.5",
    "3.x": "3x",  # their lookbehind for the digit before is misspelt
    "ten to one": "10 to 1",
    "an a the": "",
    "somebody'd": "somebodyd",
    "id've": "id've",  # their key is Id've, which small letters never equal
    "Ive seen": "ive seen",
    "it's": "it's",
    "shes": "shes",
    "y'alldve": "y'alldve",
    "yall'd've": "y'all'd've",
    "'ows'at": "'ow's'at",
    " tab\tand\nline ": "tab and line",
    "": "",
    "." * 40: "." * 8,  # re.UNICODE stands where the count does: 32 periods go
}


def answers(*texts: str, ids: bool = True) -> list[dict[str, Any]]:
    made = [{"answer": t, "answer_confidence": "yes", "answer_id": n + 1} for n, t in enumerate(texts)]
    return made if ids else [{k: v for k, v in a.items() if k != "answer_id"} for a in made]


@pytest.fixture(scope="module")
def real(real_data: Path) -> list[dict[str, Any]]:
    return real_questions(real_data / "vqa/all")


@pytest.mark.parametrize(("text", "expected"), (GOLDEN | CORNERS).items())
def test_an_answer_is_normalised_as_the_official_evaluator_does_it(text: str, expected: str) -> None:
    """The published values, and what follows from each rule and each slip."""
    assert scoring.normalise_answer(text) == expected
    assert oracle.normalised(oracle.stripped(text)) == expected


def test_the_table_of_contractions_is_the_official_one() -> None:
    """114 entries that can act, as a digest of the sorted table in JSON."""
    table = json.dumps(sorted(vqa_answer._CONTRACTIONS.items()))
    assert hashlib.sha256(table.encode()).hexdigest() == (
        "853d25c89947b7f6d41f6c5f81b2d6c3119927f4b16f557fc1b03af6ef45605e"
    )


PIECES = st.sampled_from(
    [
        *vqa_answer._MARKS,
        ".",
        ",",
        " ",
        "  ",
        "\t",
        "1",
        "2",
        "a",
        "an",
        "the",
        "none",
        "ten",
        "dont",
        "'",
        "X",
        "é",
        "²",
        "٣",
    ]
)


@given(st.lists(PIECES, max_size=14).map("".join))
def test_any_text_is_normalised_as_the_second_implementation_does(text: str) -> None:
    """Marks beside spaces, digits and commas in every mixture, letters and digits of other scripts."""
    assert scoring.normalise_answer(text) == oracle.normalised(oracle.stripped(text))


@given(st.lists(PIECES, max_size=14).map("".join))
def test_normalising_leaves_no_mark_and_is_done_once(text: str) -> None:
    """Why the vocabulary need not delete commas again, and a normalised prediction is safe with any annotators."""
    found = scoring.normalise_answer(text)
    assert not vqa_answer._MARKS.intersection(found)
    assert scoring.normalise_answer(found) == found


@pytest.mark.parametrize(("matches", "expected"), list(enumerate([0, 0.3, 0.6, 0.9, 1, 1, 1, 1, 1, 1])))
def test_accuracy_by_the_number_of_annotators_who_agree(matches: int, expected: float) -> None:
    """With answer ids: 0, .3, .6, .9, 1; of ten, nine at most while one dissents."""
    given_answers = answers(*["cat"] * matches, *["dog"] * (10 - matches))
    assert scoring.answer_accuracy(given_answers, "cat") == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    ("truth", "predicted", "expected"),
    [
        (["yes"] * 10, "yes", 1.0),
        (["yes"] * 10, "Yes", 0.0),
        (["yes"] * 10, "yes.", 0.0),
        (["yes"] * 10, " yes\n", 1.0),
        (["2"] * 10, "two", 0.0),
        (["2"] * 9 + ["3"], "two", 1.0),
        (["yes"] * 9 + ["no"], "Yes.", 1.0),
        (["A cat."] * 10, "A cat.", 1.0),
        (["A cat."] * 10, "cat", 0.0),
        (["yes"] * 5 + [" yes "] * 5, "Yes", 0.0),  # alike once blanks are cut
        (["a", "the"] * 5, "an", 1.0),  # all become empty
    ],
)
def test_where_all_annotators_agree_nothing_is_normalised(truth: list[str], predicted: str, expected: float) -> None:
    """So a prediction must be given in normal form."""
    assert scoring.answer_accuracy(answers(*truth), predicted) == expected
    assert oracle.accuracy(answers(*truth), predicted) == expected


def test_without_answer_ids_equal_answers_are_not_others_to_one_another() -> None:
    """The official outcome: 4 alike give .6, 10 alike give 0; ids that repeat act like those that lack."""
    four, ten = ["cat"] * 4 + ["dog"] * 6, ["cat"] * 10
    assert scoring.answer_accuracy(answers(*four), "cat") == 1
    assert scoring.answer_accuracy(answers(*four, ids=False), "cat") == pytest.approx(0.6)
    assert scoring.answer_accuracy(answers(*ten, ids=False), "cat") == 0
    repeated = [{**answer, "answer_id": 1} for answer in answers(*four)]
    assert scoring.answer_accuracy(repeated, "cat") == pytest.approx(0.6)
    repeated[0]["answer_confidence"] = "no"  # another record again
    assert scoring.answer_accuracy(repeated, "cat") == pytest.approx((3 * 1 / 3 + 7) / 10)


@pytest.mark.parametrize("ids", ["kept", "lost", "repeated"])
def test_all_real_questions_are_scored_as_the_second_implementation_scores_them(
    real: list[dict[str, Any]], ids: str
) -> None:
    """38,718 questions, two predictions each; with answer ids lost or repeated the official outcome is another one."""
    assert len(real) == 38_718
    rows = real if ids == "kept" else real[::4]
    moved = 0
    for question in rows:
        truth = question["answers"]
        if ids == "lost":
            truth = [{k: v for k, v in answer.items() if k != "answer_id"} for answer in truth]
        elif ids == "repeated":
            truth = [{**answer, "answer_id": answer["answer_id"] % 2} for answer in truth]
        for predicted in (careless(question), question["multiple_choice_answer"]):
            found = scoring.answer_accuracy(truth, predicted)
            assert abs(found - oracle.accuracy(truth, predicted)) < 1e-12, (question, predicted)
        moved += found != scoring.answer_accuracy(question["answers"], predicted)
    assert moved == 0 if ids == "kept" else moved > 1000


def test_real_rows_hit_both_sides_of_the_agreement_trap(real: list[dict[str, Any]]) -> None:
    """A right answer in the wrong form gets nothing where all agree, everything where one dissents."""
    lost = kept = 0
    for question in real:
        predicted, right = careless(question), common(question)
        if predicted != right and scoring.normalise_answer(predicted) == scoring.normalise_answer(right):
            found = scoring.answer_accuracy(question["answers"], predicted)
            if len({answer["answer"] for answer in question["answers"]}) == 1:
                lost += found == (1 if predicted.strip() == right else 0)
                assert found == (1 if predicted.strip() == right else 0)
            else:
                kept += 1
                assert found == scoring.answer_accuracy(question["answers"], right)
    assert lost > 5000
    assert kept > 5000
