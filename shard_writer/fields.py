"""Index columns: one row per image, where each member lies and what a planner must know without reading it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache

import pyarrow as pa

from ..errors import OptionError
from .types import SplitInfo

FACTS: Mapping[str, str] = {
    "width": "int32",
    "height": "int32",
    "format": "string",
    "components": "int8",
    "progressive": "bool",
    "exif_orientation": "int8",
}
IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp", "npy", "bmp", "gif", "tif", "tiff")
COLUMN_TYPES: Mapping[str, pa.DataType] = {
    "int8": pa.int8(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "uint64": pa.uint64(),
    "float64": pa.float64(),
    "string": pa.string(),
    "bool": pa.bool_(),
    "list<int64>": pa.list_(pa.int64()),
    "list<list<int64>>": pa.list_(pa.list_(pa.int64())),
    "list<float64>": pa.list_(pa.float64()),
    "list<string>": pa.list_(pa.string()),
}


@cache
def column_name(field: str, part: str) -> str:
    """Index column of a member's ``offset``, ``size`` or ``xxh3``; ``seg.png`` -> ``seg_png_offset``."""
    return f"{re.sub(r'[^A-Za-z0-9]', '_', field)}_{part}"


def arrow_type(name: str) -> pa.DataType:
    """Arrow type of a declared column; raises OptionError for names outside the list."""
    if name not in COLUMN_TYPES:
        raise OptionError(f"column type {name!r} is not one of {', '.join(COLUMN_TYPES)}.")
    return COLUMN_TYPES[name]


def schema(fields: Iterable[str], columns: Mapping[str, str]) -> pa.Schema:
    """Arrow schema of an index: key, shard, members, image facts, declared columns."""
    entries: list[tuple[str, pa.DataType]] = [("key", pa.string()), ("shard", pa.int32())]
    for field in fields:
        entries.append((column_name(field, "offset"), pa.int64()))
        entries.append((column_name(field, "size"), pa.int64()))
        entries.append((column_name(field, "xxh3"), pa.uint64()))
    entries += [(name, arrow_type(kind)) for name, kind in FACTS.items()]
    entries += [(name, arrow_type(kind)) for name, kind in columns.items()]
    names = [name for name, _ in entries]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise OptionError(f"index columns {', '.join(repeated)} are declared twice; rename the source's columns.")
    return pa.schema(entries)


def member_fields(info: SplitInfo) -> tuple[str, ...]:
    """Members of every sample of a split that we write, in the order they stand in the tar."""
    image = () if info.image_field is None else (info.image_field,)
    return (*image, "json", "cls") if info.label_column else (*image, "json")
