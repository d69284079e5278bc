"""Members of a tar into samples, by webdataset's rule.

    train/n01440764_10026.seg.PNG
    └─────── key ───────┘ └─ extension, lower case: "seg.png"

The key is the path up to the first dot of the base name; members of one sample stand next to each other.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator

from .tar_errors import Place
from .tar_read import TarMember

_log = logging.getLogger("shardstream")
# webdataset's tar_file_iterator(skip_meta=...) and meta_prefix: names it keeps for itself
_META = re.compile(r"__[^/]*__(?:\Z|/)").match


def split_name(name: str) -> tuple[str, str] | None:
    """(key, lower-case extension) of a member, None where its base name has no key or no extension."""
    slash = name.rfind("/") + 1
    dot = name.find(".", slash)
    if dot <= slash or dot + 1 == len(name):
        return None
    return name[:dot], name[dot + 1 :].lower()


def log_skipped(member: TarMember, reason: str) -> None:
    """The default ``on_skipped``: a warning to the ``shardstream`` logger."""
    _log.warning("member %r at byte %d belongs to no sample: %s", member.name, member.offset, reason)


def group(
    members: Iterable[TarMember],
    *,
    url: str = "",
    on_skipped: Callable[[TarMember, str], None] = log_skipped,
) -> Iterator[tuple[str, dict[str, TarMember]]]:
    """Yield (key, {extension: member}) in archive order, as webdataset would group them.

    Members that belong to no sample (no dot, hidden files such as macOS's ``._x``, webdataset's ``__meta__``) go to
    ``on_skipped`` with the reason. Raises CorruptTar where webdataset would hand out two half samples or fail: a key
    that comes back after another, an extension twice under one key. Memory grows with the number of keys.
    """
    first: dict[str, int] = {}  # key -> offset of its first member
    key: str | None = None
    sample: dict[str, TarMember] = {}
    for member in members:
        parts = split_name(member.name)
        if parts is None or _META(member.name):
            on_skipped(member, _reason(member.name))
            continue
        if parts[0] != key:
            if key is not None:
                yield key, sample
            key, sample = parts[0], {}
            _check_new(first, key, member, url)
        if (other := sample.setdefault(parts[1], member)) is not member:
            raise _twice(other, member, url)
    if key is not None:
        yield key, sample


def _check_new(first: dict[str, int], key: str, member: TarMember, url: str) -> None:
    if (offset := first.setdefault(key, member.offset)) != member.offset:
        found = f"{member.name!r} again after other samples (first at byte {offset}): interleaved or doubled keys"
        raise Place(url, member.offset).corrupt(f"all members of key {key!r} next to each other", found)


def _twice(one: TarMember, two: TarMember, url: str) -> Exception:
    found = f"{one.name!r} at byte {one.offset} and {two.name!r} (extensions are compared in lower case)"
    return Place(url, two.offset).corrupt("one member per key and extension", found)


def _reason(name: str) -> str:
    base = name.rsplit("/", 1)[-1]
    if _META(name):
        return "webdataset keeps names like '__x__' for itself"
    if base.startswith("."):
        return "its name starts with a dot (hidden, or macOS metadata)"
    return "nothing after the dot of its name" if "." in base else "no dot in its name, so no extension"
