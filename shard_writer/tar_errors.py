"""Where in a tar something is wrong, and what its bytes look like instead."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import CorruptTar

_SIGNATURES = (
    (b"\x1f\x8b", "gzip data (decompress it: shards are plain tars, so that members can be read alone)"),
    (b"\x28\xb5\x2f\xfd", "zstd data (decompress it first)"),
    (b"BZh", "bzip2 data (decompress it first)"),
    (b"\xfd7zXZ\0", "xz data (decompress it first)"),
    (b"\x04\x22\x4d\x18", "lz4 data (decompress it first)"),
    (b"PK\x03\x04", "a zip archive"),
    (b"PAR1", "a Parquet file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89PNG", "a PNG image"),
    (b"version https://git-lfs", "a git-lfs pointer, not the file itself (run: git lfs pull)"),
)
_MARKUP = ((b"<!doctype html", b"<html", b"<head"), (b"<?xml", b"<error"), (b"{", b"["))
_MARKUP_NAMES = ("an HTML page (a login or error page instead of the shard?)", "an XML document (an S3 error?)", "JSON")


@dataclass(frozen=True, slots=True)
class Place:
    """A byte offset in one archive."""

    url: str
    offset: int

    def corrupt(self, expected: str, found: str) -> CorruptTar:
        """The error to raise: url, offset, what was expected, what is there."""
        return CorruptTar(
            f"{self.url}: no well-formed tar at byte {self.offset}: expected {expected}, found {found}. "
            "Copy the file again from its source, or pack it again."
        )


def looks_like(data: bytes) -> str:
    """What the first bytes of something that is no tar header look like, for a message."""
    for magic, name in _SIGNATURES:
        if data.startswith(magic):
            return name
    text = data.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for starts, name in zip(_MARKUP, _MARKUP_NAMES, strict=True):
        if text.startswith(starts):
            return name
    if not data.strip(b"\0"):
        return f"{len(data)} zero bytes"
    kind = "text" if data[:64].isascii() and data[:64].decode("ascii").isprintable() else "bytes"
    return f"{kind} {data[:24]!r}"
