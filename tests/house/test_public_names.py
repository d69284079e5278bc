"""What users see: the names of the root, and one tree of errors."""

from __future__ import annotations

import builtins
import inspect
import re

import shardstream
from shardstream import errors

CLASSES = [found for _, found in inspect.getmembers(errors, inspect.isclass) if found.__module__ == errors.__name__]


def test_public_names_are_sorted_unique_and_resolve() -> None:
    """``shardstream.__all__`` is the list of what is promised; each name is there."""
    names = shardstream.__all__
    assert list(names) == sorted(set(names))
    assert [name for name in names if not hasattr(shardstream, name)] == []


def test_every_error_is_ours_and_a_builtin() -> None:
    """A caller can catch ShardstreamError, or the builtin that fits."""
    for found in CLASSES:
        assert issubclass(found, errors.ShardstreamError)
        if found is not errors.ShardstreamError:
            ours = [base for base in found.__mro__ if base.__module__ == "builtins"]
            assert [base for base in ours if base not in (Exception, BaseException, object)], found


def test_the_drawn_tree_of_errors_is_the_real_one() -> None:
    """The docstring of errors.py names every class, its parent by indentation, and its builtin in brackets."""
    drawn: dict[str, tuple[str, str | None]] = {}
    parents: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^    ((?:[│├└─ ]{4})*)([A-Z]\w+)(?: +\((\w+)\))?(?: |$)", line)
        if match:
            depth = len(match[1]) // 4
            parents[depth:] = [match[2]]
            drawn[match[2]] = (parents[depth - 1] if depth else "Exception", match[3])
    assert set(drawn) == {found.__name__ for found in CLASSES}
    for found in CLASSES:
        parent, builtin = drawn[found.__name__]
        assert found.__bases__[0].__name__ == parent
        assert [base.__name__ for base in found.__bases__[1:]] == ([builtin] if builtin else [])
        assert builtin is None or hasattr(builtins, builtin)
