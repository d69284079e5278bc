"""Which member names this library writes and reads: relative, printable, the same for every tar reader."""

from __future__ import annotations

import re

# The common case in one cheap test: words of [A-Za-z0-9_-], joined by single dots or slashes.
_PLAIN = re.compile(r"[\w-]+(?:[./][\w-]+)*", re.ASCII).fullmatch
# C0, DEL, C1 control characters, and surrogates (which have no UTF-8).
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def name_fault(name: str) -> str | None:
    """Why a name may not stand in a shard, None if it may.

    Refused are: empty names, control characters (NUL among them), absolute names, ``..`` and a trailing slash.
    """
    if _PLAIN(name):
        return None
    if found := _UNPRINTABLE.search(name):
        return f"control character {found.group()!r} in it"
    if name.startswith("/"):
        return "it is absolute"
    if ".." in name.split("/"):
        return "'..' in it"
    if name in ("", "."):
        return "it is empty"
    return "it ends with '/'" if name.endswith("/") else None


def without_dot_slash(name: str) -> str:
    """The name without leading ``./``, as ``tar -C folder .`` writes it."""
    while name.startswith("./"):
        name = name[2:]
    return name
