"""Look at a folder of images: which splits, which classes, what is left out. No image is opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...errors import OptionError, SourceError
from ..storage import Entry, Store
from .folder_metadata import NAMES, Metadata, read_metadata
from .options import some

TAKEN = ("jpg", "jpeg", "png", "webp")
SPLIT_NAMES = ("train", "val", "valid", "validation", "test")


@dataclass(frozen=True, slots=True)
class SplitScan:
    """The images of one split, in path order."""

    name: str
    prefix: str
    """``train/``, or empty where the whole folder is one split."""
    images: tuple[Entry, ...]
    metadata: Metadata | None
    class_folders: tuple[str, ...]
    """Sorted names of class folders, empty ones included; empty for flat folders and for metadata."""

    def class_of(self, path: str) -> str:
        """Name of the class folder that a path lies in."""
        return path[len(self.prefix) :].split("/", 1)[0]


@dataclass(frozen=True, slots=True)
class FolderScan:
    """All that a folder holds."""

    splits: Mapping[str, SplitScan]
    notes: tuple[str, ...]
    entries: int
    nbytes: int


def scan_folder(store: Store, split_name: str | None) -> FolderScan:
    """List a folder once and judge it. Raises SourceError for no images, for images beside class folders and for
    metadata that names missing files; OptionError for ``split_name`` where the folder has splits of its own.
    """
    entries = store.files()
    images, notes = _sort_files(entries)
    if not images:
        raise SourceError(
            f"{store.url}: no images ({', '.join(TAKEN)}) at any depth; found {some(e.path for e in entries)}."
        )
    prefixes = _splits(images, split_name, store.url)
    metadata = {path: read_metadata(store, path) for path in _metadata_files(entries, prefixes.values(), store.url)}
    _check_named(metadata, images, store.url)
    splits = {name: _scan_split(store, name, prefix, images, metadata) for name, prefix in prefixes.items()}
    notes += [note for split in splits.values() for note in _split_notes(split, images)]
    empty = [name for name, split in splits.items() if not split.images]
    if empty:
        raise SourceError(f"{store.url}: no image of split {some(empty)} is named in the metadata.")
    return FolderScan(splits, tuple(notes), len(images), sum(image.size for image in images))


def _sort_files(entries: Sequence[Entry]) -> tuple[list[Entry], list[str]]:
    """Images that are taken, and notes that count the files that are not."""
    images: list[Entry] = []
    others: Counter[str] = Counter()
    for entry in entries:
        name = entry.path.rpartition("/")[2]
        extension = name.rpartition(".")[2].lower() if "." in name[1:] else ""
        if extension in TAKEN and not name.startswith("."):
            images.append(entry)
        elif name not in NAMES:
            others["hidden" if name.startswith(".") else f".{extension}" if extension else "without extension"] += 1
    listed = ", ".join(f"{count:,} {kind}" for kind, count in sorted(others.items()))
    return images, [f"left out, not {', '.join(TAKEN)}: {listed}"] if others else []


def _splits(images: Sequence[Entry], split_name: str | None, where: str) -> dict[str, str]:
    """Split -> path prefix. Folders are splits only where every image lies in a folder named like one."""
    tops = {entry.path.split("/", 1)[0] if "/" in entry.path else "" for entry in images}
    if all(top.lower() in SPLIT_NAMES for top in tops):
        if split_name is not None:
            raise OptionError(
                f"{where} has split folders {some(sorted(tops))}; split_name={split_name!r} cannot rename them."
            )
        return {top: f"{top}/" for top in sorted(tops, key=lambda top: SPLIT_NAMES.index(top.lower()))}
    return {split_name or "train": ""}


def _metadata_files(entries: Sequence[Entry], prefixes: Iterable[str], where: str) -> list[str]:
    """Metadata at the top or at the top of a split; deeper ones are somebody else's."""
    present = {entry.path for entry in entries}
    found = []
    for prefix in sorted({"", *prefixes}):
        here = [prefix + name for name in NAMES if prefix + name in present]
        if len(here) > 1:
            raise SourceError(f"{where} holds both {' and '.join(here)}. Keep one.")
        found += here
    return found


def _check_named(metadata: Mapping[str, Metadata], images: Sequence[Entry], where: str) -> None:
    there = {image.path for image in images}
    for path, table in metadata.items():
        if missing := [file for file in table.rows if file not in there]:
            raise SourceError(
                f"{where}: {path} names {len(missing):,} of {len(table.rows):,} files that are not there"
                f" (or are no {', '.join(TAKEN)}): {some(missing, 3)}. Complete the folder or delete the rows."
            )


def _scan_split(
    store: Store, name: str, prefix: str, images: Sequence[Entry], metadata: Mapping[str, Metadata]
) -> SplitScan:
    mine = tuple(image for image in images if image.path.startswith(prefix))
    tables = [table for path, table in metadata.items() if path.rpartition("/")[0] in (prefix.rstrip("/"), "")]
    if len(tables) > 1:
        raise SourceError(f"{store.url}: metadata both at the top and in {prefix}. Keep one.")
    if tables:
        return SplitScan(name, prefix, tuple(image for image in mine if image.path in tables[0].rows), tables[0], ())
    loose = [image.path for image in mine if "/" not in image.path[len(prefix) :]]
    if len(loose) == len(mine):
        return SplitScan(name, prefix, mine, None, ())
    if loose:
        raise SourceError(
            f"{store.url}: {len(loose):,} images lie beside class folders: {some(loose, 3)}. Move them into"
            " class folders, or give every image a row in metadata.csv."
        )
    return SplitScan(name, prefix, mine, None, _class_folders(store, prefix))


def _class_folders(store: Store, prefix: str) -> tuple[str, ...]:
    """Folders right below a split, empty ones too (object stores have none)."""
    listed = store.fs.ls(store.full(prefix.rstrip("/")), detail=True)
    names = (entry["name"].rstrip("/").rpartition("/")[2] for entry in listed if entry["type"] == "directory")
    return tuple(sorted(name for name in names if not name.startswith(".")))


def _split_notes(split: SplitScan, images: Sequence[Entry]) -> list[str]:
    notes = []
    held = {split.class_of(image.path) for image in split.images}
    if empty := [name for name in split.class_folders if name not in held]:
        notes.append(f"{split.name}: {len(empty):,} class folders hold no image: {some(empty)}")
    present = sum(image.path.startswith(split.prefix) for image in images)
    if split.metadata is not None and present > len(split.images):
        notes.append(
            f"{split.name}: {present - len(split.images):,} images have no row in the metadata and are left out"
        )
    return notes
