"""Sources: one file per benchmark, each reading the benchmark's original files.

``open_source("cifar10", "/data/cifar10", SourceOptions())`` gives a ``Source``; to add a benchmark, write one file
and one line in ``_DOORS``.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import cast

from ...errors import OptionError
from ..types import Source
from .options import SourceFactory, SourceOptions

__all__ = ["SOURCES", "SourceFactory", "SourceOptions", "open_source"]

# name -> (module, factory). Modules are imported when asked for: datasets and scikit-learn take seconds.
_DOORS: Mapping[str, tuple[str, str]] = {
    "cifar10": ("cifar", "open_cifar10"),
    "cifar100": ("cifar", "open_cifar100"),
    "coco": ("coco", "open_coco"),
    "emotic": ("emotic", "open_emotic"),
    "vqa": ("vqa", "open_vqa"),
    "imagenet": ("imagenet", "open_imagenet"),
    "folder": ("folder", "open_folder"),
    "hf": ("hf", "open_hf"),
    "digits": ("digits", "open_digits"),
    "photos": ("photos", "open_photos"),
}

# Options that only some sources can honour; given to another one, they would be lost silently.
_ONLY: Mapping[str, tuple[str, ...]] = {
    "unlisted": ("coco",),
    "join": ("coco", "vqa"),
    "no_images": ("emotic", "vqa"),
    "images": ("emotic",),
    "md5": ("imagenet",),
}


def _lazy(module: str, factory: str) -> SourceFactory:
    def open_it(source: str | None, options: SourceOptions) -> Source:
        door = cast("SourceFactory", getattr(importlib.import_module(f"{__name__}.{module}"), factory))
        return door(source, options)

    return open_it


SOURCES: Mapping[str, SourceFactory] = {name: _lazy(*door) for name, door in _DOORS.items()}


def open_source(name: str, source: str | None = None, options: SourceOptions | None = None) -> Source:
    """Open the original files of a benchmark.

    ``source`` is a folder, file or address (local, ``s3://``, ``hf:owner/name``); None for sources that pip ships.
    Raises OptionError for an unknown name or an option that the source cannot honour, SourceError for files that
    do not hold what the benchmark promises.
    """
    if name not in SOURCES:
        raise OptionError(f"source {name!r} is not known. Known: {', '.join(SOURCES)}.")
    options = options or SourceOptions()
    for option, owners in _ONLY.items():
        if getattr(options, option) and name not in owners:
            raise OptionError(f"{name}: {option} is an option of {' and '.join(owners)}, not of {name}; leave it out.")
    return SOURCES[name](source, options)
