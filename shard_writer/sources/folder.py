"""Folders of images: class folders, ``metadata.csv`` / ``metadata.jsonl``, or no labels. Bytes stay untouched."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import SourceError
from ..storage import Store, open_store
from ..types import About, Record, Sample, SplitInfo
from .folder_keys import path_keys
from .folder_scan import FolderScan, SplitScan, scan_folder
from .options import OVERHEAD, SourceOptions, free_name, keep_bytes, need_source, some

_MAX_CLASSES = 1_000_000
_OURS = ("path", "label", "label_name")


@dataclass(frozen=True, slots=True)
class Where:
    """What ``read`` needs of one image, so that workers need not list the folder."""

    path: str
    label: int | None
    values: tuple[Any, ...]
    """Metadata, in the order of the split's fields."""


@dataclass(frozen=True, slots=True)
class FolderSplit:
    """One split of a folder. Its pickle holds no list of files; ``records`` of a copy lists the folder anew."""

    source: FolderSource
    info: SplitInfo
    classes: tuple[str, ...]
    fields: tuple[str, ...]

    def records(self) -> Sequence[Record]:
        return self.source.records(self.info.name)

    def read(self, record: Record) -> Sample:
        where: Where = record.where
        name = None if where.label is None else self.classes[where.label]
        return Sample(
            key=record.key,
            image=self.source.store.read(where.path),
            annotations={
                "path": where.path,
                "label": where.label,
                "label_name": name,
                **dict(zip(self.fields, where.values, strict=True)),
            },
            label=where.label if self.info.label_column else None,
            columns={"label": where.label} if "label" in self.info.columns else {},
        )


@dataclass(slots=True)
class FolderSource:
    """``Source`` over a folder; it is listed once per process, when first asked."""

    store: Store
    split_name: str | None
    _scan: FolderScan | None = field(default=None, init=False, repr=False, compare=False)
    _classes: tuple[str, ...] | None = field(default=None, init=False, repr=False, compare=False)
    _records: dict[str, list[Record]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return (FolderSource, (self.store, self.split_name))

    def scan(self) -> FolderScan:
        if self._scan is None:
            self._scan = scan_folder(self.store, self.split_name)
        return self._scan

    def classes(self) -> tuple[str, ...]:
        """Class names over all splits: one class has one number in each."""
        if self._classes is None:
            self._classes = class_names(self.scan().splits.values(), self.store.url)
        return self._classes

    def about(self) -> About:
        scan = self.scan()
        listing = hashlib.sha256()
        for split in scan.splits.values():
            for image in split.images:
                listing.update(f"{image.path}\0{image.size}\0".encode())
        return About(
            name=self.store.url.rpartition("/")[2],
            licence="not known to shardstream",
            classes={"label": self.classes()} if self.classes() else {},
            identity={
                "files": f"{scan.entries} images, {scan.nbytes} bytes",
                "listing": f"sha256:{listing.hexdigest()}",
            },
            notes=(*scan.notes, *self._label_notes()),
        )

    def splits(self) -> tuple[str, ...]:
        return tuple(self.scan().splits)

    def split(self, name: str) -> FolderSplit:
        if name not in self.scan().splits:
            raise SourceError(f"{self.store.url}: split {name!r} is not there; there are {some(self.splits())}.")
        found = self.scan().splits[name]
        labels = [record.where.label for record in self.records(name)]
        # A split with labels for some rows keeps a nullable column but no cls member: that one must never be null.
        present = any(label is not None for label in labels)
        info = SplitInfo(
            name=name,
            image_field=image_field(image.path for image in found.images),
            columns={"label": "int64"} if present else {},
            label_column="label" if present and None not in labels else None,
            shuffle=name == "train",
        )
        return FolderSplit(self, info, self.classes(), _fields(found))

    def records(self, name: str) -> list[Record]:
        if name not in self._records:
            self._records[name] = self._build(self.scan().splits[name])
        return self._records[name]

    def _build(self, split: SplitScan) -> list[Record]:
        keys = path_keys(image.path[len(split.prefix) :] for image in split.images)
        number = {name: i for i, name in enumerate(self.classes())}
        return [
            Record(keys[image.path[len(split.prefix) :]], image.size + OVERHEAD, _where(split, image.path, number))
            for image in split.images
        ]

    def _label_notes(self) -> list[str]:
        notes = []
        for name in self.splits():
            missing = sum(record.where.label is None for record in self.records(name))
            if 0 < missing < len(self.records(name)):
                notes.append(f"{name}: {missing:,} of {len(self.records(name)):,} images have no label; it is null")
        return notes


def class_names(splits: Any, where: str) -> tuple[str, ...]:
    """Sorted names of class folders and of text labels; for whole-number labels the numbers 0..max as text."""
    names: set[str] = set()
    numbers: set[int] = set()
    for split in splits:
        names.update(split.class_folders)
        for label in _labels(split, where):
            if isinstance(label, str):
                names.add(label)
            elif label is not None:
                numbers.add(label)
    if names and numbers:
        raise SourceError(
            f"{where}: labels are text ({some(sorted(names), 2)}) and numbers ({some(map(str, numbers), 2)}); use one."
        )
    if numbers and not (min(numbers) >= 0 and max(numbers) < _MAX_CLASSES):
        raise SourceError(
            f"{where}: labels run from {min(numbers)} to {max(numbers)}, expected 0 and up. Leave hidden labels empty."
        )
    return tuple(map(str, range(max(numbers) + 1))) if numbers else tuple(sorted(names))


def _labels(split: SplitScan, where: str) -> list[int | str | None]:
    if split.metadata is None or "label" not in split.metadata.columns:
        return []
    labels = split.metadata.column("label")
    wrong = next((label for label in labels if label is not None and type(label) not in (int, str)), None)
    if wrong is not None:
        raise SourceError(
            f"{where}: column 'label' holds {wrong!r}; a class label is a whole number or text. Rename the column."
        )
    return labels


def _fields(split: SplitScan) -> tuple[str, ...]:
    """JSON names of the metadata columns; a column called ``path`` becomes ``meta_path``."""
    columns = split.metadata.columns if split.metadata else ()
    taken = [*_OURS, *(name for name in columns if name not in _OURS)]
    return tuple(name if name not in _OURS else free_name(name, taken) for name in columns if name != "label")


def _where(split: SplitScan, path: str, number: Mapping[str, int]) -> Where:
    if split.metadata is None:
        return Where(path, number[split.class_of(path)] if split.class_folders else None, ())
    row = dict(zip(split.metadata.columns, split.metadata.rows[path], strict=True))
    label = row.pop("label", None)
    return Where(path, number[label] if isinstance(label, str) else label, tuple(row.values()))


def image_field(paths: Any) -> str:
    """``png`` or ``webp`` where all files are, else ``jpg``: a split has one image field, whatever the bytes are."""
    kinds = {path.rpartition(".")[2].lower() for path in paths}
    return kinds.pop() if len(kinds) == 1 and kinds <= {"png", "webp"} else "jpg"


def open_folder(source: str | None, options: SourceOptions) -> FolderSource:
    """``root/<class>/**/image``, ``root/<split>/<class>/**/image``, images with a metadata file, or flat images."""
    url = need_source("folder", source, "a folder of images")
    keep_bytes("folder", options.encode)
    return FolderSource(open_store(url, options.storage_options), options.split_name)
