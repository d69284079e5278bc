"""Deterministic tar bytes: the same name and size give the same header on every machine and version.

A shard is  header | payload | padding | header | payload | padding | ... | END.

Layout: POSIX.1-1988 ustar, IEEE Std 1003.1-2017 "pax" for what ustar cannot hold. Owner, times and user names are zero
or empty, so nothing of the packing machine is in the bytes.
"""

from __future__ import annotations

from ..errors import OptionError
from .tar_names import name_fault

BLOCK = 512
END = bytes(2 * BLOCK)
"""The two zero blocks that close an archive."""

_MAX_NAME = 100
_MAX_PREFIX = 155
_MAX_USTAR_SIZE = 8**11 - 1  # eleven octal digits: 8 GiB - 1

#   name 100 | mode 8 | uid 8 | gid 8 | size 12 | mtime 12 | checksum 8 | type 1 | link 100 |
#   "ustar\0" "00" | uname 32 | gname 32 | device 16 | prefix 155 | 12 unused
_OWNER = b"0000644\0" + b"0000000\0" * 2
_MTIME = b"\0" + b"00000000000\0"  # the size's terminator, then the time
_MAGIC = bytes(100) + b"ustar\x0000" + bytes(32 + 32 + 16)
_FILE_TAIL = b"\0 0" + _MAGIC  # the checksum's terminators, then type '0'
_PAX_TAIL = b"\0 x" + _MAGIC
# The checksum is the sum of all bytes, with the checksum field itself as eight spaces.
_CONSTANT = sum(_OWNER) + sum(_MTIME) + 8 * ord(" ") + sum(_MAGIC)
_FILE_SUM = _CONSTANT + ord("0")
_PAX_SUM = _CONSTANT + ord("x")
_NO_PREFIX = bytes(_MAX_PREFIX + 12)
_PLAIN_TAIL = _FILE_TAIL + _NO_PREFIX


def member_header(name: str, size: int) -> bytes:
    """The header of a regular file: 512 bytes, or a pax extended header before them where ustar is too small.

    A function of its arguments alone; mode 0644, owner 0, time 0. Pax is used for names that are not ASCII or cannot
    be split into ustar's prefix and name, and for sizes of 8 GiB or more. Raises OptionError for a name that readers
    would refuse or change (empty, absolute, ``..``, ``./``, control characters, trailing slash) and negative sizes.
    """
    if (fault := name_fault(name)) or name.startswith("./") or size < 0:
        fault = fault or ("its size is negative" if size < 0 else "readers drop the leading './'")
        raise OptionError(f"member {name!r} of {size} bytes cannot be written: {fault}. Change its key or extension.")
    if name.isascii() and size <= _MAX_USTAR_SIZE:
        raw = name.encode("ascii")
        if len(raw) <= _MAX_NAME:
            octal = b"%011o" % size
            total = _FILE_SUM + sum(raw) + sum(octal)
            return b"".join((raw.ljust(100, b"\0"), _OWNER, octal, _MTIME, b"%06o" % total, _PLAIN_TAIL))
        if split := _split(raw):
            return _ustar(split[1], size, prefix=split[0])
    return _with_pax(name, size)


def padding(size: int) -> bytes:
    """The zero bytes that fill a payload of ``size`` bytes up to whole blocks."""
    return bytes(-size % BLOCK)


def _ustar(raw: bytes, size: int, *, prefix: bytes = b"", pax: bool = False) -> bytes:
    octal = b"%011o" % size
    total = (_PAX_SUM if pax else _FILE_SUM) + sum(raw) + sum(octal) + sum(prefix)
    tail = _PAX_TAIL if pax else _FILE_TAIL
    start = raw.ljust(_MAX_NAME, b"\0") + _OWNER + octal + _MTIME
    return start + b"%06o" % total + tail + prefix.ljust(_MAX_PREFIX + 12, b"\0")


def _split(raw: bytes) -> tuple[bytes, bytes] | None:
    """Split at a slash into a prefix of at most 155 and a name of at most 100 bytes; the slash is not stored."""
    at = raw.rfind(b"/", 0, _MAX_PREFIX + 1)
    prefix, name = raw[:at], raw[at + 1 :]
    return (prefix, name) if at > 0 and len(name) <= _MAX_NAME else None


def _with_pax(name: str, size: int) -> bytes:
    records = b""
    if not name.isascii() or len(name) > _MAX_NAME:
        records += _record(b"path", name.encode())
    if size > _MAX_USTAR_SIZE:
        records += _record(b"size", b"%d" % size)
        size = 0  # as tarfile and GNU tar write it: a reader that ignores pax then fails at the next header
    short = name.encode("ascii", "replace")[:_MAX_NAME]
    extension = _ustar(b"././@PaxHeader", len(records), pax=True) + records + padding(len(records))
    return extension + _ustar(short, size)


def _record(keyword: bytes, value: bytes) -> bytes:
    """``length keyword=value`` and a newline, where the length counts its own digits."""
    body = b" %b=%b\n" % (keyword, value)
    length = len(body)
    while (total := len(body) + len(str(length))) != length:
        length = total
    return b"%d" % length + body
