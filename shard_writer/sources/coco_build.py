"""A split's annotation files joined with its pictures: records to plan with, and notes on what is odd."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ...errors import SourceError
from ..types import Record
from .coco_facts import compare
from .coco_files import CocoFiles, Place
from .coco_parts import Joined
from .coco_pictures import Pictures, elsewhere, listed_names, none_missing
from .coco_records import CocoRecords, read_records
from .coco_sample import ANNOTATED, listed_record, number_of, unlisted_record
from .folder_keys import path_keys

Categories = tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Built:
    """One split, ready to be packed."""

    records: Sequence[Record]
    """By image id."""
    images: Collection[int]
    """Their ids."""
    categories: Categories
    """(original id, name), by id; the position is the contiguous label."""
    notes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Builder:
    """Reads a split's annotation files and finds its pictures."""

    files: CocoFiles
    pictures: Pictures
    unlisted: bool
    """Pack pictures that no annotation file lists, too."""

    def build(self, name: str, karpathy: Mapping[int, str], joined: Joined) -> Built:
        """Raises SourceError for files that contradict themselves or each other, and for missing pictures."""
        places = self.files.annotations()[name]
        made = read_records(
            {kind: (place.name, partial(self.files.read_json, place)) for kind, place in places.items()}
        )
        found = self._find(name, [record["file_name"] for record in made.images.values()])
        extra = self._extra(name, found)
        notes = tuple(self._notes(name, made, found, extra))
        chosen = [(number, record["file_name"], found[record["file_name"]]) for number, record in made.images.items()]
        if self.unlisted:
            chosen = sorted([*chosen, *((number_of(place.name), "", place) for place in extra)], key=_order)
        _refuse_shared_numbers([(number, place) for number, _, place in chosen])
        keys = sample_keys([file or place.name for _, file, place in chosen])
        records = [
            # Popped: a split's 2 GB of annotations go as their JSON is made.
            listed_record(key, place, made.images.pop(number), karpathy, joined)
            if file
            else unlisted_record(key, place, karpathy, joined)
            for key, (number, file, place) in zip(keys, chosen, strict=True)
        ]
        images = frozenset(number for number, _, _ in chosen)
        return Built(records, images, tuple(made.categories.items()), notes)

    def has_pictures(self, name: str) -> bool:
        """Whether any picture of the split is there, in whatever folder."""
        if self.pictures.named(name):
            return True
        place = min(self.files.annotations()[name].values(), key=lambda place: place.size)
        return any(self.pictures.find(file, name) for file in listed_names(self.files.read_json(place)))

    def _find(self, name: str, files: Sequence[str]) -> dict[str, Place]:
        found = {file: self.pictures.find(file, name) for file in files}
        cure = f"Load {name}.zip, or take them out of the annotation files"
        return none_missing(found, name, self.files.store.url, cure)

    def _extra(self, name: str, found: Mapping[str, Place]) -> list[Place]:
        """Pictures in the split's folder that no annotation file lists, not even one of another split."""
        extra = self.pictures.rest(name, found.values())
        if not extra:
            return []
        others = [kinds for other, kinds in self.files.annotations().items() if other != name]
        listed = {
            file.rpartition("/")[2]
            for kinds in others
            for place in kinds.values()
            for file in listed_names(self.files.read_json(place))
        }
        return [place for place in extra if place.name not in listed]

    def _notes(self, name: str, made: CocoRecords, found: Mapping[str, Place], extra: Sequence[Place]) -> Iterator[str]:
        yield from (f"{name}: {note}" for note in made.notes)
        absent = [kind for kind in ANNOTATED if kind not in made.kinds]
        if absent and "image_info" not in made.kinds:
            yield f"{name}: no annotation file of {', '.join(absent)}"
        incomplete = compare(name, made.facts())
        if incomplete:
            yield incomplete
        yield from elsewhere(name, name, found.values())
        if extra:
            kept = "packed without annotations" if self.unlisted else "left out (unlisted=True packs them)"
            yield f"{name}: {len(extra):,} images that no annotation file lists, {kept}"


def common(found: Mapping[str, Categories]) -> Categories:
    """The same in every split that has any; raises SourceError where they differ."""
    with_any = {name: categories for name, categories in found.items() if categories}
    for name, categories in with_any.items():
        first = next(iter(with_any))
        if categories != with_any[first]:
            raise SourceError(f"{name} and {first} list different categories; pack them into different datasets.")
    return next(iter(with_any.values()), ())


def label_names(categories: Categories) -> dict[str, tuple[str, ...]]:
    """``About.classes``; nothing where no file has categories."""
    return {"labels": tuple(name for _, name in categories)} if categories else {}


def label_ids(categories: Categories) -> dict[str, tuple[int, ...]]:
    """``About.class_ids``."""
    return {"labels": tuple(number for number, _ in categories)} if categories else {}


def _order(chosen: tuple[int, str, Place]) -> tuple[int, str]:
    return chosen[0], chosen[2].shown


def _refuse_shared_numbers(images: Sequence[tuple[int, Place]]) -> None:
    owner: dict[int, Place] = {}
    for number, place in images:
        other = owner.setdefault(number, place)
        if other != place:
            raise SourceError(
                f"{other.shown} and {place.shown} would both be image {number}; take away the one that no annotation"
                " file lists, or pack without --unlisted."
            )


def sample_keys(files: Sequence[str]) -> list[str]:
    """File stems; with their folders where stems alone would repeat."""
    names = [file.rpartition("/")[2] for file in files]
    stems = {name.rpartition(".")[0] for name in names}
    chosen = names if len(stems) == len(files) else list(files)
    keys = path_keys(chosen)
    return [keys[file] for file in chosen]
