"""Where COCO's files lie: JSON files and image folders, or the official zips; on disk or S3."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO, Any

from ...errors import SourceError
from ..storage import Store
from .options import some

KINDS = ("instances", "person_keypoints", "captions", "image_info")
KARPATHY = "dataset_coco.json"
_ANNOTATIONS = re.compile(rf"(?:^|.*/)({'|'.join(KINDS)})_([A-Za-z0-9_-]+)\.json")
_IMAGES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True, slots=True)
class Place:
    """One file: below the source, or a member of a zip there."""

    path: str
    member: str | None
    size: int

    @property
    def name(self) -> str:
        """The file's own name, without folders."""
        return PurePosixPath(self.member or self.path).name

    @property
    def folder(self) -> str:
        return PurePosixPath(self.member or self.path).parent.name


@dataclass(slots=True)
class CocoFiles:
    """Everything below a source, listed once per process; zips stay open and are not part of the pickle."""

    store: Store
    _places: list[Place] | None = field(default=None, init=False, repr=False, compare=False)
    _zips: dict[str, tuple[IO[bytes], zipfile.ZipFile]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __reduce__(self) -> tuple[Any, ...]:
        return (CocoFiles, (self.store,))

    def places(self) -> list[Place]:
        """All JSON and image files, those in zips too."""
        if self._places is None:
            self._places = list(self._list())
        return self._places

    def annotations(self) -> dict[str, dict[str, Place]]:
        """Split -> kind -> file. Raises SourceError where two files claim the same, or there is none."""
        found: dict[str, dict[str, Place]] = {}
        for place in self.places():
            match = _ANNOTATIONS.fullmatch(place.member or place.path)
            if match is None:
                continue
            kind, split = match.groups()
            other = found.setdefault(split, {}).setdefault(kind, place)
            if other != place:
                raise SourceError(
                    f"{self.store.url}: {_shown(other)} and {_shown(place)} are both {kind} of {split}; keep one."
                )
        if not found:
            raise SourceError(
                f"{self.store.url}: no COCO annotations, such as annotations/instances_val2017.json or"
                f" annotations_trainval2017.zip; it holds {some(place.path for place in self.places())}."
            )
        return found

    def images(self, split: str) -> dict[str, Place]:
        """File name -> place: pictures filed under the split's name first, then those filed under another's."""
        pictures = [place for place in self.places() if place.name.lower().endswith(_IMAGES)]
        ordered = sorted(pictures, key=lambda place: (place.folder != split, place.member or place.path, place.path))
        found: dict[str, Place] = {}
        for place in ordered:
            found.setdefault(place.name, place)
        return found

    def karpathy(self) -> Place | None:
        return next((place for place in self.places() if place.name == KARPATHY), None)

    def read(self, place: Place) -> bytes:
        """All bytes of a file; raises SourceError for a damaged zip."""
        if place.member is None:
            return self.store.read(place.path)
        try:
            return self._zip(place.path).read(place.member)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError) as error:
            raise SourceError(f"{self.store.full(place.path)}: member {place.member} is damaged: {error}.") from error

    def _list(self) -> Iterator[Place]:
        for entry in self.store.files():
            if entry.path.endswith(".zip"):
                for member in self._zip(entry.path).infolist():
                    if not member.is_dir() and _wanted(member.filename):
                        yield Place(entry.path, member.filename, member.file_size)
            elif _wanted(entry.path):
                yield Place(entry.path, None, entry.size)

    def _zip(self, path: str) -> zipfile.ZipFile:
        if path not in self._zips:
            file = self.store.open(path)
            try:
                self._zips[path] = (file, zipfile.ZipFile(file))
            except zipfile.BadZipFile as error:
                file.close()
                raise SourceError(
                    f"{self.store.full(path)} is no whole zip ({error}); an interrupted download? Load it again."
                ) from error
        return self._zips[path][1]


def _wanted(path: str) -> bool:
    name = PurePosixPath(path).name
    hidden = name.startswith(".") or "__MACOSX" in path
    return not hidden and (name.lower().endswith((".json", *_IMAGES)))


def _shown(place: Place) -> str:
    return place.path if place.member is None else f"{place.path}:{place.member}"
