"""What the guards share: the root of the tree and the files that a clone of it would hold."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def root() -> Path:
    return Path(__file__).parents[2]


@pytest.fixture(scope="session")
def tracked(root: Path) -> list[Path]:
    """Relative paths of every file that is tracked, or would be by ``git add -A``."""
    if not (root / ".git").exists():
        pytest.skip("no git checkout: only a clone knows what is tracked")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=root, check=True, capture_output=True).stdout
    return sorted({Path(name) for name in listing.decode().split("\0") if name and (root / name).is_file()})


@pytest.fixture
def copy_of(root: Path, tracked: list[Path], tmp_path: Path) -> Callable[..., Path]:
    """Copy the tracked files below the given folders, and the root's own files, to a temporary tree."""

    def copy(*rooms: str) -> Path:
        target = tmp_path / "tree"
        for path in tracked:
            if len(path.parts) == 1 or path.parts[0] in rooms:
                (target / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root / path, target / path)
        return target

    return copy
