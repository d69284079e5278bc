"""One JSON shape per split: Arrow-based readers need the same keys and one type per key in every sample.

A shape is written as the JSON it describes, with kinds in place of values:

    {"id": 7, "note": null, "boxes": [[1, 2.5], []]}  ->  {"id": "int", "note": "null", "boxes": [["float"]]}

Kinds are ``bool``, ``int``, ``float`` (integers among them or not), ``string``, ``null`` (never anything else), a list
of one kind (``[]``: always empty) and an object of kinds. ``long`` is an integer of 54 to 64 bits: no float64 holds
it, so it is never one kind with reals.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from ..errors import SourceError
from .types import Json

Kind = Any
"""``str | list[Kind] | dict[str, Kind]``; recursive aliases do not help readers here."""
Shape = dict[str, Kind]
"""JSON member -> kind."""
Path = tuple[Any, str | None] | None
"""(path of the parent, key), key None for a list's items: an error draws it, the millions of other values do not."""
MEMBER = "json"
JSON_KINDS = ("bool", "int", "float", "string", "null")
_SCALARS: Mapping[type, str] = {bool: "bool", int: "int", float: "float", str: "string", type(None): "null"}
_NUMBERS = frozenset((int, float, type(None)))
_WIDER = {
    ("int", "float"): "float", ("float", "int"): "float", ("int", "long"): "long", ("long", "int"): "long",
}  # fmt: skip
_SHOWN: Mapping[str, str] = {"int": "number", "float": "number", "long": "integer beyond 2**53"}
_EXACT = 2**53
_LARGEST = 2**63


def add_shape(value: Json, shape: Shape, key: str, member: str = MEMBER) -> None:
    """Widen ``shape`` by one sample's JSON; raise SourceError, naming ``key``, at the first contradiction.

    Null fits any kind, integers widen to floats; keys and their order are the same in every sample. Integers beyond
    64 bits, or beyond 2**53 beside reals, are contradictions: no Arrow type holds them.
    """
    shape[member] = _added(value, shape.get(member, "null"), key, None)


def json_types(shape: Shape, member: str = MEMBER) -> Kind:
    """The kind of a member as the manifest holds it: ``long`` is ``int``."""
    return _published(shape.get(member, "null"))


def merge_shapes(shapes: Iterable[tuple[str, Shape]]) -> Shape:
    """Join the shapes of shards; a contradiction names the path and both types."""
    merged: Shape = {}
    for shard, shape in shapes:
        for member, kind in shape.items():
            merged[member] = _merged(merged.get(member, "null"), kind, shard, None)
    return merged


def _added(value: Json, known: Kind, key: str, path: Path) -> Kind:
    kind = _SCALARS.get(type(value))
    if kind is None:
        if type(value) is dict:
            return _object(value, known, key, path)
        if type(value) is list:
            return _list(value, known, key, path)
        raise SourceError(f"{key}: JSON value at {_drawn(path)} has type {type(value).__name__}, which JSON lacks.")
    if kind == "int" and not -_EXACT <= value <= _EXACT:
        kind = _long(value, key, path)
    return known if kind == known or kind == "null" else _wider(kind, known, key, path)


def _object(value: dict[Json, Json], known: Kind, key: str, path: Path) -> Kind:
    if type(known) is not dict or list(known) != list(value):
        kind = _empty_object(value, key, path)
        if known != "null":
            _contradiction(kind, known, key, path, "samples")
        known = kind
    for name, item in value.items():
        kind = known[name]
        found = _added(item, kind, key, (path, name))
        if found is not kind:
            known[name] = found
    return known


def _empty_object(value: dict[Json, Json], key: str, path: Path) -> Kind:
    for name in value:
        if type(name) is not str:
            raise SourceError(f"{key}: JSON at {_drawn(path)} has a key that is no text: {name!r}.")
    return dict.fromkeys(value, "null")


def _list(items: list[Json], known: Kind, key: str, path: Path) -> Kind:
    if type(known) is not list:
        if known != "null":
            _contradiction([], known, key, path, "samples")
        known = []
    if not items:
        return known
    inside: Path = (path, None)
    kind = known[0] if known else "null"
    # A polygon of 10,000 numbers is one look at its set of types and one at its norm, not 10,000 calls.
    types = set(map(type, items))
    if types <= _NUMBERS and not _may_be_long(items, types):
        for found in types:
            kind = _wider(_SCALARS[found], kind, key, inside)
    elif types == {str}:
        kind = _wider("string", kind, key, inside)
    else:
        for item in items:
            kind = _added(item, kind, key, inside)
    known[:] = (kind,)
    return known


def _may_be_long(numbers: list[Any], types: set[type]) -> bool:
    """False only where no integer lies beyond 2**53: the Euclidean norm bounds them all, at C speed."""
    if int not in types:
        return False
    if type(None) in types:
        numbers = [number for number in numbers if number is not None]
    try:
        return not math.hypot(*numbers) < _EXACT
    except OverflowError:
        return True


def _long(value: int, key: str, path: Path) -> str:
    if not -_LARGEST <= value < _LARGEST:
        raise SourceError(
            f"{key}: JSON at {_drawn(path)} is an integer of {value.bit_length()} bits, Arrow holds 64; write it as text."
        )
    return "long"


def _wider(kind: str, known: Kind, key: str, path: Path, others: str = "samples") -> Kind:
    """The kind that holds both, of which ``kind`` is a scalar."""
    if kind == known or kind == "null":
        return known
    if known == "null":
        return kind
    if type(known) is not str or (kind, known) not in _WIDER:
        _contradiction(kind, known, key, path, others)
    return _WIDER[kind, known]


def _merged(known: Kind, kind: Kind, shard: str, path: Path) -> Kind:
    if type(kind) is str:
        return _wider(kind, known, shard, path, "shards")
    if known == "null":
        return kind
    if type(known) is list and type(kind) is list:
        return [_merged(known[0], kind[0], shard, (path, None))] if known and kind else known or kind
    if type(known) is not dict or type(kind) is not dict or list(known) != list(kind):
        _contradiction(kind, known, shard, path, "shards")
    return {name: _merged(known[name], kind[name], shard, (path, name)) for name in kind}


def _published(kind: Kind) -> Kind:
    if type(kind) is dict:
        return {name: _published(item) for name, item in kind.items()}
    if type(kind) is list:
        return [_published(item) for item in kind]
    return "int" if kind == "long" else kind


def _contradiction(kind: Kind, known: Kind, where: str, path: Path, others: str) -> NoReturn:
    raise SourceError(
        f"{where}: JSON at {_drawn(path)} is {_named(kind)}, in earlier {others} {_named(known)}; one split has one shape."
    )


def _named(kind: Kind) -> str:
    if type(kind) is dict:
        return "object{" + ",".join(kind) + "}"
    return "list" if type(kind) is list else _SHOWN.get(kind, kind)


def _drawn(path: Path) -> str:
    """``.objects[].bbox``, or words for the root."""
    text = ""
    while path is not None:
        path, name = path
        text = ("[]" if name is None else f".{name}") + text
    return text or "the top"
