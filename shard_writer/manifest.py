"""``dataset.json``: what a dataset holds. Written last; a folder without it is no dataset."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..errors import DatasetNotFound, ManifestError
from .storage import Store, join
from .storage.store import scheme_of

NAME = "dataset.json"
FORMAT = "shardstream"
VERSION = 1
MAX_BYTES = 1_000_000_000
HERE = "."
_UNSAFE_NAME = re.compile(r"[\x00-\x1f\x7f\\:]|^/|//|/$|(^|/)\.")


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
    source: Mapping[str, Any]
    notes: tuple[str, ...]
    splits: Mapping[str, SplitManifest]

    def to_json(self) -> bytes:
        body = {"format": FORMAT, "version": VERSION, **asdict(self)}
        return (json.dumps(body, indent=1, ensure_ascii=False) + "\n").encode()

    def with_splits(self, other: Manifest) -> Manifest:
        """This manifest and the splits of another of the same dataset."""
        if self.name != other.name or self.classes != other.classes:
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
    except ValueError as error:
        raise ManifestError(f"{store.full(NAME)} is no JSON ({error}); restore it or pack again.") from error
    return parse(body, store.full(NAME))


def _what_is_there(store: Store) -> str:
    from .fragment import STAGING

    if store.files(STAGING):
        return "A write was interrupted here: repeat it with --resume."
    if any(entry.path.endswith(".tar") for entry in store.files()):
        return "There are tars: make them a dataset with `shardstream index`."
    return "Check the address and the storage options."


def parse(body: Any, where: str) -> Manifest:
    """A Manifest from parsed JSON; every name, number and digest is checked before anything is opened."""
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise ManifestError(f"{where} is not a shardstream manifest: its 'format' is {_peek(body)!r}, not {FORMAT!r}.")
    if body.get("version") != VERSION:
        raise ManifestError(f"{where} has format version {body.get('version')!r}, this library reads {VERSION}; upgrade it.")
    try:
        splits = {name: _split(name, value, where) for name, value in body["splits"].items()}
        classes = {column: tuple(map(str, names)) for column, names in body["classes"].items()}
        return Manifest(
            name=str(body["name"]),
            licence=str(body["licence"]),
            homepage=str(body["homepage"]),
            classes=classes,
            source=dict(body["source"]),
            notes=tuple(map(str, body["notes"])),
            splits=splits,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ManifestError(f"{where} lacks or mistypes {error}; it was edited or damaged: restore it or pack again.") from error


def _peek(body: Any) -> Any:
    return body.get("format") if isinstance(body, dict) else type(body).__name__


def _split(name: str, body: Mapping[str, Any], where: str) -> SplitManifest:
    where = f"{where}, split {name!r}"
    check_name(name, where)
    values = dict(body)
    values["shards"] = tuple(ShardEntry(**entry) for entry in body["shards"])
    values["index"] = tuple(IndexEntry(**entry) for entry in body["index"])
    split = SplitManifest(**values)
    _check(split, name, where)
    return split


def _check(split: SplitManifest, name: str, where: str) -> None:
    files: list[ShardEntry | IndexEntry] = [*split.shards, *split.index]
    for entry in files:
        check_name(entry.name, where)
        if not isinstance(entry.bytes, int) or entry.bytes < 0 or not isinstance(entry.sha256, str):
            raise ManifestError(f"{where}: {entry.name} has no valid size and digest.")
    if split.base is not None:
        scheme_of(str(split.base))  # refuses schemes outside the list
    counted = sum(shard.samples for shard in split.shards)
    if split.name != name or split.samples != counted:
        raise ManifestError(f"{where}: {split.samples!r} samples stated, its shards hold {counted}.")
    if split.digest != split_digest(split.shards):
        raise ManifestError(f"{where}: digest {split.digest[:12]}... does not match its list of shards; it was edited.")
    covered = [i for entry in split.index for i in range(entry.first_shard, entry.first_shard + entry.shards)]
    if covered != list(range(len(split.shards))):
        raise ManifestError(f"{where}: the index files cover {len(covered)} shards, there are {len(split.shards)}.")


def check_name(name: Any, where: str) -> None:
    if not isinstance(name, str) or not name or _UNSAFE_NAME.search(name):
        raise ManifestError(f"{where}: name {name!r} is not a plain relative path (no '..', hidden parts, ':' or control characters).")
