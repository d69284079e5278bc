"""Mounts: which paths only look local, and which address lies behind them.

A FUSE mount of a bucket is slow at random access (45 CPU seconds a GB in reads of 64 KB through rclone, 3.5 in large
ones), and a page fault on it can neither fail nor time out. So files on it are read like remote ones, or around it:

    mount_map {"/mnt/data": "s3://bucket"}      /mnt/data/coco/train  ->  s3://bucket/coco/train
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import OptionError, StorageError
from .address import normal, scheme_of

TABLE = "/proc/self/mountinfo"
PIECE = 16_000_000
"""The most bytes of one read through a mount."""
PASSING = (errno.EIO, errno.ENOTCONN, errno.ESTALE, errno.ETIMEDOUT)
"""What a mount answers while its store fails, or while it is mounted anew."""
WAITS = (0.2, 0.5, 1.0, 2.0)
"""Seconds before each further try."""
ON_DISK = ("fuse.fuse-overlayfs", "fuse.mergerfs", "fuse.bindfs")
"""FUSE file systems over local disks: the root of rootless containers, joined disks."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system: where, of which kind (``ext4``, ``fuse.rclone``), and what it says that it shows."""

    point: str
    kind: str
    source: str

    @property
    def is_fuse(self) -> bool:
        """Whether a process, not the kernel, answers reads from it, and most likely over a network."""
        return self.kind.split(".")[0] == "fuse" and self.kind not in ON_DISK


def _mounts(table: str = TABLE) -> list[Mount]:
    """All mounts of this process, in the order they were made; none where the system keeps no such table."""
    try:
        with open(table, encoding="utf-8", errors="surrogateescape") as file:
            return [_mount(line) for line in file]
    except FileNotFoundError:
        return []


def mount_of(path: str | os.PathLike[str], table: str = TABLE) -> Mount | None:
    """The mount that a path lies on, also through links; the topmost where several are on one point."""
    real, found = os.path.realpath(path), None
    for mount in _mounts(table):
        if _below(real, mount.point) is not None and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found


def around(url: str, mount_map: Mapping[str, str]) -> str:
    """The address behind a path: that of the longest mount point above it; other addresses come back as they are.

    Paths are compared as written, links are not followed. Raises OptionError for a mount point that is no absolute
    path, and for an address that is not allowed.
    """
    behind = {_point(point): normal(address) for point, address in mount_map.items()}
    if scheme_of(url) != "file":
        return url
    path = normal(url)
    for point in sorted(behind, key=len, reverse=True):
        rest = _below(path, point)
        if rest is not None:
            return f"{behind[point]}/{rest}".rstrip("/")
    return url


def read_in_sequence(path: str, start: int, end: int | None) -> bytes:
    """Bytes [start, end) of a file on a mount, to its end where that is None, in few and large reads.

    Tries again for some seconds where the mount fails, or is gone and comes back. Raises StorageError where the file
    ends before, OSError where the mount does not answer.
    """
    for wait in WAITS:
        try:
            return _read(path, start, end)
        except OSError as error:
            if error.errno not in PASSING:
                raise
            time.sleep(wait)
    return _read(path, start, end)


def _read(path: str, start: int, end: int | None) -> bytes:
    with open(path, "rb", buffering=0) as file:
        stop = os.fstat(file.fileno()).st_size if end is None else end
        if hasattr(os, "posix_fadvise"):  # not on macOS
            os.posix_fadvise(file.fileno(), start, stop - start, os.POSIX_FADV_SEQUENTIAL)
        parts, place = [], start
        while place < stop and (data := os.pread(file.fileno(), min(PIECE, stop - place), place)):
            parts.append(data)
            place += len(data)
    if place != stop:
        raise StorageError(f"{path}: asked for bytes {start}..{stop}, got {place - start} of {stop - start}.")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _point(point: str) -> str:
    if scheme_of(point) != "file" or not point.split("://", 1)[-1].startswith("/"):
        raise OptionError(
            f"mount_map names {point!r}, which is no absolute path: write {{'/mnt/data': 's3://bucket/folder'}}."
        )
    return normal(point)


def _below(path: str, folder: str) -> str | None:
    """The rest of a path below a folder, empty for the folder itself; None where it lies elsewhere."""
    above = folder.rstrip("/") + "/"
    return (path + "/").removeprefix(above).rstrip("/") if (path + "/").startswith(above) else None


def _mount(line: str) -> Mount:
    # 36 35 98:0 /root /mnt/point rw,noatime shared:1 - fuse.rclone bucket: rw,user_id=0 (proc(5); " " is \040)
    place, _, rest = line.partition(" - ")
    kind, source = rest.split()[:2]
    return Mount(_plain(place.split()[4]), kind, _plain(source))


def _plain(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
