"""``doctor``, mounts: mounted at all, alive, readable by this user, and showing what they should."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Sequence

from ..errors import StorageError
from ..shard_writer import manifest as manifests
from ..shard_writer.storage import Store, around, mount_of
from .doctor_finding import Finding

PATIENCE = 10.0
# In a process of its own: one that waits for a dead mount cannot be interrupted, not even by SIGKILL.
_PROBE = """
import os, sys
try:
    print(0, len(os.listdir(sys.argv[1])))
except OSError as error:
    print(error.errno, 0)
"""
_MOUNT = "Mount the bucket there (docs/cloud.md)"
_FAULTS = {
    errno.ENOENT: ("there is no such folder.", f"{_MOUNT}, or correct the path."),
    errno.ENOTDIR: ("that is no folder.", "Give the folder that the bucket is mounted on."),
    errno.ENOTCONN: (
        "the process that serves the mount has died.",
        "fusermount3 -uz it and mount again; mount_map reads around it.",
    ),
    errno.EACCES: (
        "user {user} may not read it.",
        "Mount with --allow-other, and user_allow_other in /etc/fuse.conf where that is not done by root.",
    ),
}


def examine(given: str, store: Store | None) -> Finding:
    """One mount, ``PATH`` or ``PATH=ADDRESS``; of a dataset below the address the mount must show the same manifest."""
    point, _, address = given.partition("=")
    number, entries = _probed(os.path.abspath(point))
    if number is None:
        text = f"{point} does not answer within {PATIENCE:.0f} s."
        return _wrong(text, "fusermount3 -uz it and mount again; mount_map reads around it.")
    if number:
        text, advice = _FAULTS.get(number, (f"{os.strerror(number)}.", f"{_MOUNT} again."))
        return _wrong(f"{point}: {text}".format(user=os.geteuid()), advice)
    mount = mount_of(point)
    if mount is None or not (mount.is_fuse or mount.point == os.path.realpath(point)):
        on = f" on {mount.point} ({mount.kind})" if mount else ""
        return _wrong(f"{point} is an ordinary folder{on}: nothing is mounted there.", f"{_MOUNT}.")
    if not entries:
        return _wrong(f"{point} is mounted ({mount.kind}), but empty.", "Check which bucket and prefix it shows.")
    if address and store is not None:
        return _compared(point, address, store)
    return Finding("mount", "ok", f"{point} is mounted ({mount.kind}) and answers.")


def is_below(path: str, mounts: Sequence[str]) -> bool:
    """Whether a path lies on one of these mounts, by its name alone."""
    points = [os.path.abspath(given.partition("=")[0]) for given in mounts]
    return any(os.path.commonpath([path, point]) == point for point in points)


def _wrong(text: str, advice: str) -> Finding:
    return Finding("mount", "wrong", text, advice)


def _probed(path: str) -> tuple[int | None, int]:
    """The number of the error that listing a folder ends in, 0 for none, and how many entries it has; None: no end."""
    command = [sys.executable, "-I", "-S", "-c", _PROBE, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as probe:  # noqa: S603 - no shell, our own text
        try:
            number, entries = probe.communicate(timeout=PATIENCE)[0].split()
        except subprocess.TimeoutExpired:
            probe.kill()
            return None, 0
    return int(number), int(entries)


def _compared(point: str, address: str, store: Store) -> Finding:
    """Whether the mount shows the manifest that is at the address."""
    behind = Store(around(store.url, {point: address}), store.options)
    rest = f"{behind.url}/".removeprefix(f"{Store(address).url}/").rstrip("/")
    if not f"{behind.url}/".startswith(f"{Store(address).url}/"):
        return _wrong(f"{store.url} lies neither below {point} nor below {address}.", "Correct one of the three.")
    shown = Store(os.path.join(point, rest))
    try:
        same = shown.read(manifests.NAME) == behind.read(manifests.NAME)
    except (FileNotFoundError, StorageError) as error:
        return _wrong(f"{shown.url} and {behind.url} cannot be compared: {error}", "Correct the mount or the address.")
    if not same:
        text = f"{shown.url} shows another dataset than {behind.url}."
        return _wrong(text, "Check which bucket and prefix is mounted; a mount may also show what it saw minutes ago.")
    return Finding("mount", "ok", f"{shown.url} shows what {behind.url} holds.")
