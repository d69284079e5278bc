"""``Preemption``: a machine is about to be taken away; stop after a whole step, on every rank after the same one."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

import torch

from ..errors import OptionError


class Preemption:
    """Notes SIGTERM instead of dying of it. Kubernetes, SLURM, spot machines and torchrun send it before SIGKILL.

        stop = ss.Preemption()
        for batch in loader:
            train(batch)
            if stop.requested():             # every rank asks after every step, and every rank gets the same answer
                save(model, loader.state_dict())
                stop.exit()                  # status 143

    The signal may reach one rank only, or ranks between different steps: ``requested`` asks all ranks of the caller's
    process group (one ``all_reduce`` of one number), and none is left waiting in a step that the others do not take.
    Until ``close`` (or the end of a ``with`` block) the signals do nothing else; then the former handlers are back.
    Raises OptionError outside the main thread, where Python cannot take signals.
    """

    def __init__(self, signals: Sequence[int] = (signal.SIGTERM,)) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise OptionError(
                f"Preemption was made in thread {threading.current_thread().name!r}, Python takes signals in 'MainThread'"
                " only. Make it there; Ray Train restarts its workers itself."
            )
        self.signal = 0
        """What ``requested`` found last: the number of a signal that came to any rank; 0: none did."""
        self._noted = 0  # to this rank; never put back, for a signal may come while the others are being asked
        self._before: dict[int, Any] = {number: signal.signal(number, self._note) for number in signals}

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signal module's signature
        self._noted = number

    def requested(self) -> bool:
        """Whether any rank was told to stop. Collective: every rank of an initialised process group must ask."""
        self.signal = self._noted
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            told = torch.tensor(self.signal, device="cuda" if torch.distributed.get_backend() == "nccl" else "cpu")
            torch.distributed.all_reduce(told, torch.distributed.ReduceOp.MAX)
            self.signal = int(told)
        return self.signal != 0

    def exit(self) -> NoReturn:
        """Leave with 128 + the signal, 143 for SIGTERM: a job that ends with 0 is taken for finished, not started again."""
        self.close()
        sys.exit(128 + (self.signal or self._noted or signal.SIGTERM))

    def close(self) -> None:
        """Put the former handlers back."""
        while self._before:
            signal.signal(*self._before.popitem())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
