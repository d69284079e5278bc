"""Where COCO's files lie: JSON files and image folders, or the official zips; on disk or S3."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ...errors import SourceError
from ..storage import Store
from .coco_zip import Member, read_member, zip_members
from .options import some

KINDS = ("instances", "person_keypoints", "captions", "image_info")
KARPATHY = "dataset_coco.json"
IMAGES = (".jpg", ".jpeg", ".png")
_ANNOTATIONS = re.compile(rf"(?:^|.*/)(?P<kind>{'|'.join(KINDS)})_(?P<split>[A-Za-z0-9_-]+)\.json")


@dataclass(frozen=True, slots=True)
class Place:
    """One file: below the source, or a member of a zip there."""

    path: str
    member: Member | None
    size: int

    @property
    def full(self) -> str:
        """Path below the source or, of a member, inside its zip."""
        return self.path if self.member is None else self.member.name

    @property
    def name(self) -> str:
        """The file's own name, without folders."""
        return self.full.rpartition("/")[2]

    @property
    def parent(self) -> str:
        """``full`` without the name."""
        return self.full.rpartition("/")[0]

    @property
    def folder(self) -> str:
        """Name of the folder it lies in."""
        return self.parent.rpartition("/")[2]

    @property
    def shown(self) -> str:
        """For messages."""
        return self.path if self.member is None else f"{self.path}:{self.member.name}"


@dataclass(slots=True)
class CocoFiles:
    """Everything below a source, listed once per process; the list is not part of the pickle."""

    store: Store
    _places: list[Place] | None = field(default=None, init=False, repr=False, compare=False)
    _digests: dict[Place, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return (CocoFiles, (self.store,))

    def places(self) -> list[Place]:
        """All JSON and image files, those in zips too."""
        if self._places is None:
            self._places = list(self._list())
        return self._places

    def annotations(self) -> dict[str, dict[str, Place]]:
        """Split -> kind -> file. Raises SourceError where two files claim the same, or there is none."""
        found = self.by_split(_ANNOTATIONS)
        if not found:
            raise SourceError(
                f"{self.store.url}: no COCO annotations, such as annotations/instances_val2017.json or"
                f" annotations_trainval2017.zip; it holds {some(place.path for place in self.places())}."
            )
        return found

    def by_split(self, pattern: re.Pattern[str]) -> dict[str, dict[str, Place]]:
        """Split -> kind -> file, of paths that match a pattern with groups of these names.

        Raises SourceError where two files claim the same.
        """
        found: dict[str, dict[str, list[Place]]] = {}
        for place in self.places():
            if match := pattern.fullmatch(place.full):
                found.setdefault(match["split"], {}).setdefault(match["kind"], []).append(place)
        return {
            split: {kind: self._only(places, f"{kind} of {split}") for kind, places in kinds.items()}
            for split, kinds in found.items()
        }

    def karpathy(self) -> Place | None:
        """Karpathy's file, where there is one; raises SourceError for two that differ."""
        found = [place for place in self.places() if place.name == KARPATHY]
        return self._only(found, "Karpathy's split") if found else None

    def read(self, place: Place) -> bytes:
        """All bytes of a file; raises SourceError for a damaged zip."""
        if place.member is None:
            return self.store.read(place.path)
        return read_member(self.store, place.path, place.member)

    def read_json(self, place: Place) -> bytes:
        """``read`` of a file that is part of the source's identity."""
        data = self.read(place)
        self._digests[place] = f"sha256:{hashlib.sha256(data).hexdigest()}"
        return data

    def digest(self, place: Place) -> str:
        """Of what ``read_json`` gave, without reading 470 MB again."""
        if place not in self._digests:
            self.read_json(place)
        return self._digests[place]

    def _only(self, places: list[Place], what: str) -> Place:
        """The one file of its kind: an archive that lies beside what was unpacked from it does not count."""
        loose = [place for place in places if place.member is None]
        unpacked = {(place.name, place.size) for place in loose}
        left = loose + [p for p in places if p.member is not None and (p.name, p.size) not in unpacked]
        if len(left) > 1:
            raise SourceError(f"{self.store.url}: {left[0].shown} and {left[1].shown} are both {what}; keep one.")
        return left[0]

    def _list(self) -> Iterator[Place]:
        for entry in self.store.files():
            if entry.path.endswith(".zip"):
                for member in zip_members(self.store, entry.path):
                    if _wanted(member.name):
                        yield Place(entry.path, member, member.size)
            elif _wanted(entry.path):
                yield Place(entry.path, None, entry.size)


def _wanted(path: str) -> bool:
    hidden = path.rpartition("/")[2].startswith(".") or "__MACOSX" in path
    return not hidden and path.lower().endswith((".json", *IMAGES))
