"""``Store``: files below one address, on fsspec. Every byte this library reads or writes passes here."""

from __future__ import annotations

import errno
import io
import mmap
import os
import shutil
import stat
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import fsspec
from fsspec.spec import AbstractFileSystem

from ...errors import MissingExtra, OptionError, StorageError
from .address import join, normal, relative
from .address import scheme_of as scheme_of
from .mounts import mount_of, read_in_sequence


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored file: path relative to the store, size in bytes."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Whole:
    """A file's bytes, as a buffer and as a seekable file."""

    data: memoryview
    file: IO[bytes]


def _filesystem(scheme: str, options: Mapping[str, Any]) -> AbstractFileSystem:
    # Instance and listing caches of fsspec serve stale sizes and are shared across forks: both off.
    quiet: dict[str, Any] = {"skip_instance_cache": True} if scheme != "memory" else {}
    if scheme != "file":
        quiet["use_listings_cache"] = False
    try:
        made = cast("AbstractFileSystem", fsspec.filesystem(scheme, **quiet, **options))
        if scheme == "s3":
            made.connect()  # s3fs looks at its options here: not in the middle of the work
        return made
    except ImportError as error:
        extra = {"s3": "s3", "http": "http", "https": "http"}.get(scheme, scheme)
        raise MissingExtra(
            f"{scheme}:// needs an optional package: pip install 'shardstream[{extra}]' ({error})"
        ) from error
    except TypeError as error:
        raise OptionError(f"storage options {', '.join(options)} are not all known to {scheme}://: {error}") from error


def _client_faults() -> tuple[type[Exception], ...]:
    """What the clients raise when a store fails; botocore and aiohttp do not always raise an OSError."""
    faults: list[type[Exception]] = [OSError]
    for module, names in (("botocore.exceptions", ("BotoCoreError", "ClientError")), ("aiohttp", ("ClientError",))):
        if module in sys.modules:
            faults += [getattr(sys.modules[module], name) for name in names]
    return tuple(faults)


def _local_files(folder: Path, root: Path) -> list[Entry]:
    """Files below a folder, through symbolic links too (fsspec drops linked files without a word).

    Raises OSError for a link to nothing, and for a link to a folder above it, which would never end.
    """
    found: list[Entry] = []
    above: dict[Path, tuple[str, ...]] = {folder: (os.path.realpath(folder),)}
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_unless_absent):
        parents = above.pop(Path(place))
        for name in folders:
            real = os.path.realpath(os.path.join(place, name))
            if real in parents:
                raise OSError(errno.ELOOP, "a link leads to a folder above it", os.path.join(place, name))
            above[Path(place, name)] = (*parents, real)
        files = [Path(place, name) for name in names]
        found += [
            Entry(file.relative_to(root).as_posix(), file.stat().st_size) for file in files if not _is_special(file)
        ]
    return sorted(found, key=lambda entry: entry.path)


def _unless_absent(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _is_special(file: Path) -> bool:
    """Sockets, pipes and devices hold no data; a broken link is not special but an error."""
    return not stat.S_ISREG(file.stat().st_mode)


@dataclass(slots=True)
class Store:
    """Files below one address.

    Writes are atomic: a file appears whole under its name or not at all. Picklable and fork-safe: the client is
    made lazily, once per process. Options are passed to the fsspec filesystem (``key``, ``secret``,
    ``endpoint_url`` ... for S3) and never shown by ``repr``.
    """

    url: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    _fs: AbstractFileSystem | None = field(default=None, init=False, repr=False, compare=False)
    _pid: int = field(default=0, init=False, repr=False, compare=False)
    _on_mount: bool | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.url = normal(self.url)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Store, (self.url, dict(self.options)))

    @property
    def scheme(self) -> str:
        return scheme_of(self.url)

    @property
    def is_local(self) -> bool:
        return self.scheme == "file"

    @property
    def is_mapped(self) -> bool:
        """Whether files may be mapped: they are local, and not on a FUSE mount, which is read in sequence."""
        if self._on_mount is None:
            mount = mount_of(self.url) if self.is_local else None
            self._on_mount = mount is not None and mount.is_fuse
        return self.is_local and not self._on_mount

    @property
    def fs(self) -> AbstractFileSystem:
        """The fsspec filesystem of this process."""
        if self._fs is None or self._pid != os.getpid():
            self._fs = _filesystem(self.scheme, self.options)
            self._pid = os.getpid()
        return self._fs

    def full(self, path: str = "") -> str:
        """Absolute address of a relative path."""
        return join(self.url, relative(path)) if path else self.url

    def local_path(self, path: str = "") -> Path | None:
        """The file on local disk, None for remote stores."""
        return Path(self.full(path)) if self.is_local else None

    @contextmanager
    def _named(self, doing: str, path: str) -> Iterator[None]:
        """Turn a client's failure into a StorageError with the address; an absent file stays FileNotFoundError."""
        try:
            yield
        except (FileNotFoundError, StorageError):
            raise
        except _client_faults() as error:
            raise StorageError(f"cannot {doing} {self.full(path)}: {error}") from error

    def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        """Bytes [start, end) of a file; a short answer is an error, never a short result."""
        full = self.full(path)
        if start < 0 or (end is not None and end < start):
            raise OptionError(f"{full}: cannot read bytes {start}..{end}; a range needs 0 <= start <= end.")
        if end == start:
            return b""  # HTTP ranges include their last byte: none of them is empty
        with self._named("read", path):
            if self.is_local and not self.is_mapped:
                return read_in_sequence(full, start, end)
            if start == 0 and end is None:
                return cast("bytes", self.fs.cat_file(full))
            data = cast("bytes", self.fs.cat_file(full, start=start, end=end))
        if end is not None and len(data) != end - start:
            raise StorageError(f"{full}: asked for bytes {start}..{end}, got {len(data)} of {end - start}.")
        return data

    def size(self, path: str) -> int:
        """Size of a file in bytes; raises FileNotFoundError."""
        with self._named("look at", path):
            return int(self.fs.info(self.full(path))["size"])

    def exists(self, path: str) -> bool:
        """Whether there is such a file. A store that does not answer raises StorageError: it is not 'no'."""
        try:
            with self._named("look at", path):
                local = self.local_path(path)
                return local.is_file() if local else bool(self.fs.info(self.full(path))["type"] == "file")
        except FileNotFoundError:
            return False

    def files(self, path: str = "") -> list[Entry]:
        """All files below ``path``, recursively, sorted by name; empty where there is no such folder."""
        base = self.full(path)
        if self.is_local:
            with self._named("list", path):
                return _local_files(Path(base), Path(self.url))
        try:
            with self._named("list", path):
                found = self.fs.find(base, detail=True)
        except FileNotFoundError:
            return []
        root = cast("str", self.fs._strip_protocol(self.url)).rstrip("/") + "/"
        entries = [
            Entry(name.removeprefix(root), int(info["size"])) for name, info in found.items() if info["type"] == "file"
        ]
        return sorted(entries, key=lambda entry: entry.path)

    @contextmanager
    def whole(self, path: str) -> Iterator[Whole]:
        """All bytes of a file: mapped where it is on a disk, read into memory where it is remote or on a mount."""
        local = self.local_path(path)
        if local is None or not self.is_mapped:
            data = self.read(path)
            yield Whole(memoryview(data), io.BytesIO(data))
            return
        with open(local, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            # An empty file cannot be mapped. The mapping is closed by its last view, not here.
            yield Whole(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""), file)

    def open(self, path: str) -> IO[bytes]:
        """A readable, seekable binary file."""
        with self._named("open", path):
            return cast("IO[bytes]", self.fs.open(self.full(path), "rb"))

    def write(self, path: str, data: bytes) -> None:
        """Put a small file, atomically."""
        if not self.is_local:
            with self._named("write", path):
                self.fs.pipe_file(self.full(path), data)
            return
        temporary = self.scratch(path)
        try:
            with self._named("write", path), open(temporary, "wb") as file:
                file.write(data)
            self.publish(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def scratch(self, path: str) -> Path:
        """A local file name to build ``path`` in before ``publish``: beside it where the store is local, so that
        the rename is atomic, else in the temporary folder.
        """
        target = Path(self.full(path))
        unique = f".{target.name}.{uuid.uuid4().hex}.tmp"
        if not self.is_local:
            return Path(tempfile.gettempdir()) / unique
        with self._named("write", path):
            target.parent.mkdir(parents=True, exist_ok=True)
        return target.parent / unique

    def publish(self, local: Path, path: str) -> None:
        """Move a finished local file to its final name, atomically; S3 uploads appear only when whole.
        Where that fails, the local file stays.
        """
        with self._named("write", path):
            if self.is_local:
                with open(local, "rb") as file:
                    os.fsync(file.fileno())
                os.replace(local, self.full(path))
            else:
                self.fs.put_file(str(local), self.full(path))
                local.unlink()

    def delete(self, path: str) -> None:
        """Remove a file or a whole folder; no error where there is none."""
        with self._named("delete", path), suppress(FileNotFoundError):
            if not self.is_local:
                self.fs.rm(self.full(path), recursive=True)
                return
            target = Path(self.full(path))
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink()


def open_store(url: str | os.PathLike[str] | Store, options: Mapping[str, Any] | None = None) -> Store:
    """A Store for an address: local path, ``file://``, ``s3://``, ``http(s)://``."""
    return url if isinstance(url, Store) else Store(os.fspath(url), options or {})
