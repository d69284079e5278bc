"""EMOTIC: persons with 26 emotions and valence, arousal, dominance; one sample per image of a split.

Facts: http://sunai.uoc.edu/emotic, github.com/rkosti/emotic and the published converter, github.com/Tandon-A/emotic.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import OptionError, SourceError
from ..image_facts import image_facts
from ..storage import open_store
from ..types import About, Column, Record, Sample, SplitInfo
from .coco_files import Place
from .emotic_facts import CATEGORIES
from .emotic_files import Annotations, EmoticFiles
from .emotic_notes import notes
from .emotic_records import EmoticRecords, make_records
from .folder_keys import path_keys
from .options import OVERHEAD, SourceOptions, keep_bytes, need_source, some

_COLUMNS = {"n_persons": "int64", "labels": "list<int64>", "person_labels": "list<list<int64>>"}


@dataclass(frozen=True, slots=True)
class Where:
    """What ``read`` needs of one image, so that workers need not parse the annotations."""

    place: Place | None
    """None in a split without images."""
    annotations: bytes
    """The sample's JSON."""


@dataclass(frozen=True, slots=True)
class EmoticSplit:
    """One split; ``records`` of a copy reads the annotations anew, ``read`` needs none of them."""

    source: EmoticSource
    info: SplitInfo

    def records(self) -> Sequence[Record]:
        return self.source.records(self.info.name)

    def read(self, record: Record) -> Sample:
        where: Where = record.where
        annotations = json.loads(where.annotations)
        image = None if where.place is None else self.source.files.read(where.place)
        if image is not None and where.place is not None:
            _check_size(image, where.place.shown, annotations)
        return Sample(record.key, image, annotations, None, _columns(annotations))


@dataclass(slots=True)
class EmoticSource:
    """``Source`` over one copy of EMOTIC; annotations are read once per process, when first asked."""

    files: EmoticFiles
    no_images: bool
    _annotations: Annotations | None = field(default=None, init=False, repr=False, compare=False)
    _made: dict[str, EmoticRecords] = field(default_factory=dict, init=False, repr=False, compare=False)
    _records: dict[str, list[Record]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _about: About | None = field(default=None, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return (EmoticSource, (self.files, self.no_images))

    def annotations(self) -> Annotations:
        if self._annotations is None:
            self._annotations = self.files.annotations()
        return self._annotations

    def splits(self) -> tuple[str, ...]:
        """Splits with at least one image; a CSV file of a header alone is none."""
        found = tuple(split for split, images in self.annotations().images.items() if images)
        if not found:
            raise SourceError(f"{self.files.store.url}: {some(self.annotations().digests)}: no split holds an image.")
        return found

    def about(self) -> About:
        if self._about is None:
            self._about = About(
                name="emotic",
                licence="non-commercial research only, by a signed form; images as their original databases say",
                homepage="http://sunai.uoc.edu/emotic",
                classes={"labels": CATEGORIES, "person_labels": CATEGORIES},
                identity=dict(self._identity()),
                notes=(*notes(self.annotations(), {name: self.made(name) for name in self.splits()}), *self._bare()),
            )
        return self._about

    def split(self, name: str) -> EmoticSplit:
        if name not in self.splits():
            raise SourceError(f"{self.files.store.url}: split {name!r} is not there; there are {some(self.splits())}.")
        field = None if self.no_images else "jpg"
        return EmoticSplit(self, SplitInfo(name=name, image_field=field, columns=_COLUMNS, shuffle=name == "train"))

    def records(self, name: str) -> list[Record]:
        """Raises SourceError where pictures are missing, with their number and the first of them."""
        if name not in self._records:
            made = self.made(name).images
            places = self._places(name, made)
            keys = path_keys(made)
            self._records[name] = [_record(keys[path], places[path], record) for path, record in made.items()]
        return self._records[name]

    def made(self, name: str) -> EmoticRecords:
        """A split's JSON by path, and what is odd in it."""
        if name not in self._made:
            self._made[name] = make_records(self.annotations().images[name])
        return self._made[name]

    def _places(self, name: str, paths: Mapping[str, Any]) -> Mapping[str, Place | None]:
        if self.no_images:
            return dict.fromkeys(paths)
        places = {path: self.files.find(path, name) for path in paths}
        missing = [path for path, place in places.items() if place is None]
        if missing:
            raise SourceError(
                f"{self.files.place.url}: {len(missing):,} of the {len(paths):,} images of {name} are not there:"
                f" {some(missing)}. Give the folder of mscoco/, framesdb/, emodb_small/ and ade20k/ with --images, or pack"
                " the annotations alone with --no-images."
            )
        return places

    def _bare(self) -> tuple[str, ...]:
        return ("packed without images",) if self.no_images else ()

    def _identity(self) -> Iterator[tuple[str, str]]:
        yield from self.annotations().digests.items()
        for name in () if self.no_images else self.splits():
            places = {path: self.files.find(path, name) for path in self.made(name).images}
            sizes = "".join(f"{path}\0{place.size}\0" for path, place in places.items() if place)
            listing = hashlib.sha256(sizes.encode()).hexdigest()
            yield f"images of {name}", f"{sum(map(bool, places.values()))}, listing sha256:{listing}"


def _record(key: str, place: Place | None, annotations: Mapping[str, Any]) -> Record:
    data = json.dumps(annotations, ensure_ascii=False, separators=(",", ":")).encode()
    return Record(key, len(data) + OVERHEAD + (place.size if place else 0), Where(place, data))


def _check_size(image: bytes, shown: str, annotations: Mapping[str, Any]) -> None:
    facts = image_facts(image, shown)
    if (facts.width, facts.height) != (annotations["width"], annotations["height"]):
        raise SourceError(
            f"{shown}: the picture is {facts.width}x{facts.height}, its persons' boxes are for"
            f" {annotations['width']}x{annotations['height']}: it was resized or rotated. Take the original file."
        )


def _columns(annotations: Mapping[str, Any]) -> dict[str, Column]:
    labels = [person["categories"] for person in annotations["persons"]]
    return {"n_persons": len(labels), "labels": sorted(set().union(*labels)), "person_labels": labels}


def open_emotic(source: str | None, options: SourceOptions) -> EmoticSource:
    """EMOTIC below a folder or address: Annotations.mat or the published CSV files, and the image folders.

    Raises OptionError without an address, SourceError for files that do not hold what EMOTIC promises.
    """
    keep_bytes("emotic", options.encode)
    address = need_source(
        "emotic", source, "the folder that holds Annotations.mat (or train.csv ...) and mscoco/images"
    )
    if options.images and options.no_images:
        raise OptionError(f"emotic: images={options.images!r} and no_images=True contradict each other; leave one out.")
    images = open_store(options.images, options.storage_options) if options.images else None
    return EmoticSource(EmoticFiles(open_store(address, options.storage_options), images), options.no_images)
