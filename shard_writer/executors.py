"""Run shard jobs: in this process, or in a pool of worker processes. Same jobs, same bytes, any order of finishing."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType

from ..errors import ShardstreamError
from .fragment import Fragment
from .pack import PackJob, Progress, pack_shard
from .plan import ShardPlan

_job: PackJob | None = None  # of a worker process, set once by its initialiser
_packing = False


def run_local(job: PackJob, plans: Sequence[ShardPlan], workers: int, progress: Progress) -> Iterator[Fragment]:
    """Fragments of the planned shards as they finish."""
    if workers <= 1 or len(plans) <= 1:
        for plan in plans:
            yield pack_shard(job, plan, progress)
        return
    yield from _run_pool(job, plans, workers, progress)


def _run_pool(job: PackJob, plans: Sequence[ShardPlan], workers: int, progress: Progress) -> Iterator[Fragment]:
    # forkserver: S3 clients and threads of this process must not be forked.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", __name__])  # our imports take seconds: once, not in every worker
    with ProcessPoolExecutor(min(workers, len(plans)), context, _start, (job,)) as pool:
        waiting: set[Future[Fragment]] = set()
        try:
            with _ctrl_c_waits():
                waiting |= {pool.submit(_work, plan) for plan in plans}
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    fragment = future.result()
                    progress(fragment.table.num_rows, fragment.bytes)
                    yield fragment
        except BrokenProcessPool as error:
            raise ShardstreamError(
                "a packing worker was killed (out of memory?); finished shards are kept: repeat with --resume, fewer --workers."
            ) from error
        finally:
            for future in waiting:
                future.cancel()


@contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """While workers are being started, Ctrl-C waits until there are some to answer it: half-started they print tracebacks.

    Here its handler is called afterwards. They inherit that it is blocked, until they have a handler of their own.
    """
    if threading.current_thread() is not threading.main_thread():  # which alone may set handlers, and has the signals
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    resource_tracker.ensure_running()  # first, since starting it unblocks SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, handler)
    if came and callable(handler):
        handler(*came[0])


def _start(job: PackJob) -> None:
    global _job
    _job = job
    signal.signal(signal.SIGINT, _interrupted)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _interrupted(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal handler's signature
    """Ctrl-C reaches the whole group: a shard in the making is given up tidily, a worker that waits ends without a word."""
    if _packing:
        raise KeyboardInterrupt
    os._exit(128 + number)


def _end_with_parent() -> None:
    """A pool's workers outlive a killed parent, and would go on writing into a folder that is being resumed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(plan: ShardPlan) -> Fragment:
    global _packing
    if _job is None:
        raise ShardstreamError("a packing worker was started without its job.")
    _packing = True
    try:
        return pack_shard(_job, plan)
    finally:
        _packing = False
