"""A ``Source`` over COCO's images, whatever is annotated on them: files listed once, each split built once."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ...errors import SourceError
from ..storage import open_store
from ..types import About, Record, Sample, SplitInfo
from .coco_build import Built
from .coco_files import CocoFiles, Place
from .coco_parts import Joined
from .coco_sample import read_sample
from .options import SourceOptions, some


class Recipe(Protocol):
    """What one benchmark makes of its files. Picklable: what was parsed stays behind."""

    @property
    def files(self) -> CocoFiles: ...

    def annotations(self) -> Mapping[str, Mapping[str, Place]]:
        """Split -> kind -> annotation file."""
        ...

    def extra(self) -> Sequence[Place]:
        """Files beside those of the splits that decide what is packed."""
        ...

    def has_pictures(self, split: str) -> bool: ...

    def no_pictures(self, splits: Sequence[str]) -> SourceError:
        """What to raise where no split has any."""
        ...

    def info(self, split: str) -> SplitInfo: ...

    def joined(self) -> Joined:
        """What other folders add; read once."""
        ...

    def build(self, split: str) -> Built: ...

    def about(self, built: Mapping[str, Built]) -> About:
        """Name, licence, classes and notes; identity and the notes of splits and joins are added to it."""
        ...


@dataclass(frozen=True, slots=True)
class ImageSplit:
    """One split; ``records`` of a copy reads the annotation files anew, ``read`` needs none of them."""

    source: ImageSource
    info: SplitInfo

    def records(self) -> Sequence[Record]:
        return self.source.built(self.info.name).records

    def read(self, record: Record) -> Sample:
        return read_sample(self.source.recipe.files, record, self.info.columns)


@dataclass(slots=True)
class ImageSource:
    """``Source`` over one copy of a benchmark; annotation files are parsed once per process, when first asked."""

    recipe: Recipe
    _splits: tuple[str, ...] | None = field(default=None, init=False, repr=False, compare=False)
    _built: dict[str, Built] = field(default_factory=dict, init=False, repr=False, compare=False)
    _about: About | None = field(default=None, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return (ImageSource, (self.recipe,))

    def splits(self) -> tuple[str, ...]:
        """Splits with annotations and at least one picture; the official zips annotate more than most people load."""
        if self._splits is None:
            named = sorted(self.recipe.annotations())
            self._splits = tuple(name for name in named if self.recipe.has_pictures(name))
            if not self._splits:
                raise self.recipe.no_pictures(named)
        return self._splits

    def about(self) -> About:
        if self._about is None:
            built = {name: self.built(name) for name in self.splits()}
            bare = [name for name in sorted(self.recipe.annotations()) if name not in built]
            about = self.recipe.about(built)
            notes = [
                *(note for one in built.values() for note in one.notes),
                *(f"{name}: left out, its annotations are there, none of its images is" for name in bare),
                *about.notes,
                *self.recipe.joined().told({name: one.images for name, one in built.items()}),
            ]
            self._about = replace(about, identity=dict(self._identity(built)), notes=tuple(notes))
        return self._about

    def split(self, name: str) -> ImageSplit:
        if name not in self.splits():
            where = self.recipe.files.store.url
            raise SourceError(f"{where}: split {name!r} is not there; there are {some(self.splits())}.")
        with _no_collection():
            return ImageSplit(self, self.recipe.info(name))

    def built(self, name: str) -> Built:
        """A split's records, categories and notes."""
        if name not in self._built:
            with _no_collection():
                self._built[name] = self.recipe.build(name)
        return self._built[name]

    def _identity(self, built: Mapping[str, Built]) -> Iterator[tuple[str, str]]:
        files, annotations = self.recipe.files, self.recipe.annotations()
        read = [place for split in built for place in annotations[split].values()]
        yield from ((place.name, files.digest(place)) for place in (*read, *self.recipe.extra()))
        yield from self.recipe.joined().identity.items()
        for split, one in built.items():
            places = [(r.key, r.where.place) for r in one.records if r.where.place is not None]
            if places:
                listing = hashlib.sha256("".join(f"{key}\0{place.size}\0" for key, place in places).encode())
                yield f"images of {split}", f"{len(places)}, listing sha256:{listing.hexdigest()}"


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


def open_files(source: str, options: SourceOptions) -> list[CocoFiles]:
    """A source and the folders joined with it; any of them may lie on S3, and a local disk needs no options."""
    return [CocoFiles(open_store(place, options.storage_options)) for place in (source, *options.join)]
