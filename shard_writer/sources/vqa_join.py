"""VQA's questions of other folders, for images of a source that is not VQA's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .coco_files import CocoFiles
from .coco_parts import Joined, Part, collect, digests, dump
from .vqa_columns import ANSWERED, columns_of_questions
from .vqa_facts import picture_names
from .vqa_files import left_out, question_files
from .vqa_records import read_questions


def join_questions(folders: Sequence[CocoFiles]) -> Joined:
    """All questions of all splits of these folders; nothing without folders.

    Raises SourceError for files that contradict themselves or each other.
    """
    if not folders:
        return Joined()
    kinds = {kind for files in folders for places in question_files(files).values() for kind in places}
    reader = _Reader(columns_of_questions(kinds))
    parts = collect(found for number, files in enumerate(folders, 1) for found in reader.parts(number, files))
    return Joined(
        parts=parts,
        columns=reader.columns,
        unlisted=tuple(reader.columns),
        empty=dump({"questions": []}),
        classes=question_classes(reader.columns),
        identity=digests(
            (files, place) for files in folders for _, kinds in sorted(question_files(files).items())
            for place in kinds.values()
        ),
        notes=tuple(reader.notes),
    )  # fmt: skip


def question_classes(columns: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Names of the values of those columns that are declared."""
    return {column: names for column, names in ANSWERED.items() if column in columns}


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads folders one split at a time; what concerns all of them is kept."""

    columns: Mapping[str, str]
    notes: list[str] = field(default_factory=list)

    def parts(self, number: int, files: CocoFiles) -> Iterator[tuple[int, Part]]:
        """Image id and its questions, split by split."""
        self.notes.extend(f"join {number}, {note}" for note in left_out(files))
        for split, places in sorted(question_files(files).items()):
            made = read_questions(files, split, places)
            self.notes.extend(f"join {number}, {note}" for note in made.notes)
            known = columns_of_questions(places)
            absent = tuple(name for name in self.columns if name not in known)
            while made.images:  # emptied as it goes: a split takes a GB
                image, questions = made.images.popitem()
                named = picture_names(split, image)[0]
                yield image, Part(named, dump({"questions": questions}), absent, len(questions))
