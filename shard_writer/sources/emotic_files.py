"""Where EMOTIC's files lie: Annotations.mat or the published CSV files, and pictures below any folder beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import SourceError
from ..storage import Entry, Store
from .coco_files import CocoFiles, Place
from .coco_pictures import Pictures, pictures_of
from .emotic_csv import read_csv
from .emotic_facts import SPLITS
from .emotic_mat import read_mat
from .emotic_raw import RawImage
from .options import some


@dataclass(frozen=True, slots=True)
class Annotations:
    """All splits that are there, as given."""

    images: Mapping[str, Sequence[RawImage]]
    """Split -> images; in the order train, val, test."""
    digests: Mapping[str, str]
    """File name -> sha256 of what was read."""
    is_mat: bool
    ignored: Sequence[str]
    """CSV files that lie beside a .mat, which knows more."""


@dataclass(slots=True)
class EmoticFiles:
    """One copy of EMOTIC, listed once per process; lists are not part of the pickle."""

    store: Store
    images: Store | None
    """Where the pictures are, None for below ``store``."""
    _pictures: Pictures | None = field(default=None, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return (EmoticFiles, (self.store, self.images))

    def annotations(self) -> Annotations:
        """Read the .mat where there is one, else the CSV files. Raises SourceError for none, or two of one kind."""
        found = [entry for entry in self.store.files() if not _hidden(entry.path)]
        csvs = {split: _only(found, f"{split}.csv", self.store) for split in SPLITS}
        paths = {split: path for split, path in csvs.items() if path is not None}
        mat = _only(found, "annotations.mat", self.store)
        if mat is not None:
            data = self.store.read(mat)
            images = read_mat(data, _name(mat))
            return Annotations(images, {_name(mat): _sha256(data)}, True, sorted(paths.values()))
        if not paths:
            other = [entry.path for entry in found if entry.path.endswith((".mat", ".csv"))]
            raise SourceError(
                f"{self.store.url}: neither Annotations.mat nor train.csv, val.csv or test.csv is there; it holds"
                f" {some(other or (entry.path for entry in found))}."
            )
        read = {split: self.store.read(path) for split, path in paths.items()}
        return Annotations(
            {split: read_csv(data, _name(paths[split])) for split, data in read.items()},
            {_name(paths[split]): _sha256(data) for split, data in read.items()},
            False,
            (),
        )

    def find(self, path: str, split: str) -> Place | None:
        """The picture of ``folder/file``, below whatever folder or in a zip; SourceError for two of different size."""
        if self._pictures is None:
            self._pictures = pictures_of(CocoFiles(self.place))
        return self._pictures.find(path, split)

    def read(self, place: Place) -> bytes:
        """All bytes of a picture."""
        return CocoFiles(self.place).read(place)

    @property
    def place(self) -> Store:
        """The store that holds the pictures."""
        return self.images or self.store


def _only(found: Sequence[Entry], ending: str, store: Store) -> str | None:
    """The file called so, in any case; a .mat also with a release before it, such as CVPR17_Annotations.mat."""
    named = [e.path for e in found if _name(e.path).lower() == ending or _release(_name(e.path), ending)]
    if len(named) > 1:
        raise SourceError(f"{store.url}: {named[0]} and {named[1]} are both there; keep one, or give its folder.")
    return named[0] if named else None


def _release(name: str, ending: str) -> bool:
    return ending.endswith(".mat") and name.lower().endswith(ending)


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _hidden(path: str) -> bool:
    return _name(path).startswith(".") or "__MACOSX" in path


def _sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
