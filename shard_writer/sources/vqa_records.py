"""Questions, answers and pairs of a split joined by question id, then gathered by image.

v2_OpenEnded_mscoco_val2014_questions.json ──┐
v2_mscoco_val2014_annotations.json ──────────┼── by question id ──> {image id: [{"question_id", "answers": [...]}, ...]}
v2_mscoco_val2014_complementary_pairs.json ──┘
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ...errors import SourceError
from .coco_check import Entry, load_json
from .coco_files import CocoFiles, Place
from .options import some
from .vqa_check import add_answers, image_of, make_question, read_entries
from .vqa_facts import compare

Files = Mapping[str, tuple[str, Callable[[], bytes]]]
"""Kind -> (name for messages, reader)."""


@dataclass(slots=True)
class VqaRecords:
    """One split's questions, by image."""

    images: dict[int, list[Entry]]
    """Image id -> its questions, by question id; by image id."""
    notes: list[str] = field(default_factory=list)


def read_questions(files: CocoFiles, split: str, places: Mapping[str, Place]) -> VqaRecords:
    """A split's files as records; raises SourceError for what contradicts itself. One file is held at a time."""
    read = {kind: (place.name, partial(files.read_json, place)) for kind, place in places.items()}
    images, questions = _questions(read, split)
    notes = []
    if "annotations" in read:
        _add_annotations(read, split, images, questions)
    else:
        notes.append(f"{split}: no annotations file, its questions have no answers")
    if "complementary_pairs" in read:
        notes += [f"{split}: {note}" for note in _add_pairs(*read["complementary_pairs"], questions)]
    gathered: dict[int, list[Entry]] = {image: [] for image in sorted(set(images.values()))}
    for number in sorted(questions):
        gathered[images[number]].append(questions[number])
    partly = compare(split, len(questions), len(gathered))
    return VqaRecords(gathered, [*([partly] if partly else []), *notes])


def _questions(read: Files, split: str) -> tuple[dict[int, int], dict[int, Entry]]:
    """Question id -> image id, and question id -> question."""
    where, reader = read["questions"]
    found = read_entries(reader(), where, "questions", split)
    images = {entry["question_id"]: image_of(entry, where, "question") for entry in found}
    return images, {entry["question_id"]: make_question(entry, where) for entry in found}


def _add_annotations(read: Files, split: str, images: Mapping[int, int], questions: Mapping[int, Entry]) -> None:
    where, reader = read["annotations"]
    found = read_entries(reader(), where, "annotations", split)
    asked = read["questions"][0]
    _refuse_lone(where, asked, {entry["question_id"] for entry in found}, set(questions))
    while found:  # emptied as it goes: two million answers are half a GB
        entry = found.pop()
        number = entry["question_id"]
        image = image_of(entry, where, "annotation")
        if image != images[number]:
            raise SourceError(
                f"{where}: annotation {number} is of image {image}, {asked} asks it of image {images[number]}. The files"
                " are not of one release."
            )
        add_answers(questions[number], entry, where)


def _refuse_lone(where: str, asked: str, answered: set[int], questions: set[int]) -> None:
    for lone, what, other in (
        (answered - questions, f"{where}: {{}} annotations are of questions that {asked} does not list", "questions"),
        (questions - answered, f"{asked}: {{}} questions have no annotation in {where}", "annotations"),
    ):
        if lone:
            raise SourceError(
                f"{what.format(f'{len(lone):,}')}: {some(map(str, sorted(lone)))}. Load the {other} file again, of the"
                " same release."
            )


def _add_pairs(where: str, reader: Callable[[], bytes], questions: Mapping[int, Entry]) -> Iterator[str]:
    """Set each question's partner, the first that is given; notes on the rest."""
    unknown: set[int] = set()
    twice: set[int] = set()
    for pair in _pairs(load_json(reader(), where), where):
        missing = [number for number in pair if number not in questions]
        unknown.update(missing)
        for number, partner in (pair, pair[::-1]) if not missing else ():
            question = questions[number]
            if question["complementary_id"] not in (None, partner):
                twice.add(number)
            elif question["complementary_id"] is None:
                question["complementary_id"] = partner
    if unknown:
        yield f"{len(unknown):,} questions of {where} are not here; their partners count as questions without one"
    if twice:
        yield f"{len(twice):,} questions are in several pairs, the first counts: {some(map(str, sorted(twice)))}"


def _pairs(given: Any, where: str) -> Iterator[tuple[int, int]]:
    if not isinstance(given, list):
        raise SourceError(f"{where} is no list of pairs of question ids.")
    for number, pair in enumerate(given):
        if not isinstance(pair, list) or list(map(type, pair)) != [int, int] or pair[0] == pair[1]:
            raise SourceError(f"{where}: entry {number} is {pair!r:.60}, not the ids of two questions.")
        yield pair[0], pair[1]
