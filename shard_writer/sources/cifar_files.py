"""The files of a CIFAR copy, whether they lie in a folder or inside the official ``.tar.gz``."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...errors import CorruptTar, SourceError
from ..storage import Store
from ..tar_read import scan

MAX_UNPACKED = 1 << 30
"""The official archives unpack to 186 MB; a gzip file may claim a thousand times its size."""
_CHUNK = 1 << 16


class Files(Protocol):
    """Named files, read whole. Picklable."""

    @property
    def where(self) -> str:
        """Address for messages."""
        ...

    def sizes(self) -> Mapping[str, int]:
        """Name -> bytes."""
        ...

    def read(self, name: str) -> bytes:
        """All bytes of a file; raises FileNotFoundError."""
        ...


@dataclass(frozen=True, slots=True)
class StoreFiles:
    """The files below an address."""

    store: Store

    @property
    def where(self) -> str:
        return self.store.url

    def sizes(self) -> dict[str, int]:
        return {entry.path: entry.size for entry in self.store.files()}

    def read(self, name: str) -> bytes:
        return self.store.read(name)


@dataclass(slots=True)
class ArchiveFiles:
    """The files inside a ``.tar.gz``, unpacked in memory once per process; nothing is written to disk."""

    store: Store
    name: str
    _members: dict[str, memoryview] | None = field(default=None, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return (ArchiveFiles, (self.store, self.name))

    @property
    def where(self) -> str:
        return self.store.full(self.name)

    def members(self) -> dict[str, memoryview]:
        if self._members is None:
            self._members = self._unpack()
        return self._members

    def sizes(self) -> dict[str, int]:
        return {name: len(view) for name, view in self.members().items()}

    def read(self, name: str) -> bytes:
        if name not in self.members():
            raise FileNotFoundError(name)
        return bytes(self.members()[name])

    def _unpack(self) -> dict[str, memoryview]:
        data = gunzip(self.store, self.name)
        try:
            found = list(scan(io.BytesIO(data), url=self.where, size=len(data)))
        except CorruptTar as error:
            raise SourceError(f"{self.where}: its gzip layer is whole, the tar inside is not: {error}") from error
        view = memoryview(data)
        return {member.name.removeprefix("./"): view[member.offset : member.offset + member.size] for member in found}


def gunzip(store: Store, name: str) -> bytes:
    """Unpack a gzip file in memory, at most ``MAX_UNPACKED`` bytes; SourceError where it is cut short or damaged."""
    unpacked = bytearray()
    where, size = store.full(name), store.size(name)
    try:
        with store.open(name) as file, gzip.GzipFile(fileobj=file) as stream:
            while chunk := stream.read(_CHUNK):
                unpacked += chunk
                if len(unpacked) > MAX_UNPACKED:
                    raise SourceError(
                        f"{where}: {size:,} bytes unpack to over {MAX_UNPACKED:,}; no CIFAR archive does."
                    )
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SourceError(
            f"{where}: the archive of {size:,} bytes breaks after {len(unpacked):,} unpacked bytes ({error})."
            " The download was probably cut short: download it again."
        ) from error
    return bytes(unpacked)
