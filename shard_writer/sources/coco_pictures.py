"""Which picture belongs to which entry of the annotation files, and which belongs to none."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ...errors import SourceError
from .coco_files import IMAGES, CocoFiles, Place
from .options import some

_LISTED = re.compile(rb'"file_name"\s*:\s*("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True, slots=True)
class Pictures:
    """All pictures of a source, by their own name."""

    places: Mapping[str, Sequence[Place]]

    def find(self, file: str, split: str) -> Place | None:
        """The picture that ``file_name`` means: in the split's folder, below it, else in another folder.

        A file name with folders must match them. Raises SourceError where two equally good ones differ in size.
        """
        ranked: dict[int, list[Place]] = {}
        for place in self.places.get(file.rpartition("/")[2], ()):
            path = f"/{place.full}"
            if path.endswith(f"/{file}"):
                rank = 0 if path.endswith(f"/{split}/{file}") or f"{split}/" in file else 1 + (f"/{split}/" not in path)
                ranked.setdefault(rank, []).append(place)
        if not ranked:
            return None
        best = sorted(ranked[min(ranked)], key=lambda place: (place.member is not None, place.full, place.path))
        for other in best[1:]:
            if other.size != best[0].size:
                raise SourceError(
                    f"two pictures could be {file} of {split}: {best[0].shown} with {best[0].size:,} bytes and"
                    f" {other.shown} with {other.size:,}. Keep the whole one."
                )
        return best[0]

    def named(self, split: str) -> bool:
        """Whether any picture lies in a folder of the split's name."""
        return any(place.folder == split for places in self.places.values() for place in places)

    def rest(self, split: str, found: Iterable[Place]) -> list[Place]:
        """Pictures beside those ``found`` in the split's folder, which are not among them; by path."""
        taken = list(found)
        homes = {place.parent for place in taken if place.folder == split}
        known = {place.full for place in taken}
        left = {
            place.full: place
            for places in self.places.values()
            for place in sorted(places, key=lambda place: place.member is None)  # an unpacked one stays
            if place.parent in homes and place.full not in known
        }
        return [left[path] for path in sorted(left)]


def none_missing(found: Mapping[str, Place | None], split: str, url: str, cure: str) -> dict[str, Place]:
    """File -> picture; raises SourceError, with their number and the first names, where some are not there."""
    missing = [file for file, place in found.items() if place is None]
    if missing:
        raise SourceError(
            f"{url}: {len(missing):,} of the {len(found):,} images of {split} are not there: {some(missing)}. {cure}."
        )
    return {file: place for file, place in found.items() if place is not None}


def elsewhere(split: str, folder: str, found: Iterable[Place]) -> Iterator[str]:
    """A note where pictures of a split lie in a folder of another name."""
    others = [place.shown for place in found if f"/{folder}/" not in f"/{place.full}"]
    if others:
        yield f"{split}: {len(others):,} images lie in a folder of another name, such as {others[0]}"


def pictures_of(files: CocoFiles) -> Pictures:
    """All pictures below a source."""
    places: dict[str, list[Place]] = {}
    for place in files.places():
        if place.name.lower().endswith(IMAGES):
            places.setdefault(place.name, []).append(place)
    return Pictures(places)


def listed_names(data: bytes) -> set[str]:
    """Every ``file_name`` in an annotation file, without parsing the 470 MB around them."""
    return {json.loads(match) for match in set(_LISTED.findall(data))}
