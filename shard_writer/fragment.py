"""A fragment: the index rows of one finished shard, staged until the whole split is committed.

    <url>/.packing/<split>/<shard>.parquet

It is written after its shard, so its presence means that the shard is whole. ``--resume`` trusts it when the plan's
fingerprint and the shard's size agree.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .json_shape import Shape
from .parquet import whole
from .storage import Store, join

STAGING = ".packing"
_META = ("plan", "shard", "bytes", "sha256", "shape", "statistics")


@dataclass(frozen=True, slots=True)
class Fragment:
    """What is known of one finished shard."""

    plan: str
    """Fingerprint of the split's plan."""
    shard: str
    bytes: int
    sha256: str
    shape: Shape
    statistics: Mapping[str, Any]
    table: pa.Table = field(repr=False)

    def save(self, store: Store, split: str) -> None:
        """Stage the fragment, atomically."""
        meta = json.dumps({name: getattr(self, name) for name in _META})
        buffer = io.BytesIO()
        pq.write_table(self.table.replace_schema_metadata({"shardstream": meta}), buffer)
        store.write(_path(split, self.shard), buffer.getvalue())


def _path(split: str, shard: str) -> str:
    return join(STAGING, split, shard.removesuffix(".tar") + ".parquet")


def load_fragment(store: Store, split: str, shard: str, plan: str) -> Fragment | None:
    """The fragment of a shard that was written under the same plan and still stands whole, else None."""
    try:
        table = whole(store.read(_path(split, shard)))
        meta = json.loads((table.schema.metadata or {})[b"shardstream"])
        fragment = Fragment(table=table.replace_schema_metadata(None), **meta)
        size = store.size(join(split, shard))
    except (FileNotFoundError, pa.ArrowInvalid, KeyError, ValueError, TypeError):
        return None  # absent, damaged or of another version: the shard is simply written again
    return fragment if fragment.plan == plan and fragment.bytes == size else None
