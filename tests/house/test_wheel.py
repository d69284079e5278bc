"""The wheel holds the whole library and nothing else, and works from any folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOMS = ("cli", "loaders", "shard_writer", "transforms")

# -S: without .pth files, so the editable install cannot lend what the wheel lacks.
IMPORT_ALL = """
import importlib, sys
wheel, *site = sys.argv[1:]
sys.path[:0] = [wheel]
sys.path += site
for name in sys.stdin.read().split():
    found = importlib.import_module(name).__file__
    assert found.startswith(wheel), f"{name} came from {found}"
"""


def build(tree: Path, out: Path) -> Path:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(tree)]
    offline = {**os.environ, "PIP_NO_INDEX": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=offline, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture
def wheel(copy_of: Callable[..., Path], tmp_path: Path) -> zipfile.ZipFile:
    # Tests, examples and benchmarks are in the tree it is built from: the wheel must leave them out.
    return zipfile.ZipFile(build(copy_of(*ROOMS, "tests", "examples", "benchmarks"), tmp_path / "dist"))


def test_the_wheel_is_whole_clean_and_importable(wheel: zipfile.ZipFile, tracked: list[Path], tmp_path: Path) -> None:
    """Exactly the rooms' Python files, py.typed and metadata; every module imports from another directory."""
    with wheel:
        names = {name for name in wheel.namelist() if not re.match(r"shardstream-[^/]+\.dist-info/", name)}
        wheel.extractall(tmp_path / "unpacked")
    code = [path for path in tracked if path.suffix == ".py" and (len(path.parts) == 1 or path.parts[0] in ROOMS)]
    assert names == {f"shardstream/{path.as_posix()}" for path in code} | {"shardstream/py.typed"}
    assert list((tmp_path / "unpacked").glob("shardstream-*.dist-info/licenses/LICENSE"))

    modules = [".".join(("shardstream", *path.with_suffix("").parts)) for path in code if path.stem != "__main__"]
    site = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    (elsewhere := tmp_path / "elsewhere").mkdir()
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", IMPORT_ALL, str(tmp_path / "unpacked"), *site],
        input="\n".join(name.removesuffix(".__init__") for name in modules),
        capture_output=True,
        text=True,
        cwd=elsewhere,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
