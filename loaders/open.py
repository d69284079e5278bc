"""``open_dataset``: one split of a dataset by its address."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import OptionError
from ..shard_writer import manifest as manifests
from ..shard_writer.storage import open_store
from .blocks import BLOCK
from .cache import ShardCache, default_folder
from .dataset import Exif, ShardDataset


def open_dataset(
    url: str | os.PathLike[str],
    split: str | None = None,
    *,
    storage_options: Mapping[str, Any] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    cache_bytes: int = 100_000_000_000,
    block_bytes: int = BLOCK,
    verify: bool = True,
    exif: Exif = "ignore",
) -> ShardDataset:
    """Open one split of a packed or indexed dataset on disk, S3 or HTTP.

    ``split`` may be left out where there is only one. Remote shards are read in blocks of at least ``block_bytes``,
    which are kept below ``cache_dir`` (``$SHARDSTREAM_CACHE``) up to ``cache_bytes``. ``verify`` checks every member
    once per process and block against its checksum. ``exif="apply"`` turns pictures upright by their EXIF orientation
    in every reader; by default they come as stored, as annotations and published numbers take them. Raises
    DatasetNotFound, ManifestError, OptionError.
    """
    store = open_store(url, storage_options)
    manifest = manifests.load(store)
    if split is None and len(manifest.splits) == 1:
        split = next(iter(manifest.splits))
    if split is None or split not in manifest.splits:
        raise OptionError(
            f"split {split!r} is not in {store.url}, which has {', '.join(manifest.splits)}. Pass split=..."
        )
    cache = ShardCache(Path(cache_dir) if cache_dir is not None else default_folder(), cache_bytes, block_bytes)
    return ShardDataset(store, manifest, manifest.splits[split], cache, verify, exif)
