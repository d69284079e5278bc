"""Hosts on one machine: network namespaces whose cables end in a bridge, where the S3 server listens."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass


def ip(*arguments: str, check: bool = True) -> str:
    return subprocess.run(["ip", *arguments], check=check, capture_output=True, text=True, timeout=30).stdout


def why_not() -> str | None:
    """Why there can be no network namespaces here; None where there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need `ip` (iproute2)"
    probe = f"ss-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True)
    if made.returncode != 0:
        return f"network namespaces are not allowed here: {made.stderr.strip()}"
    ip("netns", "del", probe)
    return None


@dataclass(frozen=True)
class Host:
    """``inside(command)`` runs it there, with ``address`` on ``device``."""

    name: str
    device: str
    address: str

    def inside(self, command: list[str]) -> list[str]:
        return ["ip", "netns", "exec", self.name, *command]

    def cut_cable(self) -> None:
        """Nothing gets in or out any more, and nobody is told."""
        ip("-n", self.name, "link", "set", self.device, "down")

    def lose_power(self) -> None:
        """SIGKILL to everything in there."""
        for number in ip("netns", "pids", self.name, check=False).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(number), signal.SIGKILL)


@contextlib.contextmanager
def hosts(count: int) -> Iterator[tuple[str, list[Host]]]:
    """The bridge's address and some hosts; whatever happens, they and all that runs in them are gone afterwards."""
    number = random.SystemRandom().randrange(1, 255)  # another one than a second run on this machine has
    bridge, net = f"ssbr{number}", f"10.77.{number}"
    made = [Host(f"ss{number}h{i}", f"ssv{number}h{i}", f"{net}.{i + 2}") for i in range(count)]
    ip("link", "add", bridge, "type", "bridge")
    try:
        ip("addr", "add", f"{net}.1/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        for host in made:
            _plug_in(host, bridge)
        yield f"{net}.1", made
    finally:
        for host in made:
            host.lose_power()
            ip("link", "del", f"{host.device}x", check=False)  # both ends; with the namespace they would go later
            ip("netns", "del", host.name, check=False)
        ip("link", "del", bridge, check=False)


def _plug_in(host: Host, bridge: str) -> None:
    """A namespace with loopback, and a cable from its device to the bridge."""
    ip("netns", "add", host.name)
    ip("link", "add", host.device, "type", "veth", "peer", "name", f"{host.device}x")
    ip("link", "set", f"{host.device}x", "master", bridge, "up")
    ip("link", "set", host.device, "netns", host.name)
    ip("-n", host.name, "addr", "add", f"{host.address}/24", "dev", host.device)
    for device in ("lo", host.device):
        ip("-n", host.name, "link", "set", device, "up")
