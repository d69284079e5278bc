"""``open_dataset``: one split of a dataset by its address."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import OptionError
from ..shard_writer import manifest as manifests
from ..shard_writer.manifest import HERE, SplitManifest
from ..shard_writer.storage import around, open_store
from .blocks import BLOCK
from .cache import ShardCache, default_folder
from .dataset import Exif, ShardDataset


def open_dataset(
    url: str | os.PathLike[str],
    split: str | None = None,
    *,
    storage_options: Mapping[str, Any] | None = None,
    mount_map: Mapping[str, str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    cache_bytes: int = 100_000_000_000,
    block_bytes: int = BLOCK,
    verify: bool = True,
    exif: Exif = "ignore",
) -> ShardDataset:
    """Open one split of a packed or indexed dataset on disk, S3 or HTTP.

    ``split`` may be left out where there is only one. Remote shards, and those on a FUSE mount, are read in blocks of at
    least ``block_bytes``, which are kept below ``cache_dir`` (``$SHARDSTREAM_CACHE``) up to ``cache_bytes``.
    ``mount_map={"/mnt/data": "s3://bucket"}`` reads around a mount: whatever lies below the path is read from the
    address, index and shards alike. ``verify`` checks every member once per process and block against its checksum.
    ``exif="apply"`` turns pictures upright by their EXIF orientation in every reader; by default they come as stored,
    as annotations and published numbers take them. Raises DatasetNotFound, ManifestError, OptionError.
    """
    store = open_store(around(os.fspath(url), mount_map or {}), storage_options)
    manifest = manifests.load(store)
    if split is None and len(manifest.splits) == 1:
        split = next(iter(manifest.splits))
    if split is None or split not in manifest.splits:
        raise OptionError(
            f"split {split!r} is not in {store.url}, which has {', '.join(manifest.splits)}. Pass split=..."
        )
    cache = ShardCache(Path(cache_dir) if cache_dir is not None else default_folder(), cache_bytes, block_bytes)
    return ShardDataset(store, manifest, _around(manifest.splits[split], mount_map or {}), cache, verify, exif)


def _around(split: SplitManifest, mount_map: Mapping[str, str]) -> SplitManifest:
    """The split with its foreign tars at the address behind their mount."""
    return split if split.base in (None, HERE) else replace(split, base=around(str(split.base), mount_map))
