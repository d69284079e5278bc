"""One copy of CIFAR as batches: from files, from an archive, or from the Hugging Face hub."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...errors import SourceError
from ..storage import open_store
from .cifar_files import ArchiveFiles, Files, StoreFiles
from .cifar_layout import CifarSpec, Layout, find_layout
from .cifar_read import (
    Batch,
    binary_batch,
    parquet_table,
    pickle_batch,
    pickle_names,
    schema_names,
    table_batch,
    text_names,
)
from .options import SourceOptions, some

HUB = "hf:"


class CifarReader(Protocol):
    """One copy of CIFAR. Picklable."""

    def splits(self) -> tuple[str, ...]: ...

    def batches(self, split: str) -> tuple[Batch, ...]:
        """All rows of a split, in official order."""
        ...

    def class_names(self) -> Mapping[str, tuple[str, ...]]: ...

    def identity(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True)
class FileReader:
    """CIFAR in official pickles, official .bin files or parquet."""

    files: Files
    layout: Layout
    spec: CifarSpec

    def splits(self) -> tuple[str, ...]:
        return tuple(self.layout.splits)

    def batches(self, split: str) -> tuple[Batch, ...]:
        decode = {"pickles": pickle_batch, "binary": binary_batch, "parquet": _parquet_batch}[self.layout.kind]
        return tuple(decode(self._read(name), name, self.spec) for name in self.layout.splits[split])

    def class_names(self) -> Mapping[str, tuple[str, ...]]:
        if self.layout.kind == "pickles":
            return pickle_names(self._read(self.spec.python_meta), self.spec.python_meta, self.spec)
        if self.layout.kind == "binary":
            return {
                column: text_names(self._read(name), name, self.spec.classes[column])
                for column, name in self.spec.binary_names.items()
            }
        name = next(iter(self.layout.splits.values()))[0]
        return schema_names(parquet_table(self._read(name), name).schema, name, self.spec)

    def identity(self) -> Mapping[str, str]:
        names = [name for split in self.layout.splits.values() for name in split]
        return {name: f"sha256:{hashlib.sha256(self._read(name)).hexdigest()}" for name in names}

    def _read(self, name: str) -> bytes:
        path = self.layout.path(name)
        try:
            return self.files.read(path)
        except FileNotFoundError as error:
            there = [
                other.rpartition("/")[2]
                for other in self.files.sizes()
                if other.rpartition("/")[0] == self.layout.folder
            ]
            raise SourceError(
                f"{self.files.where}: {path} is missing from the {self.spec.title} {self.layout.kind}; there are"
                f" {some(there, 12)}. The copy is incomplete: download it again."
            ) from error


def _parquet_batch(data: bytes, name: str, spec: CifarSpec) -> Batch:
    return table_batch(parquet_table(data, name), name, spec)


@dataclass(slots=True)
class HubReader:
    """CIFAR on the Hugging Face hub, through its own library."""

    name: str
    options: SourceOptions
    spec: CifarSpec
    _found: Mapping[str, Any] | None = field(default=None, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return (HubReader, (self.name, self.options, self.spec))

    def splits(self) -> tuple[str, ...]:
        return tuple(split for split in ("train", "test") if split in self._tables())

    def batches(self, split: str) -> tuple[Batch, ...]:
        return (table_batch(self._tables()[split].arrow(), self.name, self.spec),)

    def class_names(self) -> Mapping[str, tuple[str, ...]]:
        return schema_names(next(iter(self._tables().values())).schema, self.name, self.spec)

    def identity(self) -> Mapping[str, str]:
        return {"hub": self.name, "revision": self.options.revision or "main"}

    def _tables(self) -> Mapping[str, Any]:
        from .hf_arrow import hub_tables

        if self._found is None:
            self._found = hub_tables(self.name, self.options)
        return self._found


def open_reader(spec: CifarSpec, url: str, options: SourceOptions) -> CifarReader:
    """The one copy of ``spec`` at an address; raises SourceError where there is none or several."""
    if url.startswith(HUB):
        return HubReader(url.removeprefix(HUB), options, spec)
    folder, _, name = url.rstrip("/").rpartition("/")
    files: Files
    if name.endswith((".tar.gz", ".tgz")):
        store = open_store(folder or ("/" if url.startswith("/") else "."), options.storage_options)
        if not store.exists(name):
            raise SourceError(f"{url}: there is no such file.")
        files = ArchiveFiles(store, name)
    else:
        files = StoreFiles(open_store(url, options.storage_options))
    layout = find_layout(files, spec)
    if layout.kind == "archive":
        files = (
            ArchiveFiles(files.store, layout.path(layout.splits["archive"][0]))
            if isinstance(files, StoreFiles)
            else files
        )
        layout = find_layout(files, spec)
    return FileReader(files, layout, spec)
