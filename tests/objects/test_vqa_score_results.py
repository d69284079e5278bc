"""VQA results: collected from batches on any number of ranks, complete or refused, read and written officially."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import shardstream as ss
from shardstream import scoring

from ..toy_coco import pack_toy_coco
from ..toy_questions import pack_toy_questions, questions_source, toy_question_record
from . import vqa_oracle as oracle
from .hand_batches import NO_QUESTION, hand_batches, question_rows
from .real_questions import as_records, careless, real_questions

COUNT = 30
RECORDS = [toy_question_record(i) for i in range(COUNT)]
QUESTIONS = {q["question_id"]: q for record in RECORDS for q in record["questions"]}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    return pack_toy_questions(tmp_path_factory.mktemp("questions") / "out", COUNT, images=False)


def collected(ds: ss.ShardDataset, rank: int = 0, world: int = 1, size: int = 7) -> scoring.VqaResults:
    """What one rank answers."""
    results = scoring.VqaResults(ds)
    for batch in hand_batches(question_rows(RECORDS), NO_QUESTION, rank, world, size):
        ids = batch["question_id"].tolist()
        results.add(batch, [careless(QUESTIONS[i]) if i in QUESTIONS else "padding" for i in ids])
    return results


def test_real_answers_are_scored_from_shards_as_from_the_official_file(real_data: Path, tmp_path: Path) -> None:
    """Every twelfth real image, packed: overall, by both types and by question, to the last published digit."""
    packed = as_records(real_questions(real_data / "vqa/all"))[::12]
    asked = {q["question_id"]: q for record in packed for q in record["questions"]}
    types = sorted({q["question_type"] for q in asked.values()})
    ds = questions_source({"train2014": packed}, images=False, types=types).pack(
        tmp_path / "out", "train2014", 3_000_000
    )
    results = scoring.VqaResults(ds)
    for batch in hand_batches(question_rows(packed), NO_QUESTION, size=256):
        results.add(batch, [careless(asked[i]) if i in asked else "" for i in batch["question_id"].tolist()])
    score = scoring.score_vqa(ds, results)
    expected = oracle.evaluate(list(asked.values()), results.by_question)
    assert len(asked) > 3000
    assert 20 < score.overall < 80
    assert len(score.per_question_type) > 40
    assert {name: getattr(score, name) for name in expected} == expected


def test_three_ranks_score_as_one(toy: ss.ShardDataset) -> None:
    """Merged in any order, with other batch sizes: the same score and the same file, to the last digit."""
    whole = collected(toy)
    parts = [collected(toy, rank, 3, size) for rank, size in ((2, 3), (0, 5), (1, 2))]
    merged = scoring.VqaResults(toy)
    for part in parts:
        merged.merge(part)
    assert len(merged) == len(QUESTIONS)
    assert merged.as_list() == whole.as_list()
    score = scoring.score_vqa(toy, merged)
    assert score == scoring.score_vqa(toy, whole)
    expected = oracle.evaluate(list(QUESTIONS.values()), whole.by_question)
    assert {name: getattr(score, name) for name in expected} == expected
    assert list(score.per_answer_type) == ["number", "other", "yes/no"]
    assert whole.gather() is whole  # without a process group


def test_the_result_file_is_the_official_one(toy: ss.ShardDataset, tmp_path: Path) -> None:
    """A list of question_id and answer by question id, which reads back."""
    results = collected(toy)
    results.save(tmp_path / "results.json")
    found = json.loads((tmp_path / "results.json").read_text())
    assert [entry["question_id"] for entry in found] == sorted(QUESTIONS)
    assert found == [{"question_id": i, "answer": careless(QUESTIONS[i])} for i in sorted(QUESTIONS)]
    again = scoring.VqaResults(toy)
    again.load(tmp_path / "results.json")
    assert again.by_question == results.by_question
    for text in ('{"a": 1}', '[{"question_id": "x", "answer": "y"}]', "[1]", "no", '[{"question_id": 1}]'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ss.OptionError, match=r"bad\.json is no JSON list of question_id and answer"):
            again.load(tmp_path / "bad.json")


def test_incomplete_foreign_and_repeated_answers_are_refused(toy: ss.ShardDataset) -> None:
    """A score of a part looks like a score; what is refused leaves the results as they were."""
    results = scoring.VqaResults(toy)
    batches = hand_batches(question_rows(RECORDS), NO_QUESTION)
    for batch in batches[:-1]:
        results.add(batch, ["yes"] * 7)
    left = sorted(batches[-1]["question_id"][batches[-1]["valid"]].tolist())
    assert results.missing == left
    with pytest.raises(
        ss.OptionError, match=rf"{len(left)} of the {len(QUESTIONS)} questions have no answer, such as {left[0]}:"
    ):
        scoring.score_vqa(toy, results)
    before = dict(results.by_question)
    twice: dict[str, Any] = {"question_id": torch.tensor([left[0], left[0]]), "valid": [True, True]}
    refused: list[tuple[Any, Any, str]] = [
        (batches[0], ["yes"] * 7, r"question 1\d+ was answered before"),
        (twice, ["yes"] * 2, rf"question {left[0]} was answered before"),
        ({**twice, "question_id": [left[0], 5]}, ["yes"] * 2, r"question 5 is none of the \d+ of this dataset"),
        (batches[-1], ["yes"], r"1 answers for a batch of 7 rows"),
        ({"valid": [True]}, ["yes"], r"no question_id; load it with a view of questions"),
        (batches[-1], [3] * 7, r"the answer is int, expected str"),
    ]
    for batch, answers, message in refused:
        with pytest.raises(ss.OptionError, match=message):
            results.add(batch, answers)
    assert results.by_question == before
    results.add(batches[-1], ["no"] * 7)
    assert results.missing == []
    with pytest.raises(ss.OptionError, match=r"was answered before"):
        results.merge(collected(toy))
    selection = toy.select(range(10))
    with pytest.raises(ss.OptionError, match=r"answers are to questions that are not scored, such as 11\d+\."):
        scoring.score_vqa(selection, results)
    assert scoring.score_vqa(toy, results).overall > 0


def test_a_selection_is_scored_by_its_own_questions(toy: ss.ShardDataset) -> None:
    """Ten images: their questions are all there is to know and to answer."""
    selection = toy.select(range(10))
    results = scoring.VqaResults(selection)
    wanted = [q for record in RECORDS[:10] for q in record["questions"]]
    for batch in hand_batches(question_rows(RECORDS[:10]), NO_QUESTION):
        results.add(batch, [careless(QUESTIONS[i]) if i in QUESTIONS else "" for i in batch["question_id"].tolist()])
    assert results.known == {q["question_id"] for q in wanted}
    score = scoring.score_vqa(selection, results)
    assert score.overall == oracle.evaluate(wanted, results.by_question)["overall"]
    with pytest.raises(ss.OptionError, match=r"no question to score"):
        scoring.score_vqa(toy.select([0]), scoring.VqaResults(toy.select([0])))  # image 0 has no question


def test_a_test_split_is_answered_and_saved_but_not_scored(tmp_path: Path) -> None:
    """Its answers are not published: the file goes to the evaluation server."""
    ds = pack_toy_questions(tmp_path / "out", 8, "test2015")
    results = scoring.VqaResults(ds)
    for batch in hand_batches(question_rows(RECORDS[:8]), NO_QUESTION):
        results.add(batch, ["yes"] * 7)
    results.save(tmp_path / "results.json")
    assert len(json.loads((tmp_path / "results.json").read_text())) == 12
    assert results.missing == []
    with pytest.raises(ss.OptionError, match=r"of split 'test2015' has no answers: those of test splits are not pub"):
        scoring.score_vqa(ds, results)


def test_a_dataset_without_questions_is_refused(tmp_path: Path) -> None:
    """COCO's objects have none."""
    with pytest.raises(ss.OptionError, match=r"split 'train2017' has no questions"):
        scoring.VqaResults(pack_toy_coco(tmp_path / "out", 4))
