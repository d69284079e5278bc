"""Where ImageNet's images lie: class folders, flat folders, or the official archives, read without unpacking."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from ...errors import CorruptTar, SourceError
from ..storage import Store
from ..tar_read import scan
from .imagenet_classes import WNID

_ARCHIVE = re.compile(r"(?:.*/)?ILSVRC2012_img_(train|val|test)(?:_[A-Za-z0-9]+)*\.tar")
_FOLDER = re.compile(r"(?:.*/)?(train|val|test)/(?:(n\d{8})/)?([^/]+)")
_IMAGES = (".jpeg", ".jpg", ".png")
_KAGGLE = ("ILSVRC", "Data", "CLS-LOC")
KNOWN = (
    "LOC_synset_mapping.txt",
    "synset_words.txt",
    "synsets.txt",
    "imagenet_class_index.json",
    "ILSVRC2012_devkit_t12.tar.gz",
    "ILSVRC2012_devkit_t12/data/meta.mat",
    "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt",
    "ILSVRC2012_validation_synset_labels.txt",
    "imagenet_2012_validation_synset_labels.txt",
    "ImageNet_val_label.txt",
    "LOC_val_solution.csv",
    "val.txt",
    "val_truth_caffe.txt",
    "real.json",
)
"""Looked for above the source: a folder there may hold anything, and is not listed."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One image: a file, or a part of an archive."""

    path: str
    offset: int
    """Of its first byte; -1 where the file is the image."""
    size: int
    name: str
    wnid: str | None
    """Of the folder or inner archive it lies in."""


@dataclass(slots=True)
class ImageNetFiles:
    """Everything below a source, listed once per process."""

    store: Store
    _pictures: dict[str, list[Picture]] | None = field(default=None, init=False, repr=False, compare=False)
    _others: list[str] = field(default_factory=list, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return (ImageNetFiles, (self.store,))

    def pictures(self) -> dict[str, list[Picture]]:
        """Split -> images, by name. Raises SourceError where a split lies there twice, or nothing does."""
        if self._pictures is None:
            self._pictures = self._list()
        return self._pictures

    def others(self) -> list[str]:
        """Paths of all files that are no images: labels, classes, devkit."""
        self.pictures()
        return self._others

    def read(self, picture: Picture) -> bytes:
        """The image's original bytes."""
        if picture.offset < 0:
            return self.store.read(picture.path)
        return self.store.read(picture.path, picture.offset, picture.offset + picture.size)

    def _list(self) -> dict[str, list[Picture]]:
        folders: dict[str, list[Picture]] = {}
        archives: dict[str, list[str]] = {}
        for entry in self.store.files():
            archive, place = _ARCHIVE.fullmatch(entry.path), _FOLDER.fullmatch(self._below(entry.path))
            if archive:
                archives.setdefault(archive.group(1), []).append(entry.path)
            elif place and entry.path.lower().endswith(_IMAGES):
                split, wnid, name = place.groups()
                folders.setdefault(split, []).append(Picture(entry.path, -1, entry.size, name, wnid))
            else:
                self._others.append(entry.path)
        for split, paths in archives.items():
            if split in folders or len(paths) > 1:
                raise SourceError(
                    f"{self.store.url}: {split} lies there twice: {', '.join(paths)} and a folder. Keep one."
                )
            try:
                folders[split] = list(self._archived(split, paths[0]))
            except CorruptTar as error:
                raise SourceError(f"The archive is damaged, download it again: {error}") from error
        if not folders:
            raise SourceError(
                f"{self.store.url}: no ImageNet here: neither ILSVRC2012_img_train.tar (or _val, _test) nor folders"
                " train/n01440764/, val/, test/ with images."
            )
        for split, pictures in folders.items():
            _one_folder(self.store.url, split, pictures)
        self._others += self._above()
        return {split: sorted(folders[split], key=lambda p: (p.name, p.path)) for split in sorted(folders)}

    def data(self, path: str) -> bytes:
        """All bytes of one of ``others``."""
        steps = path.count("../")
        store = Store(self.store.url.rsplit("/", steps)[0], self.store.options) if steps else self.store
        return store.read(path.removeprefix("../" * steps))

    def _above(self) -> list[str]:
        """``../`` paths of label and class files above a source that is ``.../ILSVRC/Data/CLS-LOC`` or ``ILSVRC``."""
        found, url = [], self.store.url
        for steps, name in enumerate(_chain(url), start=1):
            url = url.removesuffix(f"/{name}")
            store = Store(url, self.store.options)
            found += ["../" * steps + known for known in KNOWN if store.exists(known)]
        return found

    def _below(self, path: str) -> str:
        """The path with the source's own folder before it: the source may be the ``train`` folder itself."""
        return f"{self.store.url.rstrip('/').rpartition('/')[2]}/{path}"

    def _archived(self, split: str, path: str) -> Iterator[Picture]:
        """Images of an archive; ``train`` holds one archive per class, whose headers are read where they lie.

        outer header | n01440764.tar: header | image | header | image | 0 0 | outer header | n01443537.tar: ...
        """
        url, size = self.store.full(path), self.store.size(path)
        with self.store.open(path) as file:
            for member in scan(file, url=url, size=size):
                name = member.name.rpartition("/")[2]
                if split != "train":
                    yield Picture(path, member.offset, member.size, name, None)
                    continue
                wnid = name.removesuffix(".tar")
                if not WNID.fullmatch(wnid):
                    raise SourceError(f"{url}: member {member.name!r} at offset {member.offset} is no class archive.")
                part = _Part(file, member.offset)
                for inner in scan(part, url=f"{url}:{name} at offset {member.offset}", size=member.size):
                    image = inner.name.rpartition("/")[2]
                    yield Picture(path, member.offset + inner.offset, inner.size, image, wnid)


def _chain(url: str) -> list[str]:
    """Kaggle's folders that an address ends with, innermost first: ``x/ILSVRC/Data`` -> Data, ILSVRC."""
    parts = url.split("/")
    for stop in range(len(_KAGGLE), 0, -1):
        for start in range(stop):
            if parts[-(stop - start) :] == list(_KAGGLE[start:stop]):
                return list(reversed(_KAGGLE[start:stop]))
    return []


def _one_folder(where: str, split: str, pictures: list[Picture]) -> None:
    """Refuse two folders called ``train`` at different depths: two copies, or other data, would be joined."""
    folders = {f"/{picture.path}".rpartition(f"/{split}/")[0] for picture in pictures if picture.offset < 0}
    if len(folders) > 1:
        shown = " and ".join(f"{folder}/{split}".lstrip("/") for folder in sorted(folders)[:2])
        raise SourceError(f"{where}: {split} lies there twice: {shown}. Give the folder that holds one of them.")


class _Part(io.RawIOBase, IO[bytes]):
    """A file from ``start`` on, as a file of its own for the scanner, which only seeks and reads."""

    def __init__(self, file: IO[bytes], start: int) -> None:
        super().__init__()
        self._file, self._start = file, start

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation(f"whence {whence}")
        return self._file.seek(self._start + offset) - self._start

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)
