"""From JSON to a ``Manifest``: a manifest is data from anywhere, so every name, number and digest is checked first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

from ..errors import ManifestError, OptionError
from .fields import COLUMN_TYPES
from .json_shape import JSON_KINDS
from .manifest import FORMAT, MEMBER_KINDS, VERSION, IndexEntry, Manifest, ShardEntry, SplitManifest, split_digest
from .storage.store import scheme_of

MAX_NUMBER = 2**62
_UNSAFE_NAME = re.compile(r"[\x00-\x1f\x7f\\:]|^/|//|/$|(^|/)\.")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_T = TypeVar("_T")


def parse(body: Any, where: str) -> Manifest:
    """A Manifest from parsed JSON; raises ManifestError, naming the place, for whatever is not as we write it."""
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        found = body.get("format") if isinstance(body, dict) else type(body).__name__
        raise ManifestError(f"{where} is not a shardstream manifest: its 'format' is {found!r}, not {FORMAT!r}.")
    if _value(body, "version", int, where) != VERSION:
        raise ManifestError(f"{where} has format version {body['version']}, this library reads {VERSION}; upgrade it.")
    splits = _value(body, "splits", dict, where)
    return Manifest(
        name=_value(body, "name", str, where),
        licence=_value(body, "licence", str, where),
        homepage=_value(body, "homepage", str, where),
        classes={
            column: _texts(names, f"{where}: classes") for column, names in _value(body, "classes", dict, where).items()
        },
        class_ids={
            column: _ids(ids, f"{where}: class_ids")
            for column, ids in _value({"class_ids": {}, **body}, "class_ids", dict, where).items()
        },
        source=_value(body, "source", dict, where),
        notes=_texts(_value(body, "notes", list, where), f"{where}: notes"),
        splits={name: _split(name, split, f"{where}, split {name!r}") for name, split in splits.items()},
    )


def check_name(name: Any, where: str) -> None:
    """Raise ManifestError unless ``name`` is a plain relative path."""
    if not isinstance(name, str) or not name or _UNSAFE_NAME.search(name):
        raise ManifestError(
            f"{where}: name {name!r} is not a plain relative path (no '..', hidden parts, ':' or control characters)."
        )


def _damaged(where: str, what: str) -> NoReturn:
    raise ManifestError(f"{where}: {what}; it was edited or damaged: restore it or pack again.")


def _value(body: Mapping[str, Any], name: str, kind: type[_T], where: str) -> _T:
    """A required value of one JSON type; a number must be a count."""
    value = body.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        _damaged(
            where, f"{name!r} is {value!r:.60}, expected {kind.__name__}" if name in body else f"{name!r} is missing"
        )
    if isinstance(value, int) and not 0 <= value <= MAX_NUMBER:
        _damaged(where, f"{name!r} is {value}, which counts nothing")
    return value


def _texts(values: Any, where: str) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        _damaged(where, f"{values!r:.60} is no list of text")
    return tuple(values)


def _ids(values: Any, where: str) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        _damaged(where, f"{values!r:.60} is no list of integers")
    return tuple(values)


def _objects(body: Mapping[str, Any], name: str, where: str) -> list[dict[str, Any]]:
    values = _value(body, name, list, where)
    if not all(isinstance(value, dict) for value in values):
        _damaged(where, f"{name!r} is no list of objects")
    return values


def _names(body: Mapping[str, Any], name: str, known: Any, where: str) -> dict[str, str]:
    """An object whose values come from a closed list."""
    values = _value(body, name, dict, where)
    for key, value in values.items():
        if not isinstance(value, str) or value not in known:
            _damaged(where, f"{name!r} gives {key!r} the type {value!r:.60}, known are {', '.join(known)}")
    return values


def _kinds(shape: dict[str, Any], where: str) -> dict[str, Any]:
    """A shape as ``json_shape`` writes it, of any depth."""
    left: list[Any] = [shape]
    while left:
        kind = left.pop()
        if isinstance(kind, dict):
            left.extend(kind.values())
        elif isinstance(kind, list) and len(kind) <= 1:
            left.extend(kind)
        elif not isinstance(kind, str) or kind not in JSON_KINDS:
            _damaged(
                where, f"'json_types' holds {kind!r:.60}, known are {', '.join(JSON_KINDS)}, lists of one, objects"
            )
    return shape


def _maybe(body: Mapping[str, Any], name: str, where: str) -> str | None:
    return None if body.get(name) is None else _value(body, name, str, where)


def _digest(body: Mapping[str, Any], name: str, where: str) -> str:
    value = _value(body, name, str, where)
    if not _DIGEST.fullmatch(value):
        _damaged(where, f"{name!r} is {value!r:.80}, no sha256")
    return value


def _shard(body: Mapping[str, Any], where: str) -> ShardEntry:
    name = _value(body, "name", str, where)
    check_name(name, where)
    where = f"{where}, {name}"
    return ShardEntry(
        name, _value(body, "bytes", int, where), _value(body, "samples", int, where), _digest(body, "sha256", where)
    )


def _index(body: Mapping[str, Any], where: str) -> IndexEntry:
    name = _value(body, "name", str, where)
    check_name(name, where)
    where = f"{where}, {name}"
    first, shards = _value(body, "first_shard", int, where), _value(body, "shards", int, where)
    return IndexEntry(name, _value(body, "bytes", int, where), _digest(body, "sha256", where), first, shards)


def _split(name: str, body: Any, where: str) -> SplitManifest:
    check_name(name, where)
    if not isinstance(body, dict):
        _damaged(where, f"it is {body!r:.60}, expected an object")
    split = SplitManifest(
        name=_value(body, "name", str, where),
        samples=_value(body, "samples", int, where),
        digest=_digest(body, "digest", where),
        image_field=_maybe(body, "image_field", where),
        fields=_names(body, "fields", MEMBER_KINDS, where),
        columns=_names(body, "columns", COLUMN_TYPES, where),
        label_column=_maybe(body, "label_column", where),
        shards=tuple(_shard(entry, where) for entry in _objects(body, "shards", where)),
        index=tuple(_index(entry, where) for entry in _objects(body, "index", where)),
        base=_maybe(body, "base", where),
        order=_value(body, "order", dict, where),
        statistics=_value(body, "statistics", dict, where),
        skipped=_value(body, "skipped", dict, where),
        json_types=_kinds(_value({"json_types": {}, **body}, "json_types", dict, where), where),
    )
    _check(split, name, where)
    return split


def _check(split: SplitManifest, name: str, where: str) -> None:
    """What one value says of another."""
    if split.name != name:
        _damaged(where, f"it calls itself {split.name!r}")
    if split.image_field is not None and split.fields.get(split.image_field) != "image":
        _damaged(where, f"image field {split.image_field!r} is not among its fields {', '.join(split.fields)}")
    if split.label_column is not None and split.columns.get(split.label_column) != "int64":
        _damaged(where, f"label column {split.label_column!r} is no int64 among its columns {', '.join(split.columns)}")
    for kind, named in (("image", split.image_field), ("class", split.label_column)):
        if named is None and kind in split.fields.values():
            _damaged(where, f"it has a field of type {kind!r} and names none as its {kind}")
    counted = sum(shard.samples for shard in split.shards)
    if split.samples != counted:
        _damaged(where, f"{split.samples:,} samples stated, its shards hold {counted:,}")
    if split.digest != split_digest(split.shards):
        _damaged(where, f"digest {split.digest[:12]}... does not match its list of shards")
    _check_base(split, where)
    _check_cover(split, where)


def _check_base(split: SplitManifest, where: str) -> None:
    if split.base is None:
        return
    try:
        scheme_of(split.base)
    except OptionError as error:
        raise ManifestError(f"{where}: the address of its tars is refused: {error}") from error
    if not split.base or "\0" in split.base:
        _damaged(where, f"the address of its tars is {split.base!r}")


def _check_cover(split: SplitManifest, where: str) -> None:
    """Index files follow each other and hold one row group per shard."""
    if not split.shards:
        _damaged(where, "it lists no shards")
    covered = 0
    for entry in split.index:
        if entry.first_shard != covered:
            _damaged(where, f"{entry.name} begins at shard {entry.first_shard}, expected {covered}")
        covered += entry.shards
    if covered != len(split.shards):
        _damaged(where, f"its index covers {covered} shards, there are {len(split.shards)}")
