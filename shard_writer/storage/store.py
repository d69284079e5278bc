"""``Store``: files below one address, on fsspec. Every byte this library reads or writes passes here."""

from __future__ import annotations

import io
import mmap
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import braceexpand
import fsspec
from fsspec.spec import AbstractFileSystem

from ...errors import MissingExtra, OptionError, StorageError

# A closed list: manifests and index files are data, and must not reach ``pipe:``, ``reference:`` or chained
# ``::`` addresses (fsspec CVE-2026-104851).
SCHEMES = ("file", "s3", "http", "https", "memory")
MAX_EXPANSION = 1_000_000


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


def scheme_of(url: str) -> str:
    """``s3`` for ``s3://bucket/x``, ``file`` for a plain path. Raises OptionError for schemes outside the list."""
    if "::" in url:
        raise OptionError(f"chained address {url!r}: '::' is not allowed. Copy the data to a plain address first.")
    match = re.match(r"^([A-Za-z][A-Za-z0-9+.-]*):", url)
    scheme = match.group(1).lower() if match else "file"
    if scheme not in SCHEMES:
        raise OptionError(f"scheme {scheme!r} of {url!r} is not one of {', '.join(SCHEMES)}.")
    return scheme


def join(url: str, *parts: str) -> str:
    """Append relative path parts to an address."""
    return "/".join([url.rstrip("/"), *(part.strip("/") for part in parts)]) if parts else url


def expand(pattern: str) -> list[str]:
    """Expand ``{000..042}`` braces, at most a million addresses."""
    span = re.findall(r"\{(\d+)\.\.(\d+)", pattern)
    bound = 1
    for low, high in span:
        bound *= abs(int(high) - int(low)) + 1
    if bound > MAX_EXPANSION:
        raise OptionError(f"{pattern!r} expands to {bound:,} addresses, more than {MAX_EXPANSION:,}.")
    urls: list[str] = []
    for url in braceexpand.braceexpand(pattern):
        urls.append(url)
        if len(urls) > MAX_EXPANSION:
            raise OptionError(f"{pattern!r} expands to more than {MAX_EXPANSION:,} addresses.")
    return urls


def _filesystem(scheme: str, options: Mapping[str, Any]) -> AbstractFileSystem:
    # Instance and listing caches of fsspec serve stale sizes and are shared across forks: both off.
    quiet: dict[str, Any] = {"skip_instance_cache": True} if scheme != "memory" else {}
    if scheme != "file":
        quiet["use_listings_cache"] = False
    try:
        return cast(AbstractFileSystem, fsspec.filesystem(scheme, **quiet, **options))
    except ImportError as error:
        extra = {"s3": "s3", "http": "http", "https": "http"}.get(scheme, scheme)
        raise MissingExtra(f"{scheme}:// needs an optional package: pip install 'shardstream[{extra}]' ({error})") from error


def _relative(path: str) -> str:
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or "\0" in path:
        raise OptionError(f"path {path!r} leaves its store: it must be relative, without '..'.")
    return path


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

    def __post_init__(self) -> None:
        self.url = self.url.rstrip("/") or "/"
        if scheme_of(self.url) == "file":
            self.url = os.path.abspath(self.url.removeprefix("file://"))

    def __reduce__(self) -> tuple[Any, ...]:
        return (Store, (self.url, dict(self.options)))

    @property
    def scheme(self) -> str:
        return scheme_of(self.url)

    @property
    def is_local(self) -> bool:
        return self.scheme == "file"

    @property
    def fs(self) -> AbstractFileSystem:
        """The fsspec filesystem of this process."""
        if self._fs is None or self._pid != os.getpid():
            self._fs = _filesystem(self.scheme, self.options)
            self._pid = os.getpid()
        return self._fs

    def full(self, path: str = "") -> str:
        """Absolute address of a relative path."""
        return join(self.url, _relative(path)) if path else self.url

    def local_path(self, path: str = "") -> Path | None:
        """The file on local disk, None for remote stores."""
        return Path(self.full(path)) if self.is_local else None

    def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        """Bytes [start, end) of a file; a short answer is an error, never a short result."""
        try:
            if start == 0 and end is None:
                return cast(bytes, self.fs.cat_file(self.full(path)))
            data = cast(bytes, self.fs.cat_file(self.full(path), start=start, end=end))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StorageError(f"cannot read {self.full(path)}: {error}") from error
        if end is not None and len(data) != end - start:
            raise StorageError(f"{self.full(path)}: asked for bytes {start}..{end}, got {len(data)} of {end - start}.")
        return data

    def size(self, path: str) -> int:
        """Size of a file in bytes; raises FileNotFoundError."""
        return int(self.fs.info(self.full(path))["size"])

    def exists(self, path: str) -> bool:
        return bool(self.fs.isfile(self.full(path)))

    def files(self, path: str = "") -> list[Entry]:
        """All files below ``path``, recursively, sorted by name; empty where there is no such folder."""
        base = self.full(path)
        try:
            found = self.fs.find(base, detail=True)
        except FileNotFoundError:
            return []
        root = cast(str, self.fs._strip_protocol(self.url)).rstrip("/") + "/"
        entries = [Entry(name.removeprefix(root), int(info["size"])) for name, info in found.items() if info["type"] == "file"]
        return sorted(entries, key=lambda entry: entry.path)

    @contextmanager
    def whole(self, path: str) -> Iterator[Whole]:
        """All bytes of a file: mapped where it is local, downloaded where not."""
        local = self.local_path(path)
        if local is None:
            data = self.read(path)
            yield Whole(memoryview(data), io.BytesIO(data))
            return
        with open(local, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            # An empty file cannot be mapped. The mapping is closed by its last view, not here.
            yield Whole(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""), file)

    def open(self, path: str) -> IO[bytes]:
        """A readable, seekable binary file."""
        return cast(IO[bytes], self.fs.open(self.full(path), "rb"))

    def write(self, path: str, data: bytes) -> None:
        """Put a small file, atomically."""
        if not self.is_local:
            self._remote(lambda: self.fs.pipe_file(self.full(path), data), path)
            return
        temporary = self.scratch(path)
        try:
            with open(temporary, "wb") as file:
                file.write(data)
            self.publish(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def scratch(self, path: str) -> Path:
        """A local file name to build ``path`` in before ``publish``: beside it where the store is local, so that
        the rename is atomic, else in the temporary folder."""
        unique = f".{path.rsplit('/', 1)[-1]}.{uuid.uuid4().hex}.tmp"
        if not self.is_local:
            return Path(tempfile.gettempdir()) / unique
        target = Path(self.full(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        return target.parent / unique

    def publish(self, local: Path, path: str) -> None:
        """Move a finished local file to its final name, atomically; S3 uploads appear only when whole."""
        if not self.is_local:
            self._remote(lambda: self.fs.put_file(str(local), self.full(path)), path)
            local.unlink()
            return
        with open(local, "rb") as file:
            os.fsync(file.fileno())
        os.replace(local, self.full(path))

    def delete(self, path: str) -> None:
        """Remove a file or a whole folder; no error where there is none."""
        if self.is_local:
            target = Path(self.full(path))
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
        elif self.fs.exists(self.full(path)):
            self.fs.rm(self.full(path), recursive=True)

    def _remote(self, act: Any, path: str) -> None:
        try:
            act()
        except OSError as error:
            raise StorageError(f"cannot write {self.full(path)}: {error}") from error


def open_store(url: str | os.PathLike[str] | Store, options: Mapping[str, Any] | None = None) -> Store:
    """A Store for an address: local path, ``file://``, ``s3://``, ``http(s)://``."""
    return url if isinstance(url, Store) else Store(os.fspath(url), options or {})
