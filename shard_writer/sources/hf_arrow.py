"""A split as the ``datasets`` library holds it: from the hub, or saved by ``save_to_disk``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ...errors import MissingExtra, SourceError
from .hf_features import image_columns
from .hf_tables import Table
from .options import SourceOptions


@dataclass(slots=True)
class ArrowTable:
    """A ``datasets.Dataset`` whose images are not decoded. Its Arrow files are mapped, so it pickles as their names."""

    dataset: Any
    where: str
    images: tuple[str, ...]

    @property
    def schema(self) -> pa.Schema:
        return self.dataset.features.arrow_schema

    @property
    def rows(self) -> int:
        return len(self.dataset)

    @property
    def random_access(self) -> bool:
        return True

    def row(self, index: int) -> dict[str, Any]:
        row = dict(self.dataset[index])
        for name in self.images:
            if isinstance(row[name], dict) and row[name].get("bytes") is None:
                row[name] = {"bytes": self._from_cache(row[name].get("path"), index), "path": row[name].get("path")}
        return row

    def column(self, name: str) -> list[Any]:
        return list(self.dataset.with_format(None)[name])

    def image_sizes(self, name: str) -> list[int]:
        held = self.arrow()[name]
        paths: list[str | None] = [None] * len(held)
        if pa.types.is_struct(held.type):
            if held.type.get_field_index("path") >= 0:
                paths = pc.struct_field(held, "path").to_pylist()
            held = pc.struct_field(held, "bytes")
        sizes = pc.binary_length(held).to_pylist()
        return [_cached_size(path) if size is None else size for size, path in zip(sizes, paths, strict=True)]

    def arrow(self) -> pa.Table:
        return self.dataset.with_format("arrow")[:]

    def _from_cache(self, path: str | None, index: int) -> bytes | None:
        if not _in_cache(path):
            return None
        try:
            with open(str(path), "rb") as file:
                return file.read()
        except OSError as error:
            raise SourceError(f"{self.where}: image file of row {index} cannot be read: {error}") from error


def _in_cache(path: str | None) -> bool:
    """A hub set of loose image files keeps names of cached files; no other file of this machine is read."""
    from datasets import config

    roots = {os.path.realpath(root) for root in map(str, (config.HF_CACHE_HOME, config.HF_DATASETS_CACHE))}
    return bool(path) and any(os.path.realpath(str(path)).startswith(root + os.sep) for root in roots)


def _cached_size(path: str | None) -> int:
    return os.path.getsize(str(path)) if _in_cache(path) and os.path.isfile(str(path)) else 0


def _library() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra(
            f"Hugging Face sets need an optional package: pip install 'shardstream[hf]' ({error})"
        ) from error
    return datasets


def _undecoded(found: Any, where: str) -> dict[str, Table]:
    library = _library()
    splits = dict(found) if isinstance(found, Mapping) else {str(found.split or "train"): found}
    tables: dict[str, Table] = {}
    for split, dataset in splits.items():
        for name, feature in dataset.features.items():
            if isinstance(feature, library.Image):
                dataset = dataset.cast_column(name, library.Image(decode=False))
        tables[split] = ArrowTable(dataset, where, image_columns(dataset.features.arrow_schema))
    return tables


def hub_tables(name: str, options: SourceOptions) -> dict[str, Table]:
    """Split -> table of a set on the hub (downloaded, or in the cache). SourceError where it cannot be had."""
    library = _library()
    try:
        found = library.load_dataset(name, options.config, revision=options.revision)
    except (OSError, ValueError, RuntimeError) as error:
        raise SourceError(
            f"hf:{name} cannot be had from the hub: {type(error).__name__}: {error}. Check the name and the"
            " network (gated sets need a login), or give the address of a folder of its parquet files."
        ) from error
    return _undecoded(found, f"hf:{name}")


def saved_tables(url: str, options: SourceOptions) -> dict[str, Table]:
    """Split -> table of a folder written by ``save_to_disk``."""
    library = _library()
    try:
        found = library.load_from_disk(url, storage_options=dict(options.storage_options) or None)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise SourceError(
            f"{url}: the folder saved by save_to_disk cannot be read: {type(error).__name__}: {error}"
        ) from error
    return _undecoded(found, url)
