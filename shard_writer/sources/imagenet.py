"""ImageNet-1k (ILSVRC2012): archives or folders, every published form of its labels.

Facts: image-net.org/challenges/LSVRC/2012 and torchvision's ``datasets/imagenet.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import SourceError
from ..storage import open_store
from ..types import About, Column, Record, Sample, SplitInfo
from .imagenet_classes import (
    Classes,
    Devkit,
    class_index,
    devkit,
    mapping_lines,
    named_classes,
    same_classes,
    unpack_devkit,
)
from .imagenet_facts import check_md5, compare
from .imagenet_files import ImageNetFiles, Picture
from .imagenet_keys import image_keys
from .imagenet_labels import agreed, in_order, is_val_labels, number_of, real_labels, val_labels
from .options import OVERHEAD, SourceOptions, keep_bytes, need_source, some

_MAPPINGS = ("LOC_synset_mapping.txt", "synset_words.txt", "synsets.txt")
_DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"
_TRUTH = "ILSVRC2012_validation_ground_truth.txt"


@dataclass(frozen=True, slots=True)
class Where:
    """What ``read`` needs of one image."""

    picture: Picture
    wnid: str | None
    label: int | None
    label_name: str | None
    real: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class ImageNetSplit:
    """One split; ``records`` of a copy lists the files anew."""

    source: ImageNetSource
    info: SplitInfo

    def records(self) -> Sequence[Record]:
        return self.source.records(self.info.name)

    def read(self, record: Record) -> Sample:
        where: Where = record.where
        known: dict[str, Any] = {"file_name": where.picture.name, "wnid": where.wnid, "label": where.label}
        real = None if where.real is None else list(where.real)
        known |= {"label_name": where.label_name, "real_labels": real}
        columns: dict[str, Column] = {"wnid": where.wnid, "label": where.label}
        if "real_labels" in self.info.columns:
            columns["real_labels"] = real
        return Sample(
            key=record.key,
            image=self.source.files.read(where.picture),
            annotations=known,
            label=where.label,
            columns=columns if self.info.columns else {},
        )


@dataclass(slots=True)
class ImageNetSource:
    """``Source`` over one copy of ImageNet-1k; files are listed and labels read once per process."""

    files: ImageNetFiles
    md5: bool
    _classes: Classes | None = field(default=None, init=False, repr=False, compare=False)
    _devkit: Devkit | None = field(default=None, init=False, repr=False, compare=False)
    _records: dict[str, list[Record]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _about: About | None = field(default=None, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return (ImageNetSource, (self.files, self.md5))

    def splits(self) -> tuple[str, ...]:
        return tuple(self.files.pictures())

    def about(self) -> About:
        if self._about is None:
            classes = self.classes()
            self._about = About(
                name="imagenet",
                licence="ImageNet terms of access: non-commercial research and education only",
                homepage="https://www.image-net.org",
                classes={"label": classes.names},
                identity=dict(self._identity()),
                notes=tuple(self._notes()),
            )
        return self._about

    def split(self, name: str) -> ImageNetSplit:
        if name not in self.splits():
            raise SourceError(f"{self.files.store.url}: split {name!r} is not there; there are {some(self.splits())}.")
        columns = {} if name == "test" else {"label": "int64", "wnid": "string"}
        if name == "val" and self._path("real.json"):
            columns["real_labels"] = "list<int64>"
        label = "label" if columns else None
        info = SplitInfo(name=name, image_field="jpg", columns=columns, label_column=label, shuffle=name == "train")
        return ImageNetSplit(self, info)

    def records(self, name: str) -> list[Record]:
        if name not in self._records:
            self._records[name] = self._build(name)
        return self._records[name]

    def classes(self) -> Classes:
        """From the first file that lists them, else the names of the train folders."""
        if self._classes is None:
            self._classes = self._find_classes()
        return self._classes

    def _build(self, name: str) -> list[Record]:
        pictures = self.files.pictures()[name]
        keys, label_of = image_keys(pictures, self.files.store.url), self._labeller(name)
        return [Record(key, p.size + OVERHEAD, label_of(p)) for key, p in zip(keys, pictures, strict=True)]

    def _labeller(self, split: str) -> Callable[[Picture], Where]:
        classes = self.classes()
        number = {wnid: label for label, wnid in enumerate(classes.wnids)}
        truth = self._val_labels() if split == "val" else {}
        real = self._real() if split == "val" else None

        def label(picture: Picture) -> Where:
            if split == "test":
                return Where(picture, None, None, None, None)
            image = number_of(picture.name.rpartition(".")[0], picture.path) if split == "val" else 0
            wnid = picture.wnid or truth.get(image)
            if wnid is None:
                raise SourceError(_no_label(split, picture))
            if wnid not in number:
                classes.label(wnid, picture.path)
            if truth.get(image, wnid) != wnid:
                raise SourceError(f"{picture.path}: lies in folder {wnid}, the label file says {truth[image]}.")
            at = number[wnid]
            return Where(picture, wnid, at, classes.names[at], None if real is None else tuple(real[image - 1]))

        return label

    def _find_classes(self) -> Classes:
        lists = [(path, mapping_lines(self._data(path), path)) for name in _MAPPINGS if (path := self._path(name))]
        if path := self._path("imagenet_class_index.json"):
            lists.append((path, class_index(self._data(path), path)))
        if lists:
            return same_classes([named_classes(names, file) for file, names in lists])
        if found := self._read_devkit():
            return named_classes(found.names, "the devkit's meta.mat")
        folders = {p.wnid for p in self.files.pictures().get("train", []) if p.wnid}
        if not folders and set(self.splits()) != {"test"}:
            raise SourceError(
                f"{self.files.store.url}: nothing lists the classes. Add LOC_synset_mapping.txt or {_DEVKIT}."
            )
        return named_classes({wnid: wnid for wnid in sorted(folders)}, None)

    def _val_labels(self) -> dict[int, str]:
        """All label files that are there; they must agree."""
        classes, found = self.classes(), {}
        for path in self.files.others():
            if (
                path.lower().endswith((".txt", ".csv"))
                and not path.endswith((_TRUTH, *_MAPPINGS))
                and not _listing(path)
            ):
                data = self._data(path)
                if is_val_labels(data):
                    found[path] = val_labels(data, classes, path)
        kit = self._read_devkit()
        if kit is not None and kit.val_wnids:
            found["the devkit"] = in_order(kit.val_wnids, classes, "the devkit's ground truth")
        return agreed(found)

    def _real(self) -> list[list[int]] | None:
        path = self._path("real.json")
        return None if path is None else real_labels(self._data(path), self.classes(), path)

    def _read_devkit(self) -> Devkit | None:
        if self._devkit is None:
            archive, meta, truth = self._path(_DEVKIT), self._path("meta.mat"), self._path(_TRUTH)
            if archive:
                self._devkit = devkit(*unpack_devkit(self._data(archive), archive), archive)
            elif meta:
                self._devkit = devkit(self._data(meta), self._data(truth) if truth else None, meta)
        return self._devkit

    def _path(self, name: str) -> str | None:
        return next((path for path in self.files.others() if path.rpartition("/")[2] == name), None)

    def _data(self, path: str) -> bytes:
        return self.files.data(path)

    def _notes(self) -> Iterator[str]:
        classes = self.classes()
        if classes.file is None:
            yield f"labels count the {len(classes.wnids):,} train folders; add LOC_synset_mapping.txt for the official 0..999"
        for name in self.splits():
            incomplete = compare(name, (record.where.label for record in self.records(name)))
            if incomplete:
                yield incomplete

    def _identity(self) -> Iterator[tuple[str, str]]:
        for name, pictures in self.files.pictures().items():
            listing = hashlib.sha256(
                "".join(f"{p.name}\0{p.size}\0" for p in pictures).encode("utf-8", "surrogatepass")
            )
            yield f"images of {name}", f"{len(pictures)}, listing sha256:{listing.hexdigest()}"
            path = pictures[0].path
            if self.md5 and pictures[0].offset >= 0 and (digest := check_md5(self.files.store, path)):
                yield path.rpartition("/")[2], f"md5:{digest}"
        if (path := self._path(_DEVKIT) or "") and (digest := check_md5(self.files.store, path)):
            yield _DEVKIT, f"md5:{digest}"


def _listing(path: str) -> bool:
    """Kaggle's ``ImageSets/CLS-LOC/val.txt`` numbers the images 1 to 50,000: no labels, though they look so."""
    return "ImageSets" in path.split("/")


def _no_label(split: str, picture: Picture) -> str:
    if split == "train":
        return f"{picture.path}: a train image outside a class folder such as n01440764/; its label is not known."
    return (
        f"{picture.path}: no file gives the label of {picture.name}. Add {_DEVKIT}, LOC_val_solution.csv or a list"
        " 'ILSVRC2012_val_00000001.JPEG n01751748' beside the images."
    )


def open_imagenet(source: str | None, options: SourceOptions) -> ImageNetSource:
    """ImageNet-1k below a folder or address: the official archives, or ``train/<wnid>/``, ``val/``, ``test/``.

    Raises OptionError without an address, SourceError for files that do not hold what ImageNet promises.
    """
    keep_bytes("imagenet", options.encode)
    address = need_source("imagenet", source, "the folder that holds ILSVRC2012_img_train.tar or train/n01440764/")
    return ImageNetSource(ImageNetFiles(open_store(address, options.storage_options)), options.md5)
