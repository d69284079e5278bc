"""COCO's objects and captions of other folders, for images of a source that is not COCO's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from ...errors import SourceError
from .coco_build import Categories, common, label_ids, label_names
from .coco_facts import compare
from .coco_files import KINDS, CocoFiles, Place
from .coco_karpathy import karpathy_of
from .coco_parts import Joined, Part, collect, digests, dump
from .coco_records import LINKS, read_records
from .coco_sample import columns_of

_EMPTY: Mapping[str, object] = {**dict.fromkeys(LINKS), "objects": [], "captions": []}
_ADDED = ("width", "height", *_EMPTY)


def join_coco(folders: Sequence[CocoFiles]) -> Joined:
    """All images of all splits of these folders, whatever the splits are called; nothing without folders.

    Raises SourceError for files that contradict themselves or each other, or whose categories differ.
    """
    if not folders:
        return Joined()
    reader = _Reader(_columns(folders))
    parts = collect(found for number, files in enumerate(folders, 1) for found in reader.parts(number, files))
    labels = common(reader.categories)
    return Joined(
        parts=parts,
        columns=reader.columns,
        unlisted=tuple(name for name in reader.columns if name != "karpathy"),
        empty=dump(_EMPTY),
        classes=label_names(labels),
        class_ids=label_ids(labels),
        karpathy=_karpathy(folders),
        identity=digests((files, place) for files in folders for place in _read(files)),
        notes=tuple(reader.notes),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads folders one split at a time; what concerns all of them is kept."""

    columns: Mapping[str, str]
    notes: list[str] = field(default_factory=list)
    categories: dict[str, Categories] = field(default_factory=dict)

    def parts(self, number: int, files: CocoFiles) -> Iterator[tuple[int, Part]]:
        """Image id and what the files say of it, split by split."""
        for split, places in sorted(files.annotations().items()):
            made = read_records({kind: (p.name, partial(files.read_json, p)) for kind, p in places.items()})
            self.categories[f"{split} of join {number}"] = tuple(made.categories.items())
            partly = compare(split, made.facts())
            notes = [*(f"{split}: {note}" for note in made.notes), *([partly] if partly else [])]
            self.notes.extend(f"join {number}, {note}" for note in notes)
            known = columns_of(places, karpathy=True)
            absent = tuple(name for name in self.columns if name not in known)
            while made.images:  # emptied as it goes: a split takes 2 GB
                image, record = made.images.popitem()
                items = len(record["objects"]) + len(record["captions"])
                yield image, Part(record["file_name"], dump({n: record[n] for n in _ADDED}), absent, items)


def _columns(folders: Sequence[CocoFiles]) -> dict[str, str]:
    """Index columns that these folders give to every image."""
    kinds = {kind for files in folders for places in files.annotations().values() for kind in places}
    karpathy = any(files.karpathy() is not None for files in folders)
    columns = columns_of([kind for kind in KINDS if kind in kinds], karpathy)
    return {name: kind for name, kind in columns.items() if name != "image_id"}


def _read(files: CocoFiles) -> Iterator[Place]:
    for _, places in sorted(files.annotations().items()):
        yield from places.values()
    if place := files.karpathy():
        yield place


def _karpathy(folders: Sequence[CocoFiles]) -> dict[int, str]:
    found: dict[int, str] = {}
    for files in folders:
        for image, part in karpathy_of(files).items():
            if found.setdefault(image, part) != part:
                raise SourceError(
                    f"{files.store.url}: image {image} is in Karpathy's {part!r}, a folder joined before says"
                    f" {found[image]!r}. Keep one dataset_coco.json."
                )
    return found
