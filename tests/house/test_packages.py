"""A forgotten sub-package works in an editable install and is missing from the wheel."""

from __future__ import annotations

import tomllib
from pathlib import Path

NOT_PACKAGED = {"tests", "benchmarks", "examples", "docker", "docs"}


def on_disk(root: Path, tracked: list[Path]) -> list[str]:
    """Import names of the folders that hold an ``__init__.py``."""
    folders = [path.parent for path in tracked if path.name == "__init__.py"]
    inside = [folder for folder in folders if not folder.parts or folder.parts[0] not in NOT_PACKAGED]
    return sorted(".".join(["shardstream", *folder.parts]) for folder in inside)


def test_the_package_list_equals_the_folders_on_disk(root: Path, tracked: list[Path]) -> None:
    """pyproject.toml names exactly the packages that exist, in order."""
    project = tomllib.loads((root / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["packages"] == on_disk(root, tracked)


def test_every_folder_with_code_is_a_package(root: Path, tracked: list[Path]) -> None:
    """A folder of modules without ``__init__.py`` would be importable here and absent from the wheel."""
    packages = {path.parent for path in tracked if path.name == "__init__.py"}
    code = {path.parent for path in tracked if path.suffix == ".py" and path.parts[0] not in NOT_PACKAGED}
    assert sorted(map(str, code - packages)) == []
