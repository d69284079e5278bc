"""Addresses as text: which schemes are allowed, how parts join, what brace patterns stand for. No I/O."""

from __future__ import annotations

import os
import re
import string

import braceexpand

from ...errors import OptionError

# A closed list: manifests and index files are data, and must not reach ``pipe:``, ``reference:`` or chained
# ``::`` addresses (fsspec CVE-2026-104851).
SCHEMES = ("file", "s3", "http", "https", "memory")
MAX_EXPANSION = 1_000_000

_STEP = r"(?:\.\.-?(\d+))?"
_PIECES = re.compile(
    rf"\\. | \{{(-?\d+)\.\.(-?\d+){_STEP}\}} | \{{([A-Za-z])\.\.([A-Za-z]){_STEP}\}} | [{{}},]", re.VERBOSE | re.DOTALL
)
_LETTERS = string.ascii_uppercase + string.ascii_lowercase  # the alphabet that braceexpand counts in


def scheme_of(url: str) -> str:
    """``s3`` for ``s3://bucket/x``, ``file`` for a plain path. Raises OptionError for schemes outside the list."""
    if "::" in url:
        raise OptionError(f"chained address {url!r}: '::' is not allowed. Copy the data to a plain address first.")
    match = re.match(r"^([A-Za-z][A-Za-z0-9+.-]*):", url)
    scheme = match.group(1).lower() if match else "file"
    if scheme not in SCHEMES:
        raise OptionError(f"scheme {scheme!r} of {url!r} is not one of {', '.join(SCHEMES)}.")
    place = url[len(scheme) :] if match else f"://{url}"
    if not place.startswith("://") or (scheme != "file" and not place.strip(":/")) or place == "://":
        raise OptionError(f"address {url!r} names no place: write {scheme}://PLACE/FOLDER, or a path.")
    return scheme


def normal(url: str) -> str:
    """The one form of an address: lower-case scheme, no trailing slash; local paths absolute and without scheme."""
    scheme = scheme_of(url)
    rest = url.split("://", 1)[-1]
    return os.path.abspath(rest) if scheme == "file" else f"{scheme}://{rest.rstrip('/')}"


def join(url: str, *parts: str) -> str:
    """Append relative path parts to an address."""
    return "/".join([url.rstrip("/"), *(part.strip("/") for part in parts)]) if parts else url


def relative(path: str) -> str:
    """The path itself where it stays below its store; raises OptionError for absolute paths and ``..``."""
    if path.startswith("/") or ".." in path.split("/") or "\0" in path:
        raise OptionError(f"path {path!r} leaves its store: it must be relative, without '..'.")
    return path


def _steps(low: int, high: int, step: str | None) -> int:
    return abs(high - low) // (int(step or 1) or 1) + 1


def _count(pattern: str) -> int:
    """How many addresses a balanced pattern stands for, without making them."""
    # One frame per open brace: [addresses of finished alternatives, of the present one].
    frames = [[0, 1]]
    for piece in _PIECES.finditer(pattern):
        low, high, step, first, last, stride = piece.groups()
        if low is not None:
            frames[-1][1] *= _steps(int(low), int(high), step)
        elif first is not None:
            frames[-1][1] *= _steps(_LETTERS.index(first), _LETTERS.index(last), stride)
        elif piece[0] == "{":
            frames.append([0, 1])
        elif piece[0] == "," and len(frames) > 1:
            frames[-1] = [sum(frames[-1]), 1]
        elif piece[0] == "}" and len(frames) > 1:
            frames[-2][1] *= sum(frames.pop())
    return frames[0][1]


def expand(pattern: str) -> list[str]:
    """Expand ``{000..042}`` and ``{a,b}``, at most a million addresses. Raises OptionError, before any is made."""
    try:
        count = _count(pattern)
        # The expander makes inner lists whole before it yields the first address: ask for none beyond the bound.
        urls = list(braceexpand.braceexpand(pattern)) if count <= MAX_EXPANSION else []
    except ValueError as error:
        raise OptionError(f"braces of {pattern!r} are unbalanced or no range: {error}") from error
    if count > MAX_EXPANSION:
        raise OptionError(f"{pattern!r} expands to {count:,} addresses, more than {MAX_EXPANSION:,}.")
    return urls
