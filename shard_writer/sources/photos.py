"""Photographs that ship inside scikit-image's wheel and are free of copyright; no download.

Only files whose own description in scikit-image calls them CC0, public domain or without known restrictions are
taken; moon, page and the stereo pair carry no such words, horse, logo and the charts are no photographs.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import MissingExtra, OptionError, SourceError
from ..storage import Store, open_store
from ..types import About, Record, Sample, SplitInfo
from .options import OVERHEAD, SourceOptions, keep_bytes


@dataclass(frozen=True, slots=True)
class Photo:
    """What scikit-image says of a file, in our words."""

    title: str
    licence: str
    credit: str


PHOTOS: Mapping[str, Photo] = {
    "astronaut.png": Photo("Eileen Collins, astronaut", "public domain", "NASA, Great Images collection"),
    "brick.png": Photo("Brick wall, grey", "CC0", "CC0Textures, Bricks25"),
    "camera.png": Photo("Man with a film camera, grey", "CC0", "Lav Varshney"),
    "chelsea.png": Photo("Chelsea the cat", "CC0", "Stefan van der Walt"),
    "clock_motion.png": Photo("Wall clock blurred by motion", "public domain", "Stefan van der Walt"),
    "coffee.png": Photo("Cup of coffee", "CC0", "Rachel Michetti; courtesy of Pikolo Espresso Bar"),
    "coins.png": Photo("Greek coins from Pompeii", "no known copyright restrictions", "Brooklyn Museum collection"),
    "grass.png": Photo("Grass, grey", "CC0", "linolafett, DeviantArt"),
    "gravel.png": Photo("Gravel, grey", "CC0", "CC0Textures, Gravel04"),
    "hubble_deep_field.jpg": Photo("Hubble eXtreme Deep Field", "public domain", "NASA, HubbleSite"),
    "ihc.png": Photo(
        "Colonic glands, immunohistochemical staining",
        "no known copyright restrictions",
        "Center for Microscopy and Molecular Imaging",
    ),
    "microaneurysms.png": Photo("Retina detail, grey", "CC0", "Andreas Maier, High-Resolution Fundus database"),
    "retina.jpg": Photo("Human retina", "CC0", "Mikael Häggström"),
    "rocket.jpg": Photo("Falcon 9 launching DSCOVR", "public domain", "SpaceX"),
}


@dataclass(frozen=True, slots=True)
class PhotosSplit:
    """The photographs that are there, original bytes."""

    store: Store
    sizes: Mapping[str, int]

    @property
    def info(self) -> SplitInfo:
        return SplitInfo(name="train", image_field="jpg", shuffle=True)

    def records(self) -> Sequence[Record]:
        return [Record(name.rsplit(".", 1)[0], size + OVERHEAD, name) for name, size in self.sizes.items()]

    def read(self, record: Record) -> Sample:
        photo = PHOTOS[record.where]
        fields = {"path": record.where, "title": photo.title, "licence": photo.licence, "credit": photo.credit}
        return Sample(key=record.key, image=self.store.read(record.where), annotations=fields)


@dataclass(frozen=True, slots=True)
class PhotosSource:
    """``Source`` over scikit-image's free photographs."""

    store: Store
    sizes: Mapping[str, int]

    def about(self) -> About:
        absent = [name for name in PHOTOS if name not in self.sizes]
        return About(
            name="photos",
            licence="CC0, public domain or no known copyright restrictions; each image's JSON says which",
            homepage="https://scikit-image.org/docs/stable/api/skimage.data.html",
            identity={name: f"size:{size}" for name, size in self.sizes.items()},
            notes=(f"absent from this scikit-image: {', '.join(absent)}",) if absent else (),
        )

    def splits(self) -> tuple[str, ...]:
        return ("train",)

    def split(self, name: str) -> PhotosSplit:
        if name != "train":
            raise SourceError(f"photos: split {name!r} is not there; there is train.")
        return PhotosSplit(self.store, self.sizes)


def open_photos(source: str | None, options: SourceOptions) -> PhotosSource:
    """The photographs that scikit-image ships; takes no address. Its own loader, which may download, is not called."""
    if source is not None:
        raise OptionError(f"photos come with scikit-image and take no --source, got {source!r}. Leave it out.")
    keep_bytes("photos", options.encode)
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra("photos come with an optional package: pip install 'shardstream[demo]'")
    store = open_store(Path(spec.submodule_search_locations[0]) / "data")
    there = {entry.path: entry.size for entry in store.files()}
    sizes = {name: there[name] for name in PHOTOS if name in there}
    if not sizes:
        raise SourceError(
            f"{store.url}: none of {len(PHOTOS)} photographs is there; this scikit-image ships other files."
        )
    return PhotosSource(store, sizes)
