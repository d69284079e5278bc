"""What a caller may tell a source, and small answers that all sources share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import OptionError
from ..types import Source

OVERHEAD = 2048
"""Planned bytes of a sample beside its image: three tar headers with padding and the JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """Options of ``open_source``. A source refuses an option that it cannot honour."""

    encode: str | None = None
    """``png`` or ``raw`` for sources that hold pixels, not files (cifar10, cifar100, digits); None: their default."""
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """For the file system that reads the source: ``key``, ``secret``, ``endpoint_url`` ... Never shown by ``repr``."""
    split_name: str | None = None
    """Name of the one split of a folder without split folders; default ``train``."""
    image_column: str | None = None
    """Hugging Face sets: the column to pack where several hold images."""
    revision: str | None = None
    """Hugging Face hub: commit, tag or branch."""
    config: str | None = None
    """Hugging Face hub: configuration (subset); for a folder of parquet files: the sub-folder."""
    unlisted: bool = False
    """coco: pack images that no annotation file lists, without annotations; else they are left out and counted."""
    no_images: bool = False
    """emotic, vqa: pack annotations alone, for sampler work where the pictures are not at hand."""
    images: str | None = None
    """emotic: folder or address of the pictures, where they do not lie below the source."""
    join: tuple[str, ...] = ()
    """coco, vqa: further folders whose annotations of the same images are joined, by image id."""
    md5: bool = False
    """imagenet: compare the image archives with the published md5 (reads 145 GB); the devkit always is."""


SourceFactory = Callable[[str | None, SourceOptions], Source]


def need_source(name: str, source: str | None, what: str) -> str:
    """The address of a source that cannot do without one; raises OptionError."""
    if not source:
        raise OptionError(f"{name} needs an address: give --source with {what}.")
    return source


def pixel_field(name: str, encode: str | None) -> str:
    """Image field for sources that hold pixels: ``png`` by default, ``npy`` for ``encode='raw'``."""
    fields = {None: "png", "png": "png", "raw": "npy"}
    if encode not in fields:
        raise OptionError(f"{name}: encode={encode!r} is not one of 'png', 'raw'. Both are lossless.")
    return fields[encode]


def keep_bytes(name: str, encode: str | None) -> None:
    """Refuse ``encode`` for sources whose original files are stored untouched."""
    if encode is not None:
        raise OptionError(
            f"{name}: encode={encode!r} does not apply, its image files are stored as they are. Leave it out."
        )


def some(names: Iterable[str], limit: int = 6) -> str:
    """The first few names and the count of the rest, for messages."""
    listed = list(names)
    rest = f" and {len(listed) - limit:,} more" if len(listed) > limit else ""
    return (", ".join(listed[:limit]) + rest) if listed else "nothing"


def free_name(name: str, taken: Iterable[str]) -> str:
    """``name``, or ``meta_<name>`` where a field of ours has it already."""
    used = set(taken)
    while name in used:
        name = f"meta_{name}"
    return name
