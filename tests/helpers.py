"""What tests of writing and reading share: folders as digests, commands as processes, a folder of pictures."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

from .toy import toy_pixels


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder, hidden ones too: relative path -> sha256."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def picture_folder(root: Path, count: int, split: str = "train") -> Path:
    """``root/<split>/{cat,dog}/0000.png`` ...: a source for the ``folder`` command."""
    for number in range(count):
        folder = root / split / ("dog" if number % 3 else "cat")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(toy_pixels(number)).save(folder / f"{number:04d}.png")
    return root


def command(*arguments: str | Path) -> list[str]:
    """The ``shardstream`` command line as a process of this Python."""
    return [sys.executable, "-m", "shardstream.cli", *map(str, arguments)]


def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run one command to its end, with plain output of 200 columns."""
    environment = os.environ | {"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"}
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=240, env=environment, cwd=cwd)


def flip(path: Path, offset: int, bit: int = 0) -> None:
    """Flip one bit of a file."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 1 << bit
    path.write_bytes(data)
