"""The functions behind the commands, for Python callers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

from .shard_writer.manifest import Manifest
from .shard_writer.plan import parse_size
from .shard_writer.sources import SourceOptions, open_source
from .shard_writer.storage import open_store
from .shard_writer.write import Reporter, Silent, WriteOptions, write_dataset


class PackOptions(TypedDict, total=False):
    """Keywords of ``ss.write``; their meaning stands in ``WriteOptions`` and ``SourceOptions``."""

    split: str | list[str]
    shard_size: int | str
    workers: int
    part: tuple[int, int]
    resume: bool
    encode: str
    split_name: str
    image_column: str
    config: str
    revision: str
    unlisted: bool
    md5: bool
    no_images: bool
    images: str | os.PathLike[str]
    join: str | list[str]
    pixel_stats: bool
    seed: int
    storage_options: Mapping[str, Any]
    source_storage_options: Mapping[str, Any]
    reporter: Reporter


def write(
    name: str,
    source: str | os.PathLike[str] | None = None,
    *,
    out: str | os.PathLike[str],
    **options: Unpack[PackOptions],
) -> Manifest | None:
    """Pack a benchmark from its original files into shards at ``out``: the same as ``shardstream write``.

    Shards are byte-identical for any ``workers`` and ``part``. Returns the committed manifest, or None when this
    part is done and others are not. Raises SourceError, OutputExists, StorageError, OptionError.
    """
    splits = options.get("split", [])
    chosen = WriteOptions(
        splits=(splits,) if isinstance(splits, str) else tuple(splits),
        shard_size=parse_size(options.get("shard_size", "256MB")),
        workers=options.get("workers", 1),
        part=options.get("part"),
        resume=options.get("resume", False),
        pixel_stats=options.get("pixel_stats", False),
        seed=options.get("seed", 0),
        reporter=options.get("reporter", Silent()),
    )
    storage = options.get("storage_options", {})
    joined, images = options.get("join", []), options.get("images")
    reading = SourceOptions(
        encode=options.get("encode"),
        storage_options=options.get("source_storage_options", storage),
        split_name=options.get("split_name"),
        image_column=options.get("image_column"),
        config=options.get("config"),
        revision=options.get("revision"),
        unlisted=options.get("unlisted", False),
        md5=options.get("md5", False),
        no_images=options.get("no_images", False),
        images=None if images is None else os.fspath(images),
        join=(joined,) if isinstance(joined, str) else tuple(joined),
    )
    opened = open_source(name, None if source is None else os.fspath(source), reading)
    return write_dataset(opened, open_store(out, storage), chosen)
