"""EMOTIC as both published forms hold it, before anything is decided: images, their persons, who said what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ...errors import SourceError


@dataclass(frozen=True, slots=True)
class Rating:
    """What one annotator, or all together, said of a person."""

    categories: tuple[str, ...]
    vad: tuple[float, ...]
    """Valence, arousal, dominance; NaN where not given."""


@dataclass(frozen=True, slots=True)
class RawPerson:
    """One person as given."""

    where: str
    """For messages."""
    box: tuple[float, ...]
    """x1, y1, x2, y2, MATLAB's 1-based pixels."""
    annotators: tuple[Rating, ...]
    categories: tuple[str, ...] | None
    """The file's own combination of all annotators; None where it has none."""
    vad: tuple[float, ...] | None
    """As ``categories``."""
    gender: str | None
    age: str | None


@dataclass(frozen=True, slots=True)
class RawImage:
    """One image of one split as given."""

    where: str
    folder: str
    file: str
    width: int
    height: int
    database: str | None
    image_id: int | None
    """In the database it was taken from."""
    annotation_ids: tuple[int, ...]
    persons: tuple[RawPerson, ...]
    unkept: tuple[str, ...] = ()
    """Fields of the file that have no place in the record."""

    @property
    def path(self) -> str:
        """``mscoco/images/COCO_val2014_000000562243.jpg``: the name alone is not unique."""
        return f"{self.folder}/{self.file}" if self.folder else self.file


def grouped(images: Iterable[RawImage]) -> list[RawImage]:
    """One entry per path, by first appearance, its persons in the order given; entries need not be adjacent.

    Raises SourceError where two entries of one image disagree on its size.
    """
    first: dict[str, RawImage] = {}
    persons: dict[str, list[RawPerson]] = {}
    for image in images:
        known = first.setdefault(image.path, image)
        if (known.width, known.height) != (image.width, image.height):
            raise SourceError(
                f"{image.where}: {image.path} is {image.width}x{image.height}, {known.where} says"
                f" {known.width}x{known.height}. One of them is wrong: correct it."
            )
        persons.setdefault(image.path, []).extend(image.persons)
    return [replace(image, persons=tuple(persons[path])) for path, image in first.items()]


def checked_path(folder: str, file: str, where: str) -> tuple[str, str]:
    """Folder and file name, where together they are a plain relative path to a named file; else SourceError."""
    parts = [*(folder.split("/") if folder else []), file]
    if not file.rpartition(".")[0] or "/" in file or not {"", ".", ".."}.isdisjoint(parts) or "\0" in folder + file:
        raise SourceError(
            f"{where}: folder {folder!r} and file {file!r} are no path below the image root, such as 'mscoco/images' and"
            " 'COCO_val2014_000000562243.jpg'."
        )
    return folder, file


def pixels(value: float, what: str, where: str) -> int:
    """A picture's width or height; raises SourceError for what is no positive whole number."""
    if not (1 <= value < 1 << 31 and value == int(value)):
        raise SourceError(f"{where}: {what} is {value:g} pixels; it must be a whole number from 1 on.")
    return int(value)
