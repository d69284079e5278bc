"""Headers that only extend the next one: pax ``x`` and ``g``, GNU ``L``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .tar_errors import Place

# No leading zero, at most seven digits: records stand in at most a few MB.
_LENGTH = re.compile(rb"([1-9][0-9]{0,6}) ").match
_SIZE = re.compile(rb"[0-9]{1,19}").fullmatch
_OURS = (b"path", b"size")


@dataclass(frozen=True, slots=True)
class Extension:
    """What the next member's header says elsewhere; None where its own header holds."""

    path: bytes | None = None
    size: int | None = None


def pax_records(data: bytes, at: Place) -> dict[bytes, bytes]:
    """All ``length keyword=value`` records, in linear time. Raises CorruptTar where they do not fill ``data``."""
    records: dict[bytes, bytes] = {}
    start = 0
    while start < len(data):
        match = _LENGTH(data, start)
        end = start + int(match[1]) if match else 0
        keyword, equals, value = data[match.end() : end - 1].partition(b"=") if match else (b"", b"", b"")
        if not keyword or not equals or data[end - 1 : end] != b"\n":
            raise at.corrupt("a pax record 'length keyword=value'", f"{data[start : start + 24]!r} in the pax header")
        if keyword in records and keyword in _OURS:
            raise at.corrupt(f"one pax {keyword.decode()}", f"two: {records[keyword][:64]!r} and {value[:64]!r}")
        records[keyword] = value
        start = end
    return records


def pax_extension(data: bytes, at: Place) -> Extension:
    """Path and size of an ``x`` header; other keywords (times, owners, comments) do not concern us."""
    records = pax_records(data, at)
    _no_sparse(records, at)
    path, size = (records.get(keyword) for keyword in _OURS)
    if path == b"" or (size is not None and not _SIZE(size)):
        raise at.corrupt("a pax path that is not empty and a decimal pax size", f"path {path!r}, size {size!r}")
    return Extension(path, None if size is None else int(size))


def check_global(data: bytes, at: Place) -> None:
    """Accept a ``g`` header that changes nothing we report.

    A path or size for all members is refused: GNU tar, tarfile and POSIX disagree about what it means.
    """
    records = pax_records(data, at)
    _no_sparse(records, at)
    if found := [keyword.decode() for keyword in _OURS if keyword in records]:
        raise at.corrupt("a global pax header without path and size", f"{' and '.join(found)} in it")


def gnu_long_name(data: bytes, at: Place) -> Extension:
    """The name in an ``L`` header, without its closing NUL."""
    path = data.removesuffix(b"\0")
    if not path:
        raise at.corrupt("a GNU long name", "an empty one")
    return Extension(path)


def _no_sparse(records: dict[bytes, bytes], at: Place) -> None:
    if found := [keyword for keyword in records if keyword.startswith((b"GNU.sparse.", b"SCHILY.realsize"))]:
        raise at.corrupt("a regular file", f"a sparse file (pax record {found[0][:64]!r})")
