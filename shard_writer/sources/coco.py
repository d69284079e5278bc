"""COCO: instances, captions and person keypoints in one sample per image, from the official files or zips.

Facts: https://cocodataset.org/#format-data and cocoapi.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from ...errors import SourceError
from ..image_facts import image_facts
from ..storage import open_store
from ..types import About, Column, Record, Sample, SplitInfo
from .coco_check import parse_json
from .coco_facts import compare
from .coco_files import CocoFiles, Place
from .coco_records import CocoRecords, empty_record, read_records
from .folder_keys import path_keys
from .options import OVERHEAD, SourceOptions, keep_bytes, need_source, some

# A column is declared where its annotation file is there: absent is not zero.
_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "instances": {"n_objects": "int64", "n_crowd": "int64", "labels": "list<int64>"},
    "person_keypoints": {"n_objects": "int64", "n_crowd": "int64", "labels": "list<int64>", "n_keypoints": "int64"},
    "captions": {"n_captions": "int64"},
}

Categories = tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Where:
    """What ``read`` needs of one image, so that workers need not parse 470 MB of JSON."""

    place: Place
    annotations: bytes
    """The sample's JSON; empty for an image that no annotation file lists."""
    karpathy: str | None


@dataclass(frozen=True, slots=True)
class CocoSplit:
    """One split; ``records`` of a copy reads the annotation files anew."""

    source: CocoSource
    info: SplitInfo

    def records(self) -> Sequence[Record]:
        return self.source.records(self.info.name)

    def read(self, record: Record) -> Sample:
        where: Where = record.where
        image = self.source.files.read(where.place)
        facts = image_facts(image, record.key)
        annotations = json.loads(where.annotations) if where.annotations else _unlisted(where.place, facts)
        if (facts.width, facts.height) != (annotations["width"], annotations["height"]):
            raise SourceError(
                f"{where.place.name}: the picture is {facts.width}x{facts.height}, its annotations are for"
                f" {annotations['width']}x{annotations['height']}: it was resized or rotated. Take the original file."
            )
        columns = _columns(annotations, where.karpathy)
        return Sample(record.key, image, annotations, None, {name: columns[name] for name in self.info.columns})


@dataclass(slots=True)
class CocoSource:
    """``Source`` over one copy of COCO; annotation files are parsed once per process, when first asked."""

    files: CocoFiles
    unlisted: bool
    _records: dict[str, list[Record]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _categories_of: dict[str, Categories] = field(default_factory=dict, init=False, repr=False, compare=False)
    _notes: dict[str, tuple[str, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _about: About | None = field(default=None, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return (CocoSource, (self.files, self.unlisted))

    def splits(self) -> tuple[str, ...]:
        return tuple(sorted(self.files.annotations()))

    def about(self) -> About:
        if self._about is None:
            names = self.splits()
            for name in names:
                self.records(name)
            categories = self._categories()
            self._about = About(
                name="coco",
                licence="annotations CC BY 4.0; each image its own Flickr licence (field `license`)",
                homepage="https://cocodataset.org",
                classes={"labels": tuple(name for _, name in categories)} if categories else {},
                class_ids={"labels": tuple(number for number, _ in categories)} if categories else {},
                identity=dict(self._identity()),
                notes=tuple(note for name in names for note in self._notes[name]),
            )
        return self._about

    def split(self, name: str) -> CocoSplit:
        found = self.files.annotations()
        if name not in found:
            raise SourceError(f"{self.files.store.url}: split {name!r} is not there; there are {some(found)}.")
        columns = {"image_id": "int64"}
        for kind in found[name]:
            columns |= _COLUMNS.get(kind, {})
        if self.files.karpathy() is not None:
            columns["karpathy"] = "string"
        info = SplitInfo(name=name, image_field="jpg", columns=columns, shuffle=name.startswith("train"))
        return CocoSplit(self, info)

    def records(self, name: str) -> list[Record]:
        if name not in self._records:
            self._records[name] = self._build(name)
        return self._records[name]

    def _build(self, name: str) -> list[Record]:
        annotations, pictures = self._read(name), self.files.images(name)
        wanted = {record["file_name"]: record for record in annotations.images.values()}
        self._refuse_missing(name, list(wanted), pictures)
        extra = [file for file, place in pictures.items() if file not in wanted and place.folder == name]
        self._categories_of[name] = annotations.categories
        self._notes[name] = tuple(self._notes_of(name, annotations, pictures, extra))
        chosen = sorted([*wanted, *(extra if self.unlisted else [])], key=lambda file: _order(file, wanted))
        keys, karpathy = path_keys(chosen), self._karpathy()
        return [_a_record(keys[file], pictures[file], wanted.get(file), karpathy) for file in chosen]

    def _read(self, name: str) -> CocoRecords:
        places = sorted(self.files.annotations()[name].items())
        return read_records({kind: (place.name, partial(self.files.read, place)) for kind, place in places})

    def _refuse_missing(self, name: str, wanted: Sequence[str], pictures: Mapping[str, Place]) -> None:
        missing = [file for file in wanted if PurePosixPath(file).name not in pictures or file not in pictures]
        if missing:
            raise SourceError(
                f"{self.files.store.url}: {len(missing):,} of the {len(wanted):,} images of {name} are not there:"
                f" {some(missing)}. Load {name}.zip, or take them out of the annotation files."
            )

    def _notes_of(
        self, name: str, annotations: CocoRecords, pictures: Mapping[str, Place], extra: Sequence[str]
    ) -> Iterator[str]:
        yield from (f"{name}: {note}" for note in annotations.notes)
        absent = [kind for kind in _COLUMNS if kind not in annotations.kinds]
        if absent and "image_info" not in annotations.kinds:
            yield f"{name}: no annotation file of {', '.join(absent)}"
        incomplete = compare(name, annotations.facts())
        if incomplete:
            yield incomplete
        elsewhere = [r["file_name"] for r in annotations.images.values() if pictures[r["file_name"]].folder != name]
        if elsewhere:
            yield f"{name}: {len(elsewhere):,} images lie in another split's folder, such as {elsewhere[0]}"
        if extra:
            kept = "packed without annotations" if self.unlisted else "left out (unlisted=True packs them)"
            yield f"{name}: {len(extra):,} images that no annotation file lists, {kept}"

    def _categories(self) -> Categories:
        """The same in every split that has any; raises SourceError where they differ."""
        found = {name: categories for name, categories in self._categories_of.items() if categories}
        for name, categories in found.items():
            first = next(iter(found))
            if categories != found[first]:
                raise SourceError(f"{name} and {first} list different categories; pack them into different datasets.")
        return next(iter(found.values()), ())

    def _karpathy(self) -> dict[int, str]:
        place = self.files.karpathy()
        if place is None:
            return {}
        body = parse_json(self.files.read(place), place.name)
        return {entry["cocoid"]: entry["split"] for entry in body["images"] if "cocoid" in entry}

    def _identity(self) -> Iterator[tuple[str, str]]:
        for kinds in self.files.annotations().values():
            for place in kinds.values():
                yield place.name, f"sha256:{hashlib.sha256(self.files.read(place)).hexdigest()}"
        for name in self.splits():
            records = self.records(name)
            listing = hashlib.sha256("".join(f"{r.key}\0{r.where.place.size}\0" for r in records).encode())
            yield f"images of {name}", f"{len(records)}, listing sha256:{listing.hexdigest()}"


def _order(file: str, wanted: Mapping[str, dict[str, Any]]) -> tuple[int, str]:
    number = wanted[file]["image_id"] if file in wanted else _number(file)
    return number, file


def _number(file: str) -> int:
    """``COCO_val2014_000000000042.jpg`` -> 42."""
    match = re.search(r"(\d+)\.\w+$", file)
    if match is None:
        raise SourceError(f"{file}: an image that no annotation file lists, and no number in its name to be its id.")
    return int(match.group(1))


def _a_record(key: str, place: Place, record: Mapping[str, Any] | None, karpathy: Mapping[int, str]) -> Record:
    annotations = b"" if record is None else json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
    number = _number(place.name) if record is None else record["image_id"]
    return Record(key, place.size + len(annotations) + OVERHEAD, Where(place, annotations, karpathy.get(number)))


def _unlisted(place: Place, facts: Any) -> dict[str, Any]:
    return empty_record(_number(place.name), place.name, facts.width, facts.height)


def _columns(record: Mapping[str, Any], karpathy: str | None) -> dict[str, Column]:
    objects = record["objects"]
    return {
        "image_id": record["image_id"],
        "n_objects": len(objects),
        "n_crowd": sum(item["iscrowd"] for item in objects),
        "labels": [item["label"] for item in objects],
        "n_keypoints": sum(bool(item["num_keypoints"]) for item in objects),
        "n_captions": len(record["captions"]),
        "karpathy": karpathy,
    }


def open_coco(source: str | None, options: SourceOptions) -> CocoSource:
    """COCO below a folder or address: ``annotations/`` and image folders, or the official zips.

    Raises OptionError without an address, SourceError for files that do not hold what COCO promises.
    """
    keep_bytes("coco", options.encode)
    address = need_source("coco", source, "the folder that holds annotations/ and val2017/, or their zips")
    return CocoSource(CocoFiles(open_store(address, options.storage_options)), options.unlisted)
