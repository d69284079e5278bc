"""One 512-byte tar header, read strictly: ustar, pax and GNU magic, and the old v7 form.

Where two common readers would take different values from the same bytes, the header is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .tar_errors import Place, looks_like

BLOCK = 512
ZEROS = bytes(BLOCK)

_OCTAL = re.compile(rb" *([0-7]+)[ \0]*").fullmatch
# Every byte of the checksum field is fixed by its value, so no flipped bit in it goes unseen: "012345\0 " of nearly
# every writer, "0012345\0" (Rust), "012345 \0" (node-tar); and space padded, by writers that pad sizes so as well.
_CHECKSUM = re.compile(rb"([0-7]{6})(?:\0 | \0)|([0-7]{7})\0").fullmatch
_OLD_CHECKSUM = re.compile(rb" *([1-7][0-7]*)(?:\0 | \0|\0\0|\0)").fullmatch
_GNU_MAGIC = b"ustar  \0"
_V7_MAGIC = bytes(8)
_SIGN = 0x40  # of base-256 numbers


@dataclass(frozen=True, slots=True)
class Header:
    """What a header block says before extensions: type flag, raw name (prefix joined), size in bytes."""

    kind: bytes
    name: bytes
    size: int


def parse_header(block: bytes, at: Place) -> Header:
    """Parse one block. Raises CorruptTar on a wrong checksum (unsigned or signed), magic, size or name field."""
    _check_sum(block, at)
    name = _text(block[:100], "name", at)
    return Header(block[156:157], _prefix(block, at) + name, _number(block[124:136], at))


def _check_sum(block: bytes, at: Place) -> None:
    field = block[148:156]
    padded = block[124:125] == b" "
    match = _CHECKSUM(field) or (_OLD_CHECKSUM(field) if padded else None)
    if match is None:
        raise at.corrupt("a tar header", looks_like(block))
    stored = int(match[match.lastindex or 1], 8)
    # The sum of all bytes, with the checksum field itself as eight spaces.
    total = sum(block) - sum(field) + 8 * ord(" ")
    # Some old writers summed signed bytes.
    if stored != total and stored != total - 256 * sum(byte >= 128 for byte in block):
        raise at.corrupt(f"a header with checksum {total}", f"checksum {stored} in it (flipped bits?)")


def _prefix(block: bytes, at: Place) -> bytes:
    """The ustar first part of a long name, with its slash. GNU and v7 headers have none."""
    magic = block[257:265]
    if magic.startswith(b"ustar") and magic != _GNU_MAGIC:
        prefix = _text(block[345:500], "prefix", at)
        return prefix + b"/" if prefix else b""
    if magic not in (_GNU_MAGIC, _V7_MAGIC):
        raise at.corrupt("the magic of a ustar, GNU or v7 header", repr(magic))
    # GNU keeps times of incremental dumps here, which tarfile reads as a prefix: two readers, two names.
    if rest := block[345:].strip(b"\0"):
        raise at.corrupt("zeros from byte 345 of a GNU or v7 header", repr(rest[:24]))
    return b""


def _text(field: bytes, what: str, at: Place) -> bytes:
    text = field.rstrip(b"\0")
    if b"\0" in text:
        raise at.corrupt(f"only zeros after the end of the {what} field", repr(text))
    return text


def _number(field: bytes, at: Place) -> int:
    """A size: octal digits, or GNU's base 256 (top bit set, then a big-endian two's complement number)."""
    if field[0] & 0x80:
        if field[0] & _SIGN:
            raise at.corrupt("a size of 0 or more", f"a negative base-256 size {field!r}")
        return int.from_bytes(field, "big") - (0x80 << 88)
    if (match := _OCTAL(field)) is None:
        raise at.corrupt("an octal size", repr(field))
    return int(match[1], 8)
