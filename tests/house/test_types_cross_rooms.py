"""Static tools see through the mapped package: a wrong type across rooms is reported with our configuration."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

MODULE = '''"""Planted."""

from ..shard_writer.storage import Store


def planted(store: Store) -> {returns}:
    """Store.read gives bytes."""
    return store.read("dataset.json")
'''


@pytest.mark.parametrize(("returns", "reported"), [("int", True), ("bytes", False)])
def test_a_type_error_across_rooms_is_reported(
    root: Path, copy_of: Callable[..., Path], returns: str, reported: bool
) -> None:
    """The wrong type is named; the right one passes, so the report is about the type, not about a failed import."""
    tree = copy_of("shard_writer", "loaders", "transforms", "cli")
    (tree / ".dev").mkdir()
    (tree / ".dev" / "shardstream").symlink_to("..")
    (tree / "loaders" / "planted.py").write_text(MODULE.format(returns=returns))
    cache = root / ".mypy_cache" / "planted"  # torch's stubs are read once, not once per test
    command = ["mypy", "-m", "shardstream.loaders.planted", "--follow-imports=silent", "--cache-dir", str(cache)]
    done = subprocess.run(
        [sys.executable, "-P", "-m", *command], cwd=tree, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == int(reported), done.stdout + done.stderr
    assert ('(got "bytes", expected "int")' in done.stdout) == reported, done.stdout
