"""A strict tar reader: the members of an archive, or an error; never fewer members than there are.

Python's ``tarfile`` ends silently at a damaged header, recurses on extended headers and has looped for ever
(CVE-2025-8194); a shard must not. Here every header needs its checksum, every archive its two zero blocks, and
whatever two common readers would read differently is refused. Memory is constant, time linear, nothing recurses.

What tar itself cannot notice: it has no checksum over payloads and over the blocks that hold long names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from .tar_errors import Place, looks_like
from .tar_extension import Extension, check_global, gnu_long_name, pax_extension
from .tar_header import BLOCK, ZEROS, Header, parse_header
from .tar_names import name_fault, without_dot_slash
from .tar_window import Window

_CHUNK = 1024 * 1024
_REGULAR = (b"0", b"\0", b"7")  # '7' is a file that an old Unix kept contiguous
_REFUSED = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a FIFO",
    b"D": "a GNU incremental directory",
    b"K": "a GNU long link name",
    b"M": "a GNU multi-volume continuation",
    b"S": "a GNU sparse file",
    b"V": "a GNU volume label",
}


@dataclass(frozen=True, slots=True)
class TarMember:
    """A regular file in an archive: name without ``./``, offset and size of its payload in bytes."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TarLimits:
    """What one archive may hold before it is taken for an attack."""

    members: int = 50_000_000
    """Regular files, directories and extended headers together."""
    payload_bytes: int = 1 << 44
    """Sum of all payloads, 16 TiB."""
    name_bytes: int = 4096
    extension_bytes: int = 1 << 20
    """One pax or GNU long-name header."""


def scan(file: IO[bytes], *, url: str, size: int, limits: TarLimits = TarLimits()) -> Iterator[TarMember]:
    """Yield the regular files of an archive of ``size`` bytes, in order; directories are passed over.

    ``file`` is any seekable binary file; payloads are not read. Raises CorruptTar, naming url, offset, what was
    expected and what is there, for everything but a whole, unambiguous archive of at least one regular file, and
    StorageError where reading fails. Members are yielded as they are found: only a scan that ends has proved them.
    """
    window = Window(file, url, size)
    members = payload = 0
    for at, header, extension in _entries(window, limits):
        member = _member(at, header, extension, limits)
        payload += header.size
        if payload > limits.payload_bytes:
            raise at.corrupt(f"at most {limits.payload_bytes} payload bytes", f"{payload} up to here")
        if member is not None:
            members += 1
            yield member
    if not members:
        raise Place(url, 0).corrupt("an archive with members", "one that holds no member")


def _entries(window: Window, limits: TarLimits) -> Iterator[tuple[Place, Header, Extension]]:
    """Each member's header with its true size, and what extends it; then check how the archive ends."""
    offset, count = 0, 0
    extension: Extension | None = None
    while (block := _header_block(window, offset)) != ZEROS:
        at = Place(window.url, offset)
        header = parse_header(block, at)
        if (count := count + 1) > limits.members:
            raise at.corrupt(f"at most {limits.members} headers", "one more")
        if header.kind in (b"x", b"g", b"L"):
            extension = _extend(window, at, header, extension, limits)
        else:
            extension = extension or Extension()
            header = _sized(header, extension)
            _check_kind(header, at)
            _check_fits(window, at, header)
            yield at, header, extension
            extension = None
        offset += BLOCK + -(-header.size // BLOCK) * BLOCK
    if extension is not None:
        raise Place(window.url, offset).corrupt("the member that the extended header before belongs to", "zeros")
    _check_end(window, offset)


def _header_block(window: Window, offset: int) -> bytes:
    """The block at ``offset``; a first block that is too short is named by what it looks like."""
    if offset == 0 and window.size < BLOCK:
        start = window.read(0, window.size, "a tar header")
        raise Place(window.url, 0).corrupt("a tar header of 512 bytes", looks_like(start) if start else "an empty file")
    return window.read(offset, BLOCK, "a tar header or the two zero blocks that end an archive")


def _extend(
    window: Window, at: Place, header: Header, pending: Extension | None, limits: TarLimits
) -> Extension | None:
    """Read an extended header; readers disagree about two for one member, so that is refused."""
    if pending is not None:
        raise at.corrupt("the member that the extended header before belongs to", "another extended header")
    if header.size > limits.extension_bytes:
        raise at.corrupt(f"an extended header of at most {limits.extension_bytes} bytes", f"{header.size} bytes")
    padded = window.read(at.offset + BLOCK, -(-header.size // BLOCK) * BLOCK, "an extended header")
    data, rest = padded[: header.size], padded[header.size :]
    if rest.strip(b"\0"):  # tarfile would go on reading records there
        raise at.corrupt("zeros after the extended header's records", repr(rest[:24]))
    if header.kind == b"g":
        check_global(data, at)
        return None
    return pax_extension(data, at) if header.kind == b"x" else gnu_long_name(data, at)


def _sized(header: Header, extension: Extension) -> Header:
    return header if extension.size is None else Header(header.kind, header.name, extension.size)


def _check_kind(header: Header, at: Place) -> None:
    if header.kind not in _REGULAR and header.kind != b"5":
        found = _REFUSED.get(header.kind, f"type {header.kind!r}")
        raise at.corrupt("a regular file or directory", f"{found}, {header.name!r}")


def _check_fits(window: Window, at: Place, header: Header) -> None:
    start = at.offset + BLOCK
    if start + header.size > window.size:
        left = window.size - start
        raise at.corrupt(f"a payload within the file's {window.size} bytes", f"size {header.size} with {left} left")


def _member(at: Place, header: Header, extension: Extension, limits: TarLimits) -> TarMember | None:
    """The regular file that a header describes; None for a directory."""
    name = _name(at, extension.path or header.name, limits)
    # v7 wrote a directory as a file whose name ends with a slash.
    directory = header.kind == b"5" or (header.kind == b"\0" and name.endswith("/"))
    name = without_dot_slash(name)
    fault = name_fault(_folder(name) if directory else name)
    if fault or (header.kind == b"\0" and header.name.endswith(b"/") != directory):
        raise at.corrupt("a usable member name", f"{name[:200]!r}: {fault or 'file or directory?'}")
    if not directory:
        return TarMember(name, at.offset + BLOCK, header.size)
    if header.size:
        raise at.corrupt("a directory without payload", f"{name[:200]!r} with {header.size} bytes")
    return None


def _folder(name: str) -> str:
    """A directory's name as a file's would be; ``.`` and ``./`` are the archive's own root."""
    return "root" if name in ("", ".") else name.rstrip("/") or name


def _name(at: Place, raw: bytes, limits: TarLimits) -> str:
    if len(raw) > limits.name_bytes:
        raise at.corrupt(f"a name of at most {limits.name_bytes} bytes", f"{len(raw)} bytes")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise at.corrupt("a name in UTF-8", f"{raw[:200]!r} ({error.reason} at {error.start})") from error


def _check_end(window: Window, offset: int) -> None:
    """Two zero blocks, then zeros alone, in whole blocks."""
    if window.read(offset + BLOCK, BLOCK, "the second of two zero blocks that end an archive") != ZEROS:
        found = "one zero block, then data (a header overwritten by zeros?)"
        raise Place(window.url, offset).corrupt("a header, or two zero blocks at the end", found)
    for start in range(offset + 2 * BLOCK, window.size, _CHUNK):
        chunk = window.read(start, min(_CHUNK, window.size - start), "zeros")
        if data := chunk.lstrip(b"\0"):
            at = Place(window.url, start + len(chunk) - len(data))
            raise at.corrupt("zeros after the end of the archive", f"{looks_like(data)} (two archives joined?)")
    if window.size % BLOCK:
        raise Place(window.url, window.size).corrupt("whole blocks of 512 bytes", f"{window.size % BLOCK} bytes more")
