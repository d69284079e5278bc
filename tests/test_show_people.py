"""``show`` and ``stats`` of persons and questions: boxes where people are, emotions and answers as they were given."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

import shardstream as ss
from shardstream.cli import main
from shardstream.cli.drawing.canvas import Canvas
from shardstream.cli.drawing.figure import figure
from shardstream.cli.drawing.palette import BLACK, GREY, class_colours
from shardstream.cli.drawing.panel import BODY, Line, Meter, paint, wrapped
from shardstream.cli.drawing.persons import draw_persons, person_lines
from shardstream.cli.drawing.questions import answers_of, question_lines
from shardstream.cli.drawing.text import font
from shardstream.cli.show import named

from .toy_people import CATEGORIES, pack_toy_people, people_source, toy_people_record, toy_person
from .toy_questions import ANSWER_TYPES, pack_toy_questions, toy_question, toy_question_record

PICTURE = Image.new("RGB", (320, 240), (128,) * 3)


def somebody(**changes: Any) -> dict[str, Any]:
    """A grey picture with one person, whom five annotators saw."""
    votes = [0] * 26
    votes[16], votes[11] = 2, 5
    person = toy_person(3, 1) | {
        "bbox": [40, 60, 160, 200], "categories": [11, 16], "votes": votes, "vad": [1.0, 5.5, None],
        "annotators": [{"categories": [11], "vad": [1.0, 5.5, None]}] * 5, "gender": "Female", "age": "Teenager",
    }  # fmt: skip
    return {"image": PICTURE, "key": "k", "persons": [person | changes], "person_names": CATEGORIES}


def text_of(lines: Any) -> list[str]:
    return [line.text for line in lines]


def test_the_box_is_drawn_around_the_body() -> None:
    """Four lines of the person's colour at its edges; nothing inside, nothing outside but the tag."""
    canvas = Canvas(PICTURE)  # 4 canvas pixels to a pixel
    draw_persons(canvas, somebody())
    drawn = (np.asarray(canvas.picture) == class_colours([3])[3]).all(2)
    rows, columns = np.flatnonzero(drawn[:, 500]), np.flatnonzero(drawn[500])
    for found, edges in ((rows, (60, 200)), (columns, (40, 160))):
        assert {min(edges, key=lambda edge: abs(place / 4 - edge)) for place in found} == set(edges)
        assert all(min(abs(place / 4 - edge) for edge in edges) <= 1 for place in found)
    changed = (np.asarray(canvas.picture) != 128).any(2)
    assert not changed[60 * 4 + 8 : 200 * 4 - 8, 40 * 4 + 8 : 160 * 4 - 8].any()
    assert not changed[: 60 * 4 - 40].any()
    assert not changed[200 * 4 + 8 :].any()


def test_emotions_come_by_name_with_their_votes() -> None:
    """Most votes first; of one annotator names alone. Ratings are numbers on bars, or a dash."""
    title, said = person_lines(somebody(), 1280)
    assert (title.text, said.text) == ("person 3 \N{MIDDLE DOT} Female, Teenager", "Engagement 5/5, Happiness 2/5")
    assert [(meter.name, meter.text) for meter in title.meters] == [
        ("valence", "1.0"), ("arousal", "5.5"), ("dominance", "-")
    ]  # fmt: skip
    alone = somebody(annotators=[{}], gender=None, age=None)
    assert text_of(person_lines(alone, 1280)) == ["person 3", "Engagement, Happiness"]
    assert text_of(person_lines(somebody(categories=[], age=None), 1280)) == [
        "person 3 \N{MIDDLE DOT} Female", "no emotion"
    ]  # fmt: skip
    assert text_of(person_lines({"persons": somebody()["persons"]}, 1280))[1] == "11 5/5, 16 2/5"


def test_a_person_that_was_left_out_is_listed() -> None:
    """With the reason and the box as it was given; not drawn."""
    dropped = toy_person(0, 5) | {"bbox": None, "reason": "empty box", "gender": None, "age": None}
    item = {"image": PICTURE, "key": "k", "persons": [], "dropped_persons": [dropped]}
    assert text_of(person_lines(item, 1280)) == [f"person 0, left out: empty box, {dropped['body_bbox']}"]
    assert figure(item, "title").height > 960


@pytest.mark.parametrize(("value", "share"), [(1.0, 0.0), (5.5, 0.5), (10.0, 1.0), (11.0, 1.0), (None, 0.0)])
def test_a_meter_is_filled_as_far_as_its_value(value: float | None, share: float) -> None:
    """On the scale of 1 to 10; beyond it the bar is full."""
    page = Image.new("RGB", (400, 40), (255,) * 3)
    paint(ImageDraw.Draw(page), [Line("", meters=[Meter("", value, 1.0, 10.0)])], 0, 0)
    middle = np.asarray(page)[BODY // 2 + 3, :70]
    filled, bar = (middle == GREY).all(1).sum(), (middle != 255).any(1).sum()
    assert bar == 61
    assert abs(filled - share * bar) <= 1


@given(
    st.text(st.characters(codec="utf-8"), max_size=80),
    st.integers(0, 60),
    st.integers(0, 60),
    st.integers(0, 3),
    st.floats(0, 400),
    st.floats(480, 1300),
)
def test_no_line_is_wider_than_the_panel(
    text: str, indent: int, hanging: int, count: int, tab: float, width: float
) -> None:
    """Words break, meters go to a line of their own; nothing is lost, whatever the picture's shape."""
    meters = [Meter(name, 9.9, 1.0, 10.0) for name in ("valence", "arousal", "dominance")[:count]]
    lines = list(wrapped(Line(text, BLACK, indent, BLACK, meters, tab), width, hanging))
    for line in lines:
        assert line.start + font(BODY).getlength(line.text) <= width + 1
        assert not line.meters or line.end + sum(meter.width for meter in line.meters) <= width + 1
    assert [meter for line in lines for meter in line.meters] == meters
    kept = "".join(line.text for line in lines).replace("\N{REPLACEMENT CHARACTER}", "")
    assert len(kept.replace(" ", "")) <= len("".join(text.split()))
    assert lines[0].square == BLACK


def test_answers_are_counted_with_their_confidences() -> None:
    """The official answer first though it is no longer the most frequent, then by count; types last."""
    given = [("no", "yes")] * 3 + [("yes", "no")] + [("yes", "yes")] + [("maybe so", "maybe")] * 5
    answers = [{"answer": a, "answer_confidence": c, "answer_id": i} for i, (a, c) in enumerate(given, 1)]
    question = toy_question(0, 0, True) | {"answers": answers, "multiple_choice_answer": "no", "question_type": "is it"}
    kinds = "\N{MIDDLE DOT} yes/no, is it"
    assert answers_of(question) == f"'no' x3 (yes), 'maybe so' x5 (maybe), 'yes' x2 (1 no, 1 yes) {kinds}"
    assert answers_of(toy_question(0, 0, False)) == "no answers"


def test_every_answer_of_every_question_is_shown() -> None:
    """Ten each, of all questions of an image."""
    for image in range(20):
        record = toy_question_record(image)
        lines = text_of(question_lines(record, 100_000))
        assert len(lines) == 2 * len(record["questions"])
        for number, (asked, said) in enumerate(zip(lines[::2], lines[1::2], strict=True)):
            assert asked == f"{number + 1}. {record['questions'][number]['question']}"
            assert sum(map(int, re.findall(r" x(\d+) \(", said))) == 10


def test_every_toy_person_and_question_can_be_drawn(tmp_path: Path) -> None:
    """Images with nobody, with several, with persons left out; test splits."""
    people = pack_toy_people(tmp_path / "people", 12)
    asked = pack_toy_questions(tmp_path / "asked", 4, split="test2015")
    for ds in (people, asked):
        for item in ds:
            assert figure(named(ds, item), "title").width >= 1280


def test_metadata_that_is_called_persons_is_text(tmp_path: Path) -> None:
    """Somebody's own JSON; only what the index counts is drawn."""
    source = people_source({"val": [{"folder": "a", "file_name": "b.jpg", "persons": "three of them", "questions": 4}]})
    bare = replace(source.made["val"], columns_of=lambda _: {})
    bare = replace(bare, info=replace(bare.info, columns={}))
    ds = replace(source, made={"val": bare}).pack(tmp_path / "out", "val")
    item = named(ds, ds[0])
    assert (item[".persons"], item[".questions"]) == ("three of them", 4)
    assert figure(item, "title").width >= 1280


def test_without_images_the_command_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not a figure of nothing."""
    pack_toy_people(tmp_path / "out", 4, images=False)
    assert main(["show", str(tmp_path / "out"), "1", "--out", str(tmp_path / "a.png")]) == 1
    assert "split 'val' was packed without images" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "a.png").exists()


def test_real_people_and_questions_are_drawn(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four people who wait, three questions about a desk."""
    emotic, vqa = real_data / "emotic", real_data / "vqa/with_images"
    ss.write("emotic", emotic / "csv_with_images", out=tmp_path / "people", images=str(emotic / "emotic"))
    ss.write("vqa", vqa, out=tmp_path / "asked")
    for name, key, counted in (
        ("people", "mscoco/images/COCO_val2014_000000089648", "640 x 427; 4 persons ->"),
        ("asked", "COCO_train2014_000000215657", "640 x 480; 3 questions ->"),
    ):
        assert main(["show", str(tmp_path / name), key, "--out", str(tmp_path / f"{name}.png")]) == 0
        assert counted in " ".join(capsys.readouterr().out.split())
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.width == 1328


def test_stats_count_persons_and_questions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Persons beside images for each emotion, pairs within a person; questions beside images for each answer type."""
    pack_toy_people(tmp_path / "people", 20)
    pack_toy_questions(tmp_path / "asked", 20)
    assert main(["stats", str(tmp_path / "people")]) == 0
    said = capsys.readouterr().out
    block = said[said.index("person_labels: 26 values, persons (and images) with each") :]
    persons = [[p["categories"] for p in toy_people_record(i)["persons"]] for i in range(20)]
    for number, name in enumerate(CATEGORIES):
        parts = sum(number in held for image in persons for held in image)
        images = sum(any(number in held for held in image) for image in persons)
        assert re.search(rf"^ +{name} +{parts} +\({images}\)", block, re.M)
    pairs = Counter((a, b) for image in persons for held in image for a in held for b in held if a < b)
    best = max(pairs.values())
    assert re.search(rf"most often together in one person: \S+ \+ \S+ {best},", block)
    assert "labels: 26 values, images with each" in said
    assert main(["stats", str(tmp_path / "asked")]) == 0
    said = capsys.readouterr().out
    assert "question_answer_types: 3 values, questions (and images) with each" in said
    kinds = Counter(q["answer_type"] for i in range(20) for q in toy_question_record(i)["questions"])
    for name in ANSWER_TYPES:
        assert re.search(rf"^ +{name} +{kinds[name]} +\(\d+\) █+$", said, re.M)
    assert "together in one image: " in said
    assert all(len(line) <= 80 for line in said.splitlines())
