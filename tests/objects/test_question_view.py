"""The question view: one question a row with all its answers, with pictures and without, and nothing of other views."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import shardstream as ss
from shardstream import transforms as T  # noqa: N812
from shardstream.loaders.scoring import VqaResults, score_vqa

from ..toy_coco import toy_record
from ..toy_parts import ToyRecord, toy_part_pixels
from ..toy_questions import pack_toy_questions, questions_source, toy_question_record
from .part_views import decoded_pictures, rows_of

COUNT = 30
RECORDS = [toy_question_record(i) for i in range(COUNT)]
ASKED = {q["question_id"]: (i, q) for i, record in enumerate(RECORDS) for q in record["questions"]}
TEXTS = ("question", "question_type", "answer_type", "multiple_choice_answer")


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    return pack_toy_questions(tmp_path_factory.mktemp("questions") / "out", COUNT)


@pytest.mark.parametrize("images", [True, False])
def test_a_question_comes_with_its_answers_as_they_were_given(tmp_path: Path, images: bool) -> None:
    """Texts, ten answers with confidence and id, types and image id; the same without pictures."""
    ds = pack_toy_questions(tmp_path / "out", COUNT, images=images)
    found = rows_of(ss.Loader(ds, view="question", batch_size=8, shuffle=True, drop_last=False, num_workers=2))
    assert len(found) == len(ASKED)
    for batch, row in found:
        image, question = ASKED[int(batch["question_id"][row])]
        assert {name: batch[name][row] for name in TEXTS} == {name: question[name] for name in TEXTS}
        assert batch["answers"][row] == question["answers"]
        assert len(batch["answers"][row]) == 10
        assert int(batch["image_id"][row]) == image + 100
        assert ("image" in batch) == images
        assert not images or np.array_equal(batch["image"][row].permute(1, 2, 0).numpy(), toy_part_pixels(image))
        assert {"boxes", "captions", "persons", "questions"}.isdisjoint(batch)


def test_questions_that_nobody_answered_have_no_answers(tmp_path: Path) -> None:
    """Test splits: an empty list and empty texts, never None, which a tokenizer would refuse."""
    ds = pack_toy_questions(tmp_path / "out", COUNT, split="test2015")
    for batch, row in rows_of(ss.Loader(ds, view="question", batch_size=8)):
        _, question = ASKED[int(batch["question_id"][row])]
        assert batch["question"][row] == question["question"]
        assert batch["answers"][row] == []
        assert [batch[name][row] for name in TEXTS[1:]] == ["", "", ""]


@pytest.mark.parametrize("images", [True, False])
def test_rows_that_fill_a_batch_ask_nothing(tmp_path: Path, images: bool) -> None:
    """Also where a rank has no question at all: the same fields."""
    ds = pack_toy_questions(tmp_path / "out", 2, images=images)
    fields = []
    for rank in range(2):
        (batch,) = ss.Loader(ds, view="question", batch_size=3, world=ss.World(rank, 2))
        fields.append(set(batch))
        for row in np.flatnonzero(~batch["valid"].numpy()):
            assert [batch[name][row] for name in TEXTS] == [""] * 4
            assert batch["answers"][row] == []
            assert batch["question_id"][row] == batch["image_id"][row] == -1
    assert fields[0] == fields[1]


def test_a_picture_with_many_questions_is_decoded_once_a_batch(
    ds: ss.ShardDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an evaluation they stand together; each of the crops is that of its row."""
    decoded = decoded_pictures(monkeypatch)
    for batch in ss.Loader(ds, view="question", batch_size=9, transform=T.Compose([T.RandomResizedCrop(16)])):
        assert len(decoded) == len({key for key in batch["key"] if key})
        decoded.clear()
        for row in np.flatnonzero(batch["valid"].numpy()):
            image, _ = ASKED[int(batch["question_id"][row])]
            box = tuple(batch["crop"][row].tolist())
            crop = Image.fromarray(toy_part_pixels(image)).crop(box).resize((16, 16), Image.Resampling.BILINEAR)
            assert np.array_equal(batch["image"][row].permute(1, 2, 0).numpy(), np.asarray(crop))


def joined_record(image: int) -> ToyRecord:
    """Questions, objects and captions of one picture; an image without objects among them."""
    other = toy_record(image)
    return toy_question_record(image) | {"objects": other["objects"], "captions": other["captions"]}


def test_questions_objects_and_captions_of_one_picture_do_not_mix(tmp_path: Path) -> None:
    """Each view gives its own part, by that part's number, and the image view gives everything."""
    records = [joined_record(i) for i in range(12)]
    source = questions_source({"val2014": records})
    one = source.made["val2014"]
    columns = {**one.info.columns, "n_objects": "int64", "n_captions": "int64"}
    counted = lambda r: {**one.columns_of(r), **{f"n_{name}": len(r[name]) for name in ("objects", "captions")}}  # noqa: E731
    split = replace(one, info=replace(one.info, columns=columns), columns_of=counted)
    ds = replace(source, made={"val2014": split}).pack(tmp_path / "out", "val2014")
    asked = rows_of(ss.Loader(ds, view="question", batch_size=5))
    assert sorted(int(b["question_id"][r]) for b, r in asked) == sorted(q for q, (i, _) in ASKED.items() if i < 12)
    assert all(batch["question"][r] == ASKED[int(batch["question_id"][r])][1]["question"] for batch, r in asked)
    told = rows_of(ss.Loader(ds, view="caption", batch_size=5))
    assert sorted(b["caption"][r] for b, r in told) == sorted(c["caption"] for r in records for c in r["captions"])
    for view, absent in (("question", "caption"), ("caption", "question")):
        (batch,) = ss.Loader(ds, view=view, batch_size=60)
        assert {"boxes", "captions", "questions", absent}.isdisjoint(batch)
        (batch,) = ss.Loader(ds, view=f"{view}:all", batch_size=12)
        assert f"{view}s" in batch
        assert {"boxes", f"{absent}s", absent, view}.isdisjoint(batch)
    for batch, row in rows_of(ss.Loader(ds, batch_size=5)):
        record = records[int(batch["image_id"][row]) - 100]
        first, last = batch["box_offsets"][row : row + 2].tolist()
        assert batch["questions"][row] == record["questions"]
        assert batch["captions"][row] == [c["caption"] for c in record["captions"]]
        assert batch["ann_id"][first:last].tolist() == [item["id"] for item in record["objects"]]


def test_objects_and_captions_come_without_pictures_too(tmp_path: Path) -> None:
    """In the image view boxes are in original pixels, and in the caption view every caption comes."""
    records = [joined_record(i) for i in range(12)]
    source = questions_source({"val2014": records}, images=False)
    one = source.made["val2014"]
    columns = {**one.info.columns, "n_objects": "int64", "n_captions": "int64"}
    counted = lambda r: {**one.columns_of(r), **{f"n_{name}": len(r[name]) for name in ("objects", "captions")}}  # noqa: E731
    split = replace(one, info=replace(one.info, columns=columns), columns_of=counted)
    ds = replace(source, made={"val2014": split}).pack(tmp_path / "out", "val2014")
    (batch,) = ss.Loader(ds, batch_size=12)
    xywh = torch.tensor([item["bbox"] for key in batch["image_id"] for item in records[int(key) - 100]["objects"]])
    assert torch.allclose(batch["boxes"], torch.cat([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1))
    assert "image" not in batch
    told = rows_of(ss.Loader(ds, view="caption", batch_size=5))
    assert sorted(b["caption"][r] for b, r in told) == sorted(c["caption"] for r in records for c in r["captions"])


@pytest.mark.parametrize("world", [1, 3])
def test_real_questions_are_scored_through_the_loader(real_data: Path, tmp_path: Path, world: int) -> None:
    """73 questions about 50 photos on one and three ranks: each once, texts as in the official file.

    Scored is the most frequent answer: of k equal ones among ten (k (k - 1) + (10 - k) k) / 30, with at most 1 for each.
    """
    folder = real_data / "vqa/with_images"
    ss.write("vqa", folder, out=tmp_path / "out")
    ds = ss.open(tmp_path / "out")
    asked = json.loads((folder / "v2_OpenEnded_mscoco_train2014_questions.json").read_text())["questions"]
    texts = {q["question_id"]: (q["image_id"], q["question"]) for q in asked}
    ranks = [VqaResults(ds) for _ in range(world)]
    for rank, results in enumerate(ranks):
        loader = ss.Loader(
            ds, view="question", batch_size=8, transform=ss.presets.eval(72, 64), world=ss.World(rank, world)
        )
        for batch in loader:
            results.add(batch, batch["multiple_choice_answer"])
            for one, row in rows_of([batch]):
                assert texts[int(one["question_id"][row])] == (int(one["image_id"][row]), one["question"][row])
            assert batch["image"].shape == (8, 3, 64, 64)
    for other in ranks[1:]:
        ranks[0].merge(other)
    assert len(ranks[0]) == 73
    annotations = json.loads((folder / "v2_mscoco_train2014_annotations.json").read_text())["annotations"]
    same = np.array([sum(g["answer"] == a["multiple_choice_answer"] for g in a["answers"]) for a in annotations])
    accuracy = (same * np.minimum((same - 1) / 3, 1) + (10 - same) * np.minimum(same / 3, 1)) / 10
    assert score_vqa(ds, ranks[0]).overall == round(100 * float(accuracy.mean()), 2)


def test_answers_of_a_batch_make_soft_targets(ds: ss.ShardDataset) -> None:
    """The vocabulary takes the field as it is, filled rows too."""
    vocabulary = ss.AnswerVocabulary.build(ds, min_count=1)
    seen: list[Any] = []
    for batch in ss.Loader(ds, view="question", batch_size=8):
        targets = vocabulary.soft_targets(batch["answers"])
        assert targets.shape == (8, len(vocabulary))
        assert not targets[~batch["valid"]].any()
        seen += [row for row in targets[batch["valid"]] if row.any()]
    assert len(seen) > len(ASKED) / 2
