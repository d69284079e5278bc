"""A rank that is killed, and a job that is told to stop: it goes on exactly there, on as many ranks as are left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

import shardstream as ss

from .jobs import (
    Step,
    assert_equal_steps,
    assert_exactly_once,
    end,
    ranks_of,
    recorded,
    run,
    start,
    torchrun,
    wait_for,
)

BATCH, STEPS = 24, 1438 // 24


def arguments(digits: Path, folder: Path, record: str, epochs: int) -> list[str | Path]:
    return [digits, "--epochs", str(epochs), "--global-batch-size", str(BATCH), "--checkpoint", folder / "last.pt",
            "--record", folder / record]  # fmt: skip


def begun(job: subprocess.Popen[str], record: Path, steps: int) -> dict[int, int]:
    """Process of each rank, as soon as rank 1 has taken some steps."""
    path = record / "rank-1.jsonl"
    wait_for(path.exists, 120, "a first step")
    ranks = ranks_of(job.pid)
    wait_for(lambda: path.read_text().count("\n") > steps, 60, f"{steps} steps")
    return ranks


def test_torchrun_restarts_a_job_whose_rank_was_killed(digits: Path, tmp_path: Path) -> None:
    """SIGKILL to one of two ranks: torchrun starts both again, once, from the checkpoint."""
    job = start(torchrun(2, "ddp_train", *arguments(digits, tmp_path, "record", 5), options=["--max-restarts=1"]))
    try:
        os.kill(begun(job, tmp_path / "record", STEPS + 9)[1], signal.SIGKILL)
        shown = job.communicate(timeout=100)[0]
    finally:
        end(job)
    assert job.returncode == 0, shown[-3000:]
    # Steps after the last checkpoint were lost with the rank: they are taken again, with the same digits.
    last = {(step.rank, step.epoch, step.step): step for step in recorded(tmp_path / "record")}
    assert len(recorded(tmp_path / "record")) >= len(last)
    assert all(same(last[s.rank, s.epoch, s.step], s) for s in recorded(tmp_path / "record"))
    assert_equal_steps(sorted(last.values(), key=lambda step: step.step), ranks=2)
    assert_exactly_once(last.values(), digits, epochs=5, batch=BATCH)


def same(one: Step, other: Step) -> bool:
    return one.keys == other.keys


@pytest.mark.parametrize("told", ["torchrun", "one rank"])
def test_a_job_that_is_told_to_stop_saves_after_the_same_step_on_every_rank(
    digits: Path, tmp_path: Path, told: str
) -> None:
    """SIGTERM to torchrun, which hands it on, or to one rank of two; no step is lost or taken twice."""
    job = start(torchrun(2, "ddp_train", *arguments(digits, tmp_path, "before", 1000), "--save-every", "1000000"))
    try:
        ranks = begun(job, tmp_path / "before", STEPS + 9)
        os.kill(ranks[1] if told == "one rank" else job.pid, signal.SIGTERM)
        shown = job.communicate(timeout=60)[0]
    finally:
        end(job)
    assert job.returncode != 0, "a job that is to be started again does not end well"
    before, state = recorded(tmp_path / "before"), torch.load(tmp_path / "last.pt", weights_only=True)
    saved, epochs = state["step"], state["loader"]["epoch"] + 1
    assert {max(step.step for step in before if step.rank == rank) for rank in range(2)} == {saved}
    assert saved > STEPS + 9
    if told == "one rank":
        codes = re.findall(r"exitcode  : (-?\d+)", shown)  # torchrun ends whoever has not ended by itself yet: -15
        assert "143" in codes, shown[-3000:]
        assert {*codes} <= {"143", "-15"}, shown[-3000:]
    run(torchrun(1, "ddp_train", *arguments(digits, tmp_path, "after", epochs)))
    assert min(step.step for step in recorded(tmp_path / "after")) == saved + 1
    assert_exactly_once([*before, *recorded(tmp_path / "after")], digits, epochs=epochs, batch=BATCH)


def test_a_preemption_is_noted_and_handlers_come_back() -> None:
    """In one process, without a group."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR1)
    with ss.Preemption((signal.SIGTERM, signal.SIGUSR1)) as stop:
        assert not stop.requested()
        os.kill(os.getpid(), signal.SIGUSR1)
        assert stop.requested()
        assert stop.signal == signal.SIGUSR1
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR1)) == before
    with pytest.raises(SystemExit) as left:
        ss.Preemption().exit()
    assert left.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before[0]


def test_a_signal_that_comes_while_ranks_are_asked_is_found_by_the_next_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranks spend most of their time in that collective, waiting for each other."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    ask, asked = torch.distributed.all_reduce, []

    def interrupted(*arguments: object) -> None:
        ask(*arguments)
        if not asked:
            os.kill(os.getpid(), signal.SIGTERM)
        asked.append(arguments)

    monkeypatch.setattr(torch.distributed, "all_reduce", interrupted)
    try:
        with ss.Preemption() as stop:
            assert [stop.requested() for _ in range(3)] == [False, True, True]
            assert (stop.signal, len(asked)) == (signal.SIGTERM, 3)
    finally:
        torch.distributed.destroy_process_group()


def test_a_preemption_outside_the_main_thread_is_refused() -> None:
    """Where Python takes no signals; Ray Train runs its workers so."""
    caught: list[Exception] = []

    def make() -> None:
        try:
            ss.Preemption()
        except ss.OptionError as error:
            caught.append(error)

    thread = threading.Thread(target=make, name="worker")
    thread.start()
    thread.join()
    assert "made in thread 'worker'" in str(caught[0])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stopped_process_leaves_no_worker_behind(digits: Path, workers: int) -> None:
    """The status a scheduler expects, within seconds, with worker processes that were forked under the handler."""
    code = (
        "import os, signal, sys, shardstream as ss\n"
        "stop = ss.Preemption()\n"
        f"loader = ss.Loader(ss.open(sys.argv[1], split='train'), batch_size=8, shuffle=True, num_workers={workers})\n"
        "for number, batch in enumerate(loader):\n"
        "    if number == 5:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    if stop.requested():\n"
        "        print(loader.state_dict()['position'])\n"
        "        stop.exit()\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(digits)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (143, "48\n"), done.stderr
