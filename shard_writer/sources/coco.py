"""COCO: instances, captions and person keypoints in one sample per image, from the official files or zips.

Facts: https://cocodataset.org/#format-data and cocoapi.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ...errors import SourceError
from ..storage import open_store
from ..types import About, Record, Sample, SplitInfo
from .coco_build import Builder, Built, Categories
from .coco_files import CocoFiles
from .coco_karpathy import read_karpathy
from .coco_pictures import pictures_of
from .coco_sample import columns_of, read_sample
from .options import SourceOptions, keep_bytes, need_source, some


@dataclass(frozen=True, slots=True)
class CocoSplit:
    """One split; ``records`` of a copy reads the annotation files anew, ``read`` needs none of them."""

    source: CocoSource
    info: SplitInfo

    def records(self) -> Sequence[Record]:
        return self.source.built(self.info.name).records

    def read(self, record: Record) -> Sample:
        return read_sample(self.source.files, record, self.info.columns)


@dataclass(slots=True)
class CocoSource:
    """``Source`` over one copy of COCO; annotation files are parsed once per process, when first asked."""

    files: CocoFiles
    unlisted: bool
    _builder: Builder | None = field(default=None, init=False, repr=False, compare=False)
    _splits: tuple[str, ...] | None = field(default=None, init=False, repr=False, compare=False)
    _built: dict[str, Built] = field(default_factory=dict, init=False, repr=False, compare=False)
    _about: About | None = field(default=None, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return (CocoSource, (self.files, self.unlisted))

    def builder(self) -> Builder:
        """All files below the source are listed here, once."""
        if self._builder is None:
            self._builder = Builder(self.files, pictures_of(self.files), self.unlisted)
        return self._builder

    def splits(self) -> tuple[str, ...]:
        """Splits with annotations and at least one picture; the official zips annotate more than most people load."""
        if self._splits is None:
            named = sorted(self.files.annotations())
            self._splits = tuple(name for name in named if self.builder().has_pictures(name))
            if not self._splits:
                raise SourceError(
                    f"{self.files.store.url}: annotations of {some(named)}, but none of their images. Put {named[0]}/"
                    f" or {named[0]}.zip beside them."
                )
        return self._splits

    def about(self) -> About:
        if self._about is None:
            names = self.splits()
            built = {name: self.built(name) for name in names}
            categories = _common({name: one.categories for name, one in built.items()})
            bare = [name for name in sorted(self.files.annotations()) if name not in names]
            notes = [f"{name}: left out, its annotations are there, none of its images is" for name in bare]
            self._about = About(
                name="coco",
                licence="annotations CC BY 4.0; each image its own Flickr licence (field `license`)",
                homepage="https://cocodataset.org",
                classes={"labels": tuple(name for _, name in categories)} if categories else {},
                class_ids={"labels": tuple(number for number, _ in categories)} if categories else {},
                identity=dict(self._identity()),
                notes=(*(note for one in built.values() for note in one.notes), *notes),
            )
        return self._about

    def split(self, name: str) -> CocoSplit:
        if name not in self.splits():
            raise SourceError(f"{self.files.store.url}: split {name!r} is not there; there are {some(self.splits())}.")
        columns = columns_of(self.files.annotations()[name], self.files.karpathy() is not None)
        info = SplitInfo(name=name, image_field="jpg", columns=columns, shuffle=name.startswith("train"))
        return CocoSplit(self, info)

    def built(self, name: str) -> Built:
        """A split's records, categories and notes."""
        if name not in self._built:
            place = self.files.karpathy()
            with _no_collection():
                karpathy = {} if place is None else read_karpathy(self.files.read_json(place), place.name)
                self._built[name] = self.builder().build(name, karpathy)
        return self._built[name]

    def _identity(self) -> Iterator[tuple[str, str]]:
        annotations, karpathy = self.files.annotations(), self.files.karpathy()
        read = [place for split in self.splits() for place in annotations[split].values()]
        yield from ((place.name, self.files.digest(place)) for place in (*read, *([karpathy] if karpathy else [])))
        for split in self.splits():
            records = self.built(split).records
            listing = hashlib.sha256("".join(f"{r.key}\0{r.where.place.size}\0" for r in records).encode())
            yield f"images of {split}", f"{len(records)}, listing sha256:{listing.hexdigest()}"


@contextmanager
def _no_collection() -> Iterator[None]:
    """Fifty million small objects hold no cycles; looking for them takes as long as all the rest."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _common(found: Mapping[str, Categories]) -> Categories:
    """The same in every split that has any; raises SourceError where they differ."""
    with_any = {name: categories for name, categories in found.items() if categories}
    for name, categories in with_any.items():
        first = next(iter(with_any))
        if categories != with_any[first]:
            raise SourceError(f"{name} and {first} list different categories; pack them into different datasets.")
    return next(iter(with_any.values()), ())


def open_coco(source: str | None, options: SourceOptions) -> CocoSource:
    """COCO below a folder or address: ``annotations/`` and image folders, or the official zips.

    Raises OptionError without an address, SourceError for files that do not hold what COCO promises.
    """
    keep_bytes("coco", options.encode)
    address = need_source("coco", source, "the folder that holds annotations/ and val2017/, or their zips")
    return CocoSource(CocoFiles(open_store(address, options.storage_options)), options.unlisted)
