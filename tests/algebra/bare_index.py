"""Datasets that are an index alone, of any size in no time: tars are listed and never opened."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import shardstream as ss
from shardstream.shard_writer import manifest as manifests
from shardstream.shard_writer.fields import column_name, schema
from shardstream.shard_writer.index import write_index
from shardstream.shard_writer.manifest import Manifest, ShardEntry, SplitManifest, split_digest
from shardstream.shard_writer.storage import open_store

FIELDS = {"png": "image"}


def bare_index(
    out: Path,
    keys: Sequence[str],
    columns: Mapping[str, tuple[str, Sequence[Any]]],
    sizes: Sequence[int],
    *,
    label: str | None = None,
    classes: Mapping[str, tuple[str, ...]] | None = None,
    name: str = "bare",
) -> ss.ShardDataset:
    """Rows with these keys and columns (name -> kind, values), in shards of these sizes."""
    kinds = {column: kind for column, (kind, _) in columns.items()}
    stops = np.cumsum(sizes).tolist()
    wanted = schema(FIELDS, kinds)
    tables = []
    for shard, (start, stop) in enumerate(zip([0, *stops], stops, strict=False)):
        rows = stop - start
        values: dict[str, Any] = {column: [None] * rows for column in wanted.names}
        values |= {"key": list(keys[start:stop]), "shard": [shard] * rows}
        values |= {column_name("png", part): [0] * rows for part in ("offset", "size", "xxh3")}
        values |= {column: list(found[start:stop]) for column, (_, found) in columns.items()}
        tables.append(pa.table(values, schema=wanted))
    # the shards' digests are those of the keys they hold: other contents, other identity
    digests = [hashlib.sha256(repr(table["key"].to_pylist()).encode()).hexdigest() for table in tables]
    shards = tuple(ShardEntry(f"train-{i:06d}.tar", 1, size, digests[i]) for i, size in enumerate(sizes))
    store = open_store(out)
    split = SplitManifest(
        name="train", samples=sum(sizes), digest=split_digest(shards), image_field="png", fields=FIELDS, columns=kinds,
        label_column=label, shards=shards, index=write_index(store, "train", tables),
    )  # fmt: skip
    made = Manifest(
        name=name, licence="CC0-1.0", homepage="", classes=classes or {}, source={}, notes=(), splits={"train": split}
    )  # fmt: skip
    manifests.save(store, made)
    return ss.open(out)
