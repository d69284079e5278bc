"""Imports run one way: ground floor <- transforms; ground floor <- shard_writer <- loaders; doors above all."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

GROUND = {"errors", "counted", "memory", "moving"}
# Room -> what it may import of ours besides itself. Whatever is not listed (cli, api, the root) is a door above all.
MAY_IMPORT = {
    "errors": set[str](),
    "counted": set[str](),
    "memory": set[str](),
    "moving": {"errors"},
    "transforms": GROUND,
    "shard_writer": GROUND,
    "loaders": GROUND | {"shard_writer"},
}


def imported(path: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute name of everything a file imports, also inside functions and TYPE_CHECKING blocks."""
    package = ("shardstream", *path.relative_to(root).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            origin = [*base, *([node.module] if node.module else [])]
            yield from ((node.lineno, ".".join([*origin, alias.name])) for alias in node.names)


def violations(root: Path) -> list[str]:
    """Each import that climbs, as ``file:line imports name``; also torch.distributed, which is the caller's."""
    found = []
    for room, allowed in MAY_IMPORT.items():
        files = [root / f"{room}.py"] if room in GROUND else sorted((root / room).rglob("*.py"))
        for path in files:
            for line, name in imported(path, root):
                parts = name.split(".")
                climbs = parts[0] == "shardstream" and not ({*parts[1:2]} & (allowed | {room}))
                if climbs or parts[:2] == ["torch", "distributed"]:
                    found.append(f"{path.relative_to(root)}:{line} imports {name}")
    return found


@pytest.fixture
def copied(root: Path, tmp_path: Path) -> Path:
    for room in MAY_IMPORT:
        if room in GROUND:
            shutil.copyfile(root / f"{room}.py", tmp_path / f"{room}.py")
        else:
            shutil.copytree(root / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_imports_run_one_way(root: Path) -> None:
    """No room reaches up or sideways, and none touches torch.distributed."""
    assert violations(root) == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("errors.py", "from .counted import mix"),
        ("counted.py", "from . import shard_writer"),
        ("transforms/planted.py", "from ..shard_writer import types"),
        ("transforms/planted.py", "import shardstream.loaders"),
        ("shard_writer/planted.py", "from ..loaders import Loader"),
        ("shard_writer/storage/planted.py", "from ...transforms import presets"),
        ("loaders/planted.py", "def late():\n    from ..transforms import presets"),
        ("loaders/planted.py", "from .. import Loader"),
        ("loaders/planted.py", "from ..cli import main"),
        ("loaders/planted.py", "import torch.distributed as dist"),
        ("transforms/planted.py", "from torch import distributed"),
    ],
)
def test_a_planted_violation_is_found(copied: Path, file: str, line: str) -> None:
    """The guard itself: each forbidden direction, in each spelling, is reported with its file."""
    with (copied / file).open("a") as planted:
        planted.write(f"\n{line}\n")
    (report,) = violations(copied)
    assert report.startswith(f"{file}:")


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("loaders/planted.py", "from ..shard_writer.storage import Store"),
        ("loaders/planted.py", "from ..errors import StateError"),
        ("loaders/planted.py", "from . import order"),
        ("transforms/planted.py", "from .. import counted"),
        ("shard_writer/sources/planted.py", "from ...errors import SourceError"),
        ("cli/planted.py", "from ..transforms import presets"),
        ("api.py", "from .loaders import Loader"),
    ],
)
def test_an_allowed_import_is_not_reported(copied: Path, file: str, line: str) -> None:
    """The guard does not cry over downward imports, imports within a room, or the doors."""
    (copied / file).parent.mkdir(exist_ok=True)
    (copied / file).write_text(f"{line}\n")
    assert violations(copied) == []
