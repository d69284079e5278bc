"""Decode one file of CIFAR - pickle, .bin or parquet - into a ``Batch``, checking every promise of its format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...errors import SourceError
from ..parquet import whole
from .cifar_layout import CifarSpec
from .hf_features import class_names
from .options import some
from .pickle_safe import load_pickle

PLANES = 3 * 32 * 32
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of one file. Exactly one of ``pixels`` and ``encoded`` is set."""

    file: str
    labels: Mapping[str, Sequence[int]]
    """Column -> one label per row, in [0, classes)."""
    pixels: NDArray[np.uint8] | None = None
    """(N, 3072), planes R, G, B of 32 rows each."""
    encoded: Sequence[bytes] | None = None
    """PNG files."""
    filenames: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.labels["label"])


def pickle_batch(data: bytes, file: str, spec: CifarSpec) -> Batch:
    """A batch pickle: ``data`` uint8 (N, 3072), labels and filenames of length N."""
    found = load_pickle(data, file)
    pixels, names = found.get("data"), found.get("filenames")
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != PLANES:
        shape = getattr(pixels, "shape", type(pixels).__name__)
        raise SourceError(f"{file}: 'data' is {shape}, expected uint8 (N, {PLANES}); keys are {some(found)}.")
    labels = {
        column: _labels(found.get(key), key, file, spec.classes[column]) for column, key in spec.pickle_keys.items()
    }
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise SourceError(f"{file}: 'filenames' is no list of text.")
    for key, values in [*labels.items(), ("filenames", names)]:
        if values is not None and len(values) != len(pixels):
            raise SourceError(f"{file}: {len(pixels):,} images, {len(values):,} entries of {key}; the file is damaged.")
    return Batch(file, labels, pixels=pixels, filenames=names)


def binary_batch(data: bytes, file: str, spec: CifarSpec) -> Batch:
    """A .bin file of records ``label bytes | 3072 pixels``; CIFAR-100 has the coarse label first, then the fine."""
    width = len(spec.binary_order) + PLANES
    if not data or len(data) % width:
        raise SourceError(
            f"{file}: {len(data):,} bytes are no whole number of {width}-byte records"
            f" ({len(data) % width} left over). Download it again."
        )
    rows = np.frombuffer(data, np.uint8).reshape(-1, width)
    labels = {
        column: _labels(rows[:, i].tolist(), column, file, spec.classes[column])
        for i, column in enumerate(spec.binary_order)
    }
    return Batch(file, {column: labels[column] for column in spec.classes}, pixels=rows[:, len(spec.binary_order) :])


def parquet_table(data: bytes, file: str) -> pa.Table:
    """A whole parquet file in memory."""
    try:
        return whole(data)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(
            f"{file}: {len(data):,} bytes are no readable parquet file ({error}). Download it again."
        ) from error


def table_batch(table: pa.Table, file: str, spec: CifarSpec) -> Batch:
    """Rows of Hugging Face's form: ``img`` with PNG bytes, and the label columns."""
    wanted = {"img", *spec.parquet_columns.values()}
    if missing := sorted(wanted - set(table.column_names)):
        raise SourceError(
            f"{file}: {spec.title} has columns {some(sorted(wanted))}; {some(missing)} absent from"
            f" {some(table.column_names)}."
        )
    images: list[Any] = [row.get("bytes") if isinstance(row, dict) else row for row in table["img"].to_pylist()]
    for row, image in enumerate(images):
        # IHDR holds 32x32, 8 bits, colour type 2 (RGB): JPEG or another size would be another benchmark.
        if not isinstance(image, bytes) or image[:8] != _PNG or image[16:26] != b"\0\0\0\x20\0\0\0\x20\x08\x02":
            raise SourceError(f"{file}: row {row} is no 32x32 RGB PNG; a lossy or resized copy is not {spec.title}.")
    labels = {
        column: _labels(table[name].to_pylist(), name, file, spec.classes[column])
        for column, name in spec.parquet_columns.items()
    }
    return Batch(file, labels, encoded=images)


def pickle_names(data: bytes, file: str, spec: CifarSpec) -> dict[str, tuple[str, ...]]:
    """Class names of each column from the meta pickle."""
    found = load_pickle(data, file)
    return {
        column: _names(found.get(key), f"{file}: {key}", spec.classes[column]) for column, key in spec.meta_keys.items()
    }


def text_names(data: bytes, file: str, count: int) -> tuple[str, ...]:
    """Class names from a text file, one a line; the official files end in an empty line."""
    return _names(data.decode("utf-8", "replace").split(), file, count)


def schema_names(schema: pa.Schema, file: str, spec: CifarSpec) -> dict[str, tuple[str, ...]]:
    """Class names of each column from Hugging Face's feature metadata."""
    found = class_names(schema)
    return {
        column: _names(list(found.get(name, ())), f"{file}: class names of {name}", spec.classes[column])
        for column, name in spec.parquet_columns.items()
    }


def _names(names: Any, what: str, count: int) -> tuple[str, ...]:
    if not isinstance(names, list) or len(names) != count or not all(isinstance(name, str) for name in names):
        raise SourceError(
            f"{what}: expected {count} class names, found {len(names) if isinstance(names, list) else names!r}."
        )
    return tuple(names)


def _labels(labels: Any, key: str, file: str, classes: int) -> list[int]:
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise SourceError(f"{file}: {key!r} is no list of whole numbers. Is this the other CIFAR?")
    if labels and not (min(labels) >= 0 and max(labels) < classes):
        raise SourceError(f"{file}: {key!r} runs from {min(labels)} to {max(labels)}, expected 0 to {classes - 1}.")
    return labels
