"""Keys of ImageNet's images: the file stem, with the class before it where the file is not named for its class."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import SourceError
from .folder_keys import path_keys
from .imagenet_classes import WNID
from .imagenet_files import Picture


def image_keys(pictures: Sequence[Picture], where: str) -> list[str]:
    """One key per image, unique, without dots; a pure function of the set of class folders and file names.

    ``n01440764/n01440764_18.JPEG`` -> ``n01440764_18``; ``n01440764/18.jpg`` -> ``n01440764_18``. Raises SourceError
    for an image that is there twice and for one that is named for another class than it lies in.
    """
    first: dict[str, Picture] = {}
    names = [_named(picture) for picture in pictures]
    for name, picture in zip(names, pictures, strict=True):
        if (other := first.setdefault(name, picture)) is not picture:
            raise SourceError(
                f"{where}: image {name} is there twice: {_shown(other)} and {_shown(picture)}. Keep one of them."
            )
    keys = path_keys(f"{name}.jpg" for name in names)
    return [keys[f"{name}.jpg"] for name in names]


def _named(picture: Picture) -> str:
    stem = picture.name.rpartition(".")[0]
    if picture.wnid is None or "_val_" in stem or stem.startswith(f"{picture.wnid}_"):
        return stem
    named, line, _ = stem.partition("_")
    if line and WNID.fullmatch(named):
        raise SourceError(
            f"{_shown(picture)} lies in class {picture.wnid} and is named for class {named}. Move it to its class."
        )
    return f"{picture.wnid}_{stem}"


def _shown(picture: Picture) -> str:
    return picture.path if picture.offset < 0 else f"{picture.path} at byte {picture.offset} ({picture.name})"
