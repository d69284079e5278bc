"""A split's questions joined with its pictures: records to plan with, and notes on what is odd."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ...errors import SourceError
from .coco_build import Built, sample_keys
from .coco_check import Entry
from .coco_files import CocoFiles, Place
from .coco_parts import Joined
from .coco_pictures import Pictures, elsewhere, none_missing
from .coco_sample import listed_record
from .options import some
from .vqa_facts import home_of, picture_names
from .vqa_files import question_files
from .vqa_records import read_questions

_IMAGE = re.compile(rb'"image_id"\s*:\s*(\d+)')


@dataclass(frozen=True, slots=True)
class VqaBuilder:
    """Reads a split's files and finds the pictures of its questions."""

    files: CocoFiles
    pictures: Pictures
    no_images: bool

    def build(self, name: str, joined: Joined) -> Built:
        """Raises SourceError for files that contradict themselves or each other, and for missing pictures."""
        made = read_questions(self.files, name, question_files(self.files)[name])
        places = {} if self.no_images else self._find(name, made.images)
        notes = (*made.notes, *self._notes(name, places))
        # Called as the picture is, or without pictures as it is in the release of 2014.
        named = {n: places[n].name if places else picture_names(name, n)[0] for n in made.images}
        keys = dict(zip(named, sample_keys(list(named.values())), strict=True))
        records = [
            listed_record(keys[n], places.get(n), _record(n, file, made.images.pop(n)), joined.karpathy, joined)
            for n, file in named.items()
        ]
        return Built(records, frozenset(named), (), notes)

    def has_pictures(self, name: str) -> bool:
        """Whether any picture of the split's questions is there, in whatever folder; True where none is wanted."""
        if self.no_images or self.pictures.named(home_of(name)):
            return True
        return any(self._picture(name, image) for image in self._asked(name))

    def no_pictures(self, name: str) -> SourceError:
        """What to raise where none of a split's pictures is there."""
        files = [picture_names(name, image)[0] for image in sorted(self._asked(name))]
        return SourceError(
            f"{self.files.store.url}: none of the {len(files):,} images of {name} is there: {some(files)}. {_cure(name)}."
        )

    def _asked(self, name: str) -> set[int]:
        """Images of a split's questions, without parsing the file."""
        data = self.files.read_json(question_files(self.files)[name]["questions"])
        return {int(match) for match in set(_IMAGE.findall(data))}

    def _picture(self, name: str, image: int) -> Place | None:
        """An image's picture, under its name of 2014 or of 2017."""
        tried = (self.pictures.find(file, home_of(name)) for file in picture_names(name, image))
        return next((place for place in tried if place is not None), None)

    def _find(self, name: str, images: Iterable[int]) -> dict[int, Place]:
        found = {picture_names(name, n)[0]: (n, self._picture(name, n)) for n in images}
        places = {file: place for file, (_, place) in found.items()}
        whole = none_missing(places, name, self.files.store.url, _cure(name))
        return {found[file][0]: place for file, place in whole.items()}

    def _notes(self, name: str, places: Mapping[int, Place]) -> Iterator[str]:
        if self.no_images:
            yield f"{name}: packed without images"
            return
        yield from elsewhere(name, home_of(name), places.values())
        if unasked := self.pictures.rest(home_of(name), places.values()):
            yield f"{name}: {len(unasked):,} pictures without a question, left out"


def _cure(name: str) -> str:
    return f"Put {home_of(name)}/ or its zip beside the questions, or pack the annotations alone with --no-images"


def _record(image: int, file: str, questions: list[Entry]) -> Entry:
    """The sample's JSON; the picture or joined files tell the size."""
    return {"image_id": image, "file_name": file, "width": None, "height": None, "questions": questions}
