"""Two hosts of two ranks train on shards on S3; one is lost, the other goes on: every digit exactly once per epoch."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import shardstream as ss

from ..conftest import KEY, SECRET, Weed, weed_binary
from .hosts import Host, hosts, why_not
from .jobs import (
    EXAMPLES,
    Step,
    assert_equal_steps,
    assert_exactly_once,
    end,
    recorded,
    start,
    torchrun,
    wait_for,
)

pytestmark = [pytest.mark.netns, pytest.mark.s3]
BATCH, STEPS = 24, 1438 // 24


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Host, Host]]:
    """Address of the shards and of the server, and two hosts that reach it."""
    reason, binary = why_not(), weed_binary()
    if reason is not None:
        pytest.skip(reason)
    with hosts(2) as (address, (first, second)):
        server = Weed(binary, tmp_path_factory.mktemp("weed"), host=address)
        try:
            server.start()
            url = server.url("digits")
            ss.write("digits", out=url, shard_size="64KB", storage_options=server.storage_options)
            yield url, server.endpoint_url, first, second
        finally:
            server.kill()


def job(
    site: tuple[str, str, Host, Host], host: Host, folder: Path, record: str, epochs: int, nodes: list[str]
) -> list[str]:
    """The example on one host, as one of some nodes; rank 0 is on the first host."""
    arguments = (site[0], "--epochs", str(epochs), "--global-batch-size", str(BATCH), "--timeout", "15")
    saved = ("--checkpoint", str(folder / "last.pt"), "--record", str(folder / record))
    command = torchrun(2, "ddp_train", *arguments, *saved)
    command[command.index("--standalone")] = "--max-restarts=0"
    where = command.index(str(EXAMPLES / "ddp_train.py"))
    return host.inside([*command[:where], *nodes, *command[where:]])


def started(site: tuple[str, str, Host, Host], host: Host, folder: Path, command: list[str]) -> subprocess.Popen[str]:
    s3 = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_ENDPOINT_URL": site[1]}
    cache = str(folder / f"cache-{host.name}")
    return start(command, GLOO_SOCKET_IFNAME=host.device, SHARDSTREAM_CACHE=cache, **s3)


def test_a_host_is_lost_and_the_other_goes_on(site: tuple[str, str, Host, Host], digits: Path, tmp_path: Path) -> None:
    """After two epochs on both the cable of one is cut and its power lost; the other finishes that epoch, and one more."""
    _, _, first, second = site
    meet = ["--nnodes=2", f"--master-addr={first.address}", "--master-port=29500"]
    jobs = [
        started(site, host, tmp_path, job(site, host, tmp_path, "both", 1000, [*meet, f"--node-rank={rank}"]))
        for rank, host in enumerate((first, second))
    ]
    try:
        wait_for(lambda: len(steps_of(tmp_path / "both", 3)) > 2 * STEPS + 9, 120, "two epochs and ten steps")
        second.cut_cable()
        second.lose_power()
        shown = jobs[0].communicate(timeout=60)[0]
    finally:
        for process in jobs:
            end(process)
    assert jobs[0].returncode != 0, "the ranks that are left do not wait for ever"
    assert "imed out" in shown or "Connection" in shown, shown[-3000:]
    before = recorded(tmp_path / "both")
    whole = [step for step in before if step.epoch < 2]
    assert_equal_steps(whole, ranks=4)
    assert_exactly_once(whole, digits, epochs=2, batch=BATCH)
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    saved, epochs = state["step"], state["loader"]["epoch"] + 1
    assert saved > 2 * STEPS

    alone = started(site, first, tmp_path, job(site, first, tmp_path, "alone", epochs + 1, ["--master-port=29501"]))
    try:
        shown = alone.communicate(timeout=120)[0]
    finally:
        end(alone)
    assert alone.returncode == 0, shown[-3000:]
    after = recorded(tmp_path / "alone")
    assert min(step.step for step in after) == saved + 1
    assert_equal_steps(after, ranks=2)
    assert_exactly_once(
        [*(step for step in before if step.step <= saved), *after], digits, epochs=epochs + 1, batch=BATCH
    )
    assert "accuracy 0.9" in shown.splitlines()[-1]


def steps_of(folder: Path, rank: int) -> list[Step]:
    return [step for step in recorded(folder) if step.rank == rank]
