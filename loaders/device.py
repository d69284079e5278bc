"""Batches on their way to a device: the next ones are copied while the caller works on this one.

    caller's stream   step t-1    | step t            | step t+1
    side stream              copy t | copy t+1    | copy t+2        one direction of the bus, beside the kernels
    in flight (ahead=1)           t      t+1          t+2

Only bytes cross the bus (uint8 pixels); floats are made on the device. Batches copied ahead are not delivered yet, so
nothing that counts deliveries counts them. Source memory is page-locked where the loader pins it: torch's host
allocator hands the same blocks out again once their copies are done, so a loader needs about ``ahead`` + 2 of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from .batch import Batch, RaggedImages
from .coded import Coded


class Copy(Protocol):
    """A batch on its way."""

    def arrive(self) -> Batch:
        """The batch on the device: what is launched on the caller's stream from now on may use it."""
        ...


class Copier(Protocol):
    """Copies batches to one device."""

    def begin(self, batch: Batch) -> Copy:
        """Start a copy, and return before it is done."""
        ...

    def settle(self) -> None:
        """The caller has launched its step: wait until the step before that is done, so that memory is bounded."""
        ...


def ahead_of(batches: Iterable[Batch], copier: Copier, ahead: int, finish: Callable[[Copy], Batch]) -> Iterator[Batch]:
    """The batches in order, each through ``finish``, with ``ahead`` copies begun beyond the one that is delivered.

    An error of a batch is raised in its turn: those that were begun before it are delivered first. Leaving early drops
    what is in flight.
    """
    flying: deque[Copy] = deque()
    try:
        for batch in batches:
            flying.append(copier.begin(batch))
            if len(flying) > ahead:
                yield _first(flying, finish)
                copier.settle()
    except GeneratorExit:
        flying.clear()
        raise
    finally:  # of an epoch, or of the batches before an error
        while flying:
            yield _first(flying, finish)


def _first(flying: deque[Copy], finish: Callable[[Copy], Batch]) -> Batch:
    with ExitStack() as failing:
        failing.callback(flying.clear)  # nothing is delivered after a batch that failed
        batch = finish(flying.popleft())
        failing.pop_all()
    return batch


def copier_of(device: torch.device) -> Copier:
    """What copies to a device: on a side stream of a CUDA device, elsewhere when the batch is wanted."""
    return CudaCopier(device) if device.type == "cuda" else PlainCopier(device)


@dataclass(frozen=True, slots=True)
class PlainCopier:
    """Copies where no second stream is known: at once, in the caller's turn."""

    device: torch.device

    def begin(self, batch: Batch) -> Copy:
        return _Arrived(batch.to(self.device, non_blocking=True))

    def settle(self) -> None:
        """Nothing is launched elsewhere."""


@dataclass(frozen=True, slots=True)
class _Arrived:
    batch: Batch

    def arrive(self) -> Batch:
        return self.batch


class CudaCopier:
    """Copies on a side stream. The caller's stream is the current one of the thread that takes the batches."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._launched: torch.cuda.Event | None = None
        self._sources: deque[tuple[torch.cuda.Event, Batch]] = deque()

    def begin(self, batch: Batch) -> Copy:
        while self._sources and self._sources[0][0].query():  # type: ignore[no-untyped-call]
            self._sources.popleft()
        with torch.cuda.stream(self._side):
            moved = batch.to(self._device, non_blocking=True)
            done = self._side.record_event()
        self._sources.append((done, batch))  # page-locked memory is not given back while it is read
        return _CudaCopy(moved, done, self._device)

    def settle(self) -> None:
        before, self._launched = self._launched, torch.cuda.current_stream(self._device).record_event()
        if before is not None:
            before.synchronize()


@dataclass(frozen=True, slots=True)
class _CudaCopy:
    batch: Batch
    done: torch.cuda.Event
    device: torch.device

    def arrive(self) -> Batch:
        stream = torch.cuda.current_stream(self.device)
        stream.wait_event(self.done)
        for tensor in (tensor for value in self.batch.values() for tensor in _tensors(value)):
            if tensor.is_cuda:  # allocated for the side stream: not to be used again there before this one is done
                tensor.record_stream(stream)
        return self.batch


def _tensors(value: Any) -> Iterator[Tensor]:
    """What of a field lies on the device."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, RaggedImages):
        yield value.values
    elif isinstance(value, Coded):
        yield from _tensors(value.done)
