"""One JSON shape per split: Arrow-based readers need the same keys and one type per key in every sample."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..errors import SourceError
from .types import Json

Shape = dict[str, str]
_NAMES: Mapping[type, str] = {bool: "bool", int: "number", float: "number", str: "string", dict: "object", list: "list"}


def add_shape(value: Json, shape: Shape, key: str, path: str = "") -> None:
    """Record the types of one sample's JSON under their paths; raise SourceError at the first contradiction.

    ``{"boxes": [[1, 2]], "note": None}`` -> ``{"": "object{boxes,note}", ".boxes": "list", ".boxes[]": "list", ...}``.
    Null fits any type. Integers and floats are one type.
    """
    if value is None:
        return
    kind = _NAMES.get(type(value))
    if kind is None:
        raise SourceError(
            f"{key}: JSON value at {path or 'the top'} has type {type(value).__name__}, which JSON lacks."
        )
    if kind == "object":
        kind = _object(value, key, path)
    known = shape.setdefault(path, kind)
    if known != kind:
        raise SourceError(
            f"{key}: JSON at {path or 'the top'} is {kind}, in earlier samples {known}; one split has one shape."
        )
    if type(value) is dict:
        for name, item in value.items():
            add_shape(item, shape, key, f"{path}.{name}")
    elif type(value) is list and value:
        _add_list(value, shape, key, f"{path}[]")


def _object(value: dict[Json, Json], key: str, path: str) -> str:
    try:
        return "object{" + ",".join(value) + "}"
    except TypeError as error:
        raise SourceError(f"{key}: JSON at {path or 'the top'} has a key that is no text: {error}.") from error


def _add_list(items: list[Json], shape: Shape, key: str, path: str) -> None:
    # A polygon of 10,000 numbers is one look at its set of types, not 10,000 calls.
    kinds = set(map(type, items))
    if kinds <= {int, float, type(None)} or kinds == {str}:
        add_shape(next((item for item in items if item is not None), None), shape, key, path)
        return
    for item in items:
        add_shape(item, shape, key, path)


def merge_shapes(shapes: Iterable[tuple[str, Shape]]) -> Shape:
    """Join the shapes of shards; a contradiction names the path and both types."""
    merged: Shape = {}
    for shard, shape in shapes:
        for path, kind in shape.items():
            if merged.setdefault(path, kind) != kind:
                raise SourceError(
                    f"{shard}: JSON at {path or 'the top'} is {kind}, in earlier shards {merged[path]}; one split has one shape."
                )
    return merged
