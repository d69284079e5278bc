"""Sample keys from file paths: readable, unique, and without what a WebDataset key must not hold."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ...errors import SourceError

_UNSAFE = re.compile(r"[.\\\x00-\x1f\x7f]")


def path_keys(paths: Iterable[str]) -> dict[str, str]:
    """Path -> key: the path without extension, with dots, backslashes and control characters as ``_``.

    Where two paths give one key, the later in sorted order gets ``_<extension>``, then ``_2``, ``_3`` ... A pure
    function of the set of paths. Raises SourceError for a name that is not Unicode.
    """
    keys: dict[str, str] = {}
    taken: set[str] = set()
    for path in sorted(paths):
        keys[path] = key = _free(path, taken)
        taken.add(key)
    return keys


def _free(path: str, taken: set[str]) -> str:
    stem, _, extension = path.rpartition(".")
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise SourceError(f"file name {path!r} is not Unicode text; rename the file.") from error
    key = _UNSAFE.sub("_", stem)
    if key not in taken:
        return key
    base = key = f"{key}_{extension.lower()}"
    number = 2
    while key in taken:
        key = f"{base}_{number}"
        number += 1
    return key
