"""VQA files that contradict themselves: file, question and both values are named, and nothing is written."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import shardstream as ss
from shardstream.shard_writer.sources import SourceOptions, open_source

from .coco_files import picture
from .vqa_files import Body, annotations, name_of, questions, small, write_vqa, zipped_vqa

QUESTIONS, ANSWERS, PAIRS = (name_of(kind, "train2014") for kind in ("questions", "annotations", "pairs"))


def refused(folder: Path, out: Path, message: str, **options: Any) -> None:
    """Packing raises SourceError with this message, and leaves no shard behind."""
    with pytest.raises(ss.SourceError, match=message):
        ss.write("vqa", folder, out=out, **options)
    assert not list(out.rglob("*.tar"))


def asked(**changes: Any) -> Body:
    """The questions file with its last question changed (300001 of image 300)."""
    made = copy.deepcopy(questions())
    made["questions"][-1] |= changes
    return made


def answered(**changes: Any) -> Body:
    """The annotations file with its last annotation changed (7000 of image 7)."""
    made = copy.deepcopy(annotations())
    made["annotations"][-1] |= changes
    return made


def with_answers(change: Callable[[list[Body]], Any]) -> Body:
    """The annotations file with the answers to 7000 changed."""
    made = copy.deepcopy(annotations())
    change(made["annotations"][-1]["answers"])
    return made


def without(body: Body, kind: str) -> Body:
    """A file without its last entry."""
    return {**body, kind: body[kind][:-1]}


def twice(body: Body, kind: str) -> Body:
    """A file with its last entry repeated."""
    return {**body, kind: [*body[kind], body[kind][-1]]}


BAD_QUESTIONS: list[tuple[str, Any, str]] = [
    ("a question twice", lambda: twice(questions(), "questions"), r"questions question_id 300001 stands there twice"),
    ("an id of text", lambda: asked(question_id="1"), r"question_id is '1', not an integer"),
    ("no image", lambda: asked(image_id=None), r"question 300001: image_id is None, not an integer"),
    ("an image below 0", lambda: asked(image_id=-5), r"question 300001: image_id is -5, below 0"),
    ("no text", lambda: asked(question=7), r"question 300001: question is 7, not a text"),
    ("half a character", lambda: asked(question="\ud800?"), r"holds half a character.*Repair it"),
    ("another task", lambda: {**questions(), "task_type": "Multiple-Choice"}, r"says task_type 'Multiple-Choice'"),
    ("another split", lambda: {**questions(), "data_subtype": "val2014"}, r"says data_subtype 'val2014', not 'train2014'"),
    ("abstract scenes", lambda: {**questions(), "data_type": "abstract_v002"}, r"says data_type 'abstract_v002'"),
    ("version 1", lambda: {**questions(), "info": {"version": "1.0"}}, r"says version 1\.0, not 2\.0"),
    ("no list", lambda: {"questions": {}}, r"has no list 'questions'; it is no VQA questions file"),
    ("another file", lambda: annotations(), r"has no list 'questions'"),
    ("NaN", lambda: asked(question=float("nan")), r"holds NaN"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "message"), [case[1:] for case in BAD_QUESTIONS], ids=[c[0] for c in BAD_QUESTIONS])
def test_questions_that_cannot_be_are_named(tmp_path: Path, made: Callable[[], Body], message: str) -> None:
    """Ids, images, texts, and headers that say that the file is of another split, task or version."""
    where = "" if "half" in message else QUESTIONS
    refused(small(tmp_path / "vqa", questions=made()), tmp_path / "out", f"{where}.*{message}")


BAD_ANSWERS: list[tuple[str, Callable[[], Body], str]] = [
    ("9 answers", lambda: with_answers(lambda a: a.pop()), r"annotation 7000 has 9 answers, not 10"),
    ("11 answers", lambda: with_answers(lambda a: a.append({**a[0], "answer_id": 11})), r"7000 has 11 answers, not 10"),
    ("an id twice", lambda: with_answers(lambda a: a[0].update(answer_id=1)), r"answer_id are \[1, 9, 8, .* not 1 to 10"),
    ("an id missing", lambda: with_answers(lambda a: a[3].pop("answer_id")), r"annotation 7000: answer_id are .*None"),
    ("an id of 0", lambda: with_answers(lambda a: a[0].update(answer_id=0)), r"answer_id are \[0, 9, .* once each"),
    ("an id of true", lambda: with_answers(lambda a: a[-1].update(answer_id=True)), r"answer_id are .*True"),
    ("no text", lambda: with_answers(lambda a: a[0].update(answer=3)), r"annotation 7000: answer.*3, not a text"),
    ("not sure", lambda: with_answers(lambda a: a[0].update(answer_confidence="si")), r"is 'si', not one of yes, maybe"),
    ("no list", lambda: answered(answers="yes"), r"annotation 7000: answers is 'yes', not a list of objects"),
    ("an answer type", lambda: answered(answer_type="yes"), r"7000: answer_type is 'yes', not one of yes/no, number"),
    ("no answer type", lambda: answered(answer_type=None), r"7000: answer_type is None, not one of"),
    ("a question type", lambda: answered(question_type="who"), r"7000: question_type is 'who', not one of are, are the"),
    ("no chosen answer", lambda: answered(multiple_choice_answer=2), r"7000: multiple_choice_answer is 2, not a text"),
    ("another image", lambda: answered(image_id=42), r"annotation 7000 is of image 42, v2_Open.* asks it of image 7"),
    ("an answer twice", lambda: twice(annotations(), "annotations"), r"question_id 7000 stands there twice"),
    ("another split", lambda: {**annotations(), "data_subtype": "val2014"}, r"data_subtype 'val2014', not 'train2014'"),
    ("an answer too many", lambda: answered(question_id=5), r"1 annotations are of questions that .* not list: 5\."),
]  # fmt: skip


@pytest.mark.parametrize(("made", "message"), [case[1:] for case in BAD_ANSWERS], ids=[c[0] for c in BAD_ANSWERS])
def test_answers_that_no_evaluator_could_score_are_named(
    tmp_path: Path, made: Callable[[], Body], message: str
) -> None:
    """Ten answers with ids 1 to 10, known types, each for a question that is asked, of the same image."""
    refused(small(tmp_path / "vqa", annotations=made()), tmp_path / "out", f"{ANSWERS}.*{message}")


def test_a_question_without_an_annotation_is_named(tmp_path: Path) -> None:
    """It would count as one that nobody answered."""
    folder = small(tmp_path / "vqa", annotations=without(annotations(), "annotations"))
    message = rf"{QUESTIONS}: 1 questions have no annotation in {ANSWERS}: 7000\. Load the annotations file again"
    refused(folder, tmp_path / "out", message)


@pytest.mark.parametrize("pairs", [{"pairs": []}, [[1, 2, 3]], [[7000, "42000"]], [[7000, 7000]], [7000], "x"])
def test_pairs_that_are_none_are_named(tmp_path: Path, pairs: Any) -> None:
    """Not lists of two ids; the same question twice."""
    refused(small(tmp_path / "vqa", pairs=pairs), tmp_path / "out", rf"{PAIRS}.*(no list of pairs|the ids of two)")


@pytest.mark.parametrize("kind", ["questions", "annotations"])
def test_a_file_cut_short_is_named_with_its_place(tmp_path: Path, kind: str) -> None:
    """File, line and column."""
    whole = json.dumps({"questions": questions, "annotations": annotations}[kind]()).encode()
    folder = small(tmp_path / "vqa", **{kind: whole[: len(whole) // 2]})
    refused(folder, tmp_path / "out", rf"{name_of(kind, 'train2014')}: broken JSON at line 1, column \d+")


def test_missing_pictures_are_counted_and_the_way_out_is_told(tmp_path: Path) -> None:
    """One of three; all of them; before anything is packed."""
    refused(
        small(tmp_path / "one", pictures=(7, 300)), tmp_path / "out",
        r"1 of the 3 images of train2014 are not there: COCO_train2014_000000000042\.jpg\. .*--no-images",
    )  # fmt: skip
    refused(
        small(tmp_path / "all", pictures=()), tmp_path / "out",
        r"none of the 3 images of train2014 is there: COCO_train2014_000000000007\.jpg, .*--no-images",
    )  # fmt: skip


def test_a_picture_that_is_none_is_named(tmp_path: Path) -> None:
    """Its size could not be told."""
    folder = small(tmp_path / "vqa")
    (folder / "train2014/COCO_train2014_000000000042.jpg").write_bytes(b"<html>")
    with pytest.raises(ss.UndecodableImage, match=r"COCO_train2014_000000000042\.jpg"):
        ss.write("vqa", folder, out=tmp_path / "out")


def test_two_pictures_of_one_name_must_be_the_same(tmp_path: Path) -> None:
    """A whole one and one cut short: neither is chosen."""
    folder = small(tmp_path / "vqa")
    (folder / "copy/train2014").mkdir(parents=True)
    (folder / "copy/train2014/COCO_train2014_000000000042.jpg").write_bytes(picture(42)[:-9])
    refused(folder, tmp_path / "out", r"two pictures could be COCO_train2014_000000000042\.jpg of train2014")


def test_folders_that_hold_no_vqa_v2_are_named(tmp_path: Path) -> None:
    """A wrong folder; version 1; two files of one kind; a zip cut short; a split that is not there."""
    write_vqa(tmp_path / "v1")
    (tmp_path / "v1/MultipleChoice_mscoco_train2014_questions.json").write_text("{}")
    refused(tmp_path / "v1", tmp_path / "out", r"holds MultipleChoice_mscoco_train2014_questions\.json: of VQA v1, or")
    (tmp_path / "none").mkdir()
    (tmp_path / "none/x.json").write_text("{}")
    refused(tmp_path / "none", tmp_path / "out", r"no questions of VQA v2, such as .*; it holds x\.json")
    folder = zipped_vqa(small(tmp_path / "vqa"), tmp_path / "zips")
    data = (folder / "v2_Annotations_Train_mscoco.zip").read_bytes()
    (folder / "v2_Annotations_Train_mscoco.zip").write_bytes(data[:-30])
    refused(folder, tmp_path / "out", r"v2_Annotations_Train_mscoco\.zip is no whole zip .* Load it again")
    with pytest.raises(ss.SourceError, match=r"split 'val2014' is not there; there are train2014"):
        open_source("vqa", str(tmp_path / "vqa")).split("val2014")
    (tmp_path / "vqa/more").mkdir()
    (tmp_path / "vqa/more" / QUESTIONS).write_text("{}")
    refused(tmp_path / "vqa", tmp_path / "out", r"are both questions of train2014; keep one")


def test_files_of_other_tasks_beside_are_left_out_with_a_note(tmp_path: Path) -> None:
    """Version 1 and abstract scenes often lie in the same folder."""
    folder = small(tmp_path / "vqa")
    others = ["OpenEnded_mscoco_train2014_questions.json", "v2_OpenEnded_abstract_v002_train2015_questions.json"]
    for name in others:
        (folder / name).write_text("{}")
    notes = open_source("vqa", str(folder)).about().notes
    assert f"left out, of VQA v1 or of another task: {', '.join(others)}" in notes


def test_options_that_do_not_apply_are_refused(tmp_path: Path) -> None:
    """Nothing is ignored in silence."""
    with pytest.raises(ss.OptionError, match=r"encode='png' does not apply"):
        open_source("vqa", str(tmp_path), SourceOptions(encode="png"))
    with pytest.raises(ss.OptionError, match=r"vqa needs an address: give --source"):
        open_source("vqa")
    with pytest.raises(ss.OptionError, match=r"unlisted is an option of coco, not of vqa"):
        open_source("vqa", str(tmp_path), SourceOptions(unlisted=True))
    with pytest.raises(ss.OptionError, match=r"no_images is an option of emotic and vqa, not of coco"):
        open_source("coco", str(tmp_path), SourceOptions(no_images=True))
