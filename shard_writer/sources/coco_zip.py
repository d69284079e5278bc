"""Members of a zip by ranged reads: no archive stays open, so any process or thread reads any member at any time."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from ...errors import SourceError
from ..storage import Store

# A member as it lies in the file; sizes and checksum are taken from the central directory, which zip64 extends.
#   PK\3\4 | version flags method time date | crc, 2 sizes | name length, extra length || name | extra | stored bytes
_LOCAL = struct.Struct("<4s5H3L2H")
_SLACK = 64
"""Bytes read beyond the shortest header. The directory behind the last member is longer, so no read passes the end."""
_ENCRYPTED = 1


@dataclass(frozen=True, slots=True)
class Member:
    """Where one member lies in its archive, and what it unpacks to."""

    name: str
    offset: int
    """Of its local header."""
    stored: int
    """Bytes in the archive."""
    size: int
    """Bytes when unpacked."""
    method: int
    crc: int


def zip_members(store: Store, path: str) -> Iterator[Member]:
    """Files in a zip, from its central directory; raises SourceError for a zip that is not whole."""
    try:
        with store.open(path) as file, zipfile.ZipFile(file) as archive:
            found = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise SourceError(
            f"{store.full(path)} is no whole zip ({error}); an interrupted download? Load it again."
        ) from error
    for info in found:
        if not info.is_dir():
            yield Member(
                info.filename, info.header_offset, info.compress_size, info.file_size, info.compress_type, info.CRC
            )


def read_member(store: Store, path: str, member: Member) -> bytes:
    """A member's bytes, checked against the directory's size and checksum; mostly one ranged read.

    Raises SourceError for a damaged or encrypted member, and for methods other than stored and deflated.
    """
    where = f"{store.full(path)}: member {member.name}"
    data = store.read(path, member.offset, member.offset + _LOCAL.size + len(member.name) + _SLACK + member.stored)
    signature, _, flags, *_, names, extra = _LOCAL.unpack_from(data)
    if signature != b"PK\x03\x04":
        raise SourceError(f"{where} is damaged: no header at offset {member.offset}. Load the archive again.")
    if flags & _ENCRYPTED:
        raise SourceError(f"{where} is encrypted; unpack the archive with its password.")
    start = _LOCAL.size + names + extra
    if start + member.stored > len(data):
        data += store.read(path, member.offset + len(data), member.offset + start + member.stored)
    unpacked = _unpack(data[start : start + member.stored], member, where)
    if len(unpacked) != member.size or zlib.crc32(unpacked) != member.crc:
        raise SourceError(
            f"{where} is damaged: {len(unpacked):,} bytes of crc {zlib.crc32(unpacked):08x}, the archive's directory"
            f" says {member.size:,} of {member.crc:08x}. Load the archive again."
        )
    return unpacked


def _unpack(stored: bytes, member: Member, where: str) -> bytes:
    if member.method == zipfile.ZIP_STORED:
        return stored
    if member.method != zipfile.ZIP_DEFLATED:
        raise SourceError(f"{where} is packed with method {member.method}, not stored or deflated; unpack the archive.")
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(stored, member.size + 1)
    except zlib.error as error:
        raise SourceError(f"{where} is damaged: {error}. Load the archive again.") from error
