"""docker/entrypoint.sh on this machine: it mounts as root, runs the command as nobody in particular, and cleans up."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from shardstream.shard_writer.storage import open_store

from .conftest import ROOT, binary, processes_with, without_mounts

ENTRYPOINT = ROOT / "docker/entrypoint.sh"
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv, as in a container"
)


class Bucket(NamedTuple):
    """What the entrypoint is told, and where it mounts."""

    environment: Mapping[str, str]
    point: Path

    def start(self, *command: str, **change: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(ENTRYPOINT), *command], env={**self.environment, **change}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *command: str, **change: str) -> tuple[int, str, str]:
        process = self.start(*command, **change)
        out, error = process.communicate(timeout=60)
        return process.returncode, out, error


def plain() -> dict[str, str]:
    folder = os.path.dirname(binary("rclone") or "/usr/bin/true")
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.fixture
def bucket(weed: Any, tmp_path: Path) -> Iterator[Bucket]:
    """A bucket with one file below a prefix; credentials in a file, as containers see them."""
    reason = without_mounts()
    if reason:
        pytest.skip(reason)
    url: str = weed.url("entrypoint")
    open_store(url, weed.storage_options).write("hello", b"hello from the bucket")
    options = weed.storage_options
    credentials = tmp_path / "credentials"
    credentials.write_text(
        f"[default]\naws_access_key_id = {options['key']}\naws_secret_access_key = {options['secret']}\n"
    )
    point = tmp_path / "point"
    yield Bucket(
        {
            **plain(),
            "MOUNT_BUCKET": url.removeprefix("s3://"),
            "MOUNT_POINT": str(point),
            "AWS_ENDPOINT_URL": weed.endpoint_url,
            "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
            "AWS_EC2_METADATA_DISABLED": "true",
        },
        point,
    )
    # A test that failed may leave its mount, which no later run could remove.
    subprocess.run(["fusermount3", "-uz", str(point)], check=False, capture_output=True)
    for server in processes_with(point):
        os.kill(server, signal.SIGKILL)


@pytest.fixture(autouse=True)
def _open_folder(tmp_path: Path) -> None:
    """pytest's folders are private to root; the command runs as another user."""
    for folder in (tmp_path, *tmp_path.parents[:3]):
        if folder.stat().st_uid == os.geteuid() and folder.name.startswith(("pytest", "popen", "test_")):
            folder.chmod(0o755)
    tmp_path.chmod(0o777)


def test_root_becomes_an_ordinary_user_without_a_way_back(tmp_path: Path) -> None:
    """User, group, no further groups, no capability, no new privileges; the exit code is the command's."""
    status = "id -u; id -g; id -G; grep -E 'CapEff|NoNewPrivs' /proc/self/status; echo $HOME; exit 7"
    code, out, _ = Bucket(plain(), tmp_path).run("sh", "-c", status)
    assert code == 7
    assert out.split() == ["10001", "10001", "10001", "CapEff:", "0" * 16, "NoNewPrivs:", "1", "/home/shardstream"]


def test_whoever_is_no_root_stays_who_they_are(tmp_path: Path) -> None:
    """Where nothing is to be mounted nothing is needed; where something is, it says what."""
    command = ["setpriv", "--reuid=10002", "--regid=10002", "--clear-groups", str(ENTRYPOINT), "id", "-u"]
    assert subprocess.run(command, env=plain(), capture_output=True, text=True, check=True).stdout == "10002\n"
    asked = subprocess.run(command, env=plain() | {"MOUNT_BUCKET": "b"}, capture_output=True, text=True, check=False)
    assert asked.returncode == 1
    assert "needs user 0" in asked.stderr
    assert "read s3://b directly" in asked.stderr


@pytest.mark.s3
def test_the_bucket_is_mounted_read_only_and_gone_afterwards(bucket: Bucket) -> None:
    """The ordinary user reads what is in the bucket and can change nothing; exit code, mount and server are right."""
    script = f"id -u; cat {bucket.point}/hello; echo; touch {bucket.point}/new 2>&1; exit 3"
    code, out, _ = bucket.run("sh", "-c", script)
    assert code == 3
    assert out.splitlines()[:2] == ["10001", "hello from the bucket"]
    assert "Read-only" in out
    assert not bucket.point.is_mount()
    assert processes_with(bucket.point) == []


@pytest.mark.s3
def test_a_signal_reaches_the_command_which_may_still_read(bucket: Bucket, tmp_path: Path) -> None:
    """SIGTERM, twice: the mount stays until the command has ended, and the exit code is its own."""
    script = (
        f"trap 'sleep 1; cat {bucket.point}/hello > {tmp_path}/saved; exit 5' TERM; touch {tmp_path}/ready;"
        " while :; do sleep 0.1; done"
    )
    process = bucket.start("sh", "-c", script)
    end = time.monotonic() + 30
    while not (tmp_path / "ready").exists():
        assert time.monotonic() < end, process.poll()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 5
    assert (tmp_path / "saved").read_text() == "hello from the bucket"
    assert not bucket.point.is_mount()
    assert processes_with(bucket.point) == []


@pytest.mark.s3
def test_secrets_are_in_no_argument_and_no_output(bucket: Bucket, weed: Any) -> None:
    """While it is mounted, no process of this machine shows the secret in its command line."""
    script = "for file in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $file 2>/dev/null; echo; done"
    code, out, error = bucket.run("sh", "-c", script)
    assert code == 0
    assert f"mounted:{bucket.environment['MOUNT_BUCKET']}/ {bucket.point}" in out
    assert weed.storage_options["secret"] not in out + error


@pytest.mark.s3
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"MOUNT_BUCKET": "no-such-bucket-here"}, "shows nothing: check the bucket's name"),
        ({"AWS_SHARED_CREDENTIALS_FILE": "/absent"}, "cannot be listed"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "MOUNT_PATIENCE": "3"}, "cannot be listed"),
    ],
    ids=["bucket", "credentials", "endpoint"],
)
def test_what_cannot_be_read_is_an_error_before_the_command_starts(
    bucket: Bucket, change: dict[str, str], says: str
) -> None:
    """A lazily mounted nothing would look like an empty dataset; nothing is left mounted."""
    code, out, error = bucket.run("echo", "started", **change)
    assert (code, out) == (1, "")
    assert says in error
    assert not bucket.point.is_mount()
    assert processes_with(bucket.point) == []


def test_mountpoint_is_preferred_where_it_is_installed(tmp_path: Path) -> None:
    """Its arguments, recorded by a stand-in that mounts an empty file system; the binary itself is not on PyPI."""
    stand_in = tmp_path / "bin/mount-s3"
    stand_in.parent.mkdir()
    stand_in.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\nmount -t tmpfs tmpfs "$2"\ntouch "$2/x"\nexec sleep 600\n'
    )
    stand_in.chmod(0o755)
    bucket = Bucket(
        {
            "PATH": f"{stand_in.parent}:{plain()['PATH']}",
            "MOUNT_BUCKET": "data/coco/2017",
            "MOUNT_POINT": str(tmp_path / "point"),
            "AWS_ENDPOINT_URL": "http://here:1",
            "AWS_REGION": "eu-north-1",
        },
        tmp_path / "point",
    )
    code, out, error = bucket.run("sh", "-c", "mountpoint -q $MOUNT_POINT && echo mounted")
    if "permission denied" in error.lower():
        pytest.skip(f"nothing can be mounted here: {error}")
    assert (code, out) == (0, "mounted\n")
    assert (tmp_path / "arguments").read_text().split() == [
        "data", str(tmp_path / "point"), "--foreground", "--read-only", "--allow-other", "--prefix", "coco/2017/",
        "--endpoint-url", "http://here:1", "--force-path-style", "--region", "eu-north-1",
    ]  # fmt: skip
    assert not (tmp_path / "point").is_mount()
