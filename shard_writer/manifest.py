"""``dataset.json``: what a dataset holds. Written last; a folder without it is no dataset."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..errors import DatasetNotFound, ManifestError
from .storage import Store, join

NAME = "dataset.json"
FORMAT = "shardstream"
VERSION = 1
MAX_BYTES = 1_000_000_000
HERE = "."
MEMBER_KINDS = ("image", "json", "class", "bytes")


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """One tar of a split."""

    name: str
    """Path below the split's folder, or below its ``base``."""
    bytes: int
    samples: int
    sha256: str


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One Parquet file of a split's index, one row group per shard."""

    name: str
    bytes: int
    sha256: str
    first_shard: int
    shards: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitManifest:
    """One split: its shards in order, its index files, its fields and statistics."""

    name: str
    samples: int
    digest: str
    """Identity of the split's content: depends on the shards' bytes and order, on nothing else."""
    image_field: str | None
    fields: Mapping[str, str]
    """Member extension -> type (``image``, ``json``, ``class``, ``bytes``)."""
    columns: Mapping[str, str]
    """Declared index columns beyond members and image facts."""
    label_column: str | None
    shards: tuple[ShardEntry, ...]
    index: tuple[IndexEntry, ...]
    base: str | None = None
    """Of foreign tars, which do not lie in ``<split>/``: their folder's address, or "." for that of the manifest."""
    order: Mapping[str, Any] = field(default_factory=dict)
    statistics: Mapping[str, Any] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Members of foreign tars that belong to no sample: reason -> count."""
    json_types: Mapping[str, Any] = field(default_factory=dict)
    """The one shape of the samples' JSON, kinds in place of values; empty where nobody looked (foreign tars)."""

    def shard_store(self, store: Store) -> Store:
        """Where the shards lie, given where the manifest lies."""
        return store if self.base in (None, HERE) else Store(str(self.base), store.options)

    def shard_path(self, number: int) -> str:
        """Path of a shard in ``shard_store``."""
        name = self.shards[number].name
        return join(self.name, name) if self.base is None else name


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The whole dataset."""

    name: str
    licence: str
    homepage: str
    classes: Mapping[str, tuple[str, ...]]
    class_ids: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Label column -> original class ids, where labels are ranks of those."""
    source: Mapping[str, Any]
    notes: tuple[str, ...]
    splits: Mapping[str, SplitManifest]

    def to_json(self) -> bytes:
        body = {"format": FORMAT, "version": VERSION, **asdict(self)}
        if not self.class_ids:
            del body["class_ids"]
        return (json.dumps(body, indent=1, ensure_ascii=False) + "\n").encode()

    def with_splits(self, other: Manifest) -> Manifest:
        """Our splits and the splits of another of the same dataset."""
        if (self.name, self.classes, self.class_ids) != (other.name, other.classes, other.class_ids):
            raise ManifestError(
                f"cannot add splits of {other.name!r} to a dataset of {self.name!r}: name or classes differ."
                " Choose another --out."
            )
        notes = tuple(dict.fromkeys(self.notes + other.notes))
        return replace(self, splits={**self.splits, **other.splits}, notes=notes)


def split_digest(shards: Sequence[ShardEntry]) -> str:
    """sha256 over the shards' sizes, counts and content digests in order; names and places do not matter."""
    rows = [[shard.bytes, shard.samples, shard.sha256] for shard in shards]
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()


def save(store: Store, manifest: Manifest) -> None:
    """Commit: the dataset exists from this moment."""
    store.write(NAME, manifest.to_json())


def load(store: Store) -> Manifest:
    """Read and check ``dataset.json``; raises DatasetNotFound or ManifestError."""
    try:
        data = store.read(NAME)
    except FileNotFoundError as error:
        hint = _what_is_there(store)
        raise DatasetNotFound(f"no dataset at {store.url}: {NAME} is not there. {hint}") from error
    if len(data) > MAX_BYTES:
        raise ManifestError(f"{store.full(NAME)} has {len(data):,} bytes, more than {MAX_BYTES:,}.")
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{store.full(NAME)} is no JSON ({error}); restore it or pack again.") from error
    from .manifest_parse import parse  # which needs the types above

    return parse(body, store.full(NAME))


def _what_is_there(store: Store) -> str:
    from .fragment import STAGING

    if store.files(STAGING):
        return "A write was interrupted here: repeat it with --resume."
    if any(entry.path.endswith(".tar") for entry in store.files()):
        return "There are tars: make them a dataset with `shardstream index`."
    return "Check the address and the storage options."
