"""Run the same work once per rank, each rank a process of its own with the environment that torchrun would give it."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Any

Epoch = list[list[int]]
"""What one rank got in one epoch: the sample numbers of each step."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a side is to deliver: ``samples`` numbered from 0, on ``world`` ranks of ``workers`` workers each."""

    folder: str
    samples: int
    world: int
    batch: int
    workers: int
    epochs: int

    @property
    def urls(self) -> list[str]:
        """64 tars, in order; member ``<key>.cls`` of each sample is its number."""
        return self.tars(64)

    @property
    def other_urls(self) -> list[str]:
        """The same samples in 100 tars, which 32 ranks cannot share out evenly."""
        return self.tars(100)

    def tars(self, count: int) -> list[str]:
        """Addresses of the ``count`` tars that hold all samples."""
        return [os.path.join(self.folder, f"tars-{count}", f"{shard:06d}.tar") for shard in range(count)]

    def text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_arguments(cls) -> Job:
        """The job that the benchmark gave this script."""
        return cls(**json.loads(sys.argv[1]))


def on_ranks(job: Job, work: Callable[[Job], list[Epoch]], *, group: bool = False) -> list[list[Epoch]]:
    """``work``'s epochs of every rank; ``group`` sets up torch.distributed (gloo, loopback) before.

    The ranks run at the same time, as processes forked from this one. Raises RuntimeError where one fails.
    """
    context = multiprocessing.get_context("fork")
    pipes, processes, port = [], [], _free_port()
    for rank in range(job.world):
        mine, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_rank, args=(theirs, job, work, rank, port, group))
        process.start()
        theirs.close()
        pipes.append(mine)
        processes.append(process)
    try:
        return [_answer(pipe, rank) for rank, pipe in enumerate(pipes)]
    finally:
        for process in processes:
            process.join(10)
            process.terminate()


def _answer(pipe: Connection, rank: int) -> list[Epoch]:
    try:
        answer: list[Epoch] = pipe.recv()
    except EOFError as error:
        raise RuntimeError(f"rank {rank} ended without an answer; what it printed stands above") from error
    return answer


def _rank(pipe: Connection, job: Job, work: Callable[[Job], list[Epoch]], rank: int, port: int, group: bool) -> None:
    here = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": job.world, "LOCAL_WORLD_SIZE": job.world}
    os.environ.update({name: str(value) for name, value in here.items()})
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    if group:
        import torch.distributed

        torch.distributed.init_process_group("gloo", rank=rank, world_size=job.world)
    pipe.send(work(job))
    if group:
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def numbers(batches: Iterable[Any]) -> Epoch:
    """The sample numbers of each batch of an epoch."""
    return [[int(number) for number in batch] for batch in batches]


def report(settings: dict[str, list[list[Epoch]]]) -> None:
    """Print what each setting delivered, as the benchmark reads it; the last line of this script's output."""
    print(json.dumps([{"setting": name, "ranks": ranks} for name, ranks in settings.items()]))
