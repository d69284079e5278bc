"""What the Hugging Face metadata in an Arrow schema says of its columns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ...errors import OptionError, SourceError
from .options import some


def features(schema: pa.Schema) -> dict[str, Any]:
    """Column -> feature as Hugging Face wrote it; empty for plain Arrow or parquet."""
    try:
        found = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    except ValueError:
        return {}
    info = found.get("info") if isinstance(found, dict) else None
    named = info.get("features") if isinstance(info, dict) else None
    return named if isinstance(named, dict) else {}


def _is_kind(feature: Any, kind: str) -> bool:
    return isinstance(feature, Mapping) and feature.get("_type") == kind


def class_names(schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    """ClassLabel column -> names of its classes."""
    return {
        column: tuple(map(str, feature["names"]))
        for column, feature in features(schema).items()
        if _is_kind(feature, "ClassLabel") and isinstance(feature.get("names"), list)
    }


def image_columns(schema: pa.Schema) -> tuple[str, ...]:
    """Columns of feature type Image; without metadata, those that are ``struct<bytes: binary, path: string>``."""
    named = tuple(column for column, feature in features(schema).items() if _is_kind(feature, "Image"))
    return named or tuple(entry.name for entry in schema if _is_image_struct(entry.type))


def _is_image_struct(kind: pa.DataType) -> bool:
    if not pa.types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        return False
    held = kind.field("bytes").type
    return bool(pa.types.is_binary(held) or pa.types.is_large_binary(held))


@dataclass(frozen=True, slots=True)
class Roles:
    """Which column of a table is what."""

    image: str
    label: str | None
    """Column of the single class label."""
    classes: Mapping[str, tuple[str, ...]]
    """ClassLabel column -> names."""
    others: tuple[str, ...]
    """Columns that go into the JSON, the label column included."""
    left_out: tuple[str, ...]
    """Image columns that were not chosen."""


def roles_of(schema: pa.Schema, image_column: str | None, where: str) -> Roles:
    """Find the image and label columns.

    Raises SourceError where no column holds images, OptionError where several do and ``image_column`` names none.
    """
    images = image_columns(schema)
    if image_column is not None and image_column not in schema.names:
        raise OptionError(f"{where}: there is no column {image_column!r}; columns are {some(schema.names, 20)}.")
    if image_column is None and len(images) > 1:
        raise OptionError(f"{where}: columns {', '.join(images)} hold images. Choose one with image_column.")
    if image_column is None and not images:
        raise SourceError(
            f"{where}: no column holds images; columns are {some((f'{e.name}: {e.type}' for e in schema), 20)}."
            " Name a column of image bytes with image_column."
        )
    image = image_column or images[0]
    classes = class_names(schema)
    label = "label" if "label" in classes else next(iter(classes), None)
    if label is None and "label" in schema.names and pa.types.is_integer(schema.field("label").type):
        label = "label"
    others = tuple(name for name in schema.names if name != image and name not in images)
    return Roles(image, label, classes, others, tuple(name for name in images if name != image))
