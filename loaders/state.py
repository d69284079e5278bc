"""Saved places: a few integers, and what order they belong to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import StateError
from .batch import Batch

if TYPE_CHECKING:
    from .stream import Stream

STATE_VERSION = 2


@dataclass(frozen=True, slots=True)
class Place:
    """Where to go on: the next position of an epoch, and the global batch size that it was counted with."""

    epoch: int
    position: int
    global_batch: int

    @classmethod
    def of(cls, state: Any, stream: Stream) -> Place:
        """A saved state's place; raises StateError, naming both values, where it belongs to another order."""
        if not isinstance(state, Mapping) or state.get("version") != STATE_VERSION:
            found = state.get("version") if isinstance(state, Mapping) else type(state).__name__
            raise StateError(f"the state has version {found!r}, this library reads {STATE_VERSION}.")
        _compare(state.get("fingerprint"), stream.fingerprint())
        place = cls(*(_whole(state, name) for name in ("epoch", "position", "global_batch_size")))
        if place.position > stream.size or place.global_batch < 1:
            raise StateError(
                f"the state stands at position {place.position:,} of an epoch of {stream.size:,} items, in batches of"
                f" {place.global_batch:,}: it was damaged."
            )
        return place


def _whole(state: Mapping[str, Any], name: str) -> int:
    value = state.get(name)
    if type(value) is not int or value < 0:
        raise StateError(f"the state's {name!r} is {value!r}, expected a whole number: it was damaged.")
    return value


def _compare(saved: Any, mine: Mapping[str, Any]) -> None:
    if not isinstance(saved, Mapping):
        raise StateError(f"the state's 'fingerprint' is {saved!r}, expected an object: it was damaged.")
    names = dict.fromkeys([*mine, *saved])
    differing = [
        f"{name}: {saved.get(name)!r} saved, {mine.get(name)!r} here"
        for name in names
        if saved.get(name) != mine.get(name)
    ]
    if differing:
        raise StateError(
            f"the state belongs to another order ({'; '.join(differing)}). Restore the same dataset and options."
        )


class BatchIterator(Iterator[Batch]):
    """One worker's batches of an epoch: steps ``first``, ``first + stride``, ... from a position on.

    ``state_dict`` and ``load_state_dict`` are what ``torchdata.stateful_dataloader`` asks of an iterator: it saves one
    per worker, so restoring needs the same number of workers. ``Loader`` has no such need.
    """

    def __init__(
        self, stream: Stream, place: Place, worker: tuple[int, int], make: Callable[[int, int], Batch]
    ) -> None:
        self._stream, self._place, self._make = stream, place, make
        self._first, self._stride = worker
        self._step = self._first

    def __next__(self) -> Batch:
        if self._step >= self._stream.steps(self._place.position):
            raise StopIteration
        start = self._place.position + self._step * self._place.global_batch
        self._step += self._stride
        return self._make(start, min(start + self._place.global_batch, self._stream.size))

    def state_dict(self) -> dict[str, Any]:
        """The next step of this worker."""
        return {
            "version": STATE_VERSION,
            "epoch": self._place.epoch,
            "position": self._place.position,
            "global_batch_size": self._place.global_batch,
            "step": self._step,
            "workers": self._stride,
            "fingerprint": self._stream.fingerprint(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on at a saved step; raises StateError for another order, batch size or number of workers."""
        place, step, workers = Place.of(state, self._stream), _whole(state, "step"), _whole(state, "workers")
        if (workers, place.global_batch) != (self._stride, self._place.global_batch):
            raise StateError(
                f"saved with {workers} workers and global batches of {place.global_batch}, here there are {self._stride}"
                f" and {self._place.global_batch}. ss.Loader resumes with any number of either."
            )
        self._stream.set_epoch(place.epoch, place.position)
        self._place, self._step = place, step
        self._make = self._stream.maker(place.epoch)
