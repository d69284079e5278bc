"""``Loader``: a Stream in a DataLoader, delivered to a device, with epochs and state kept."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, Unpack, cast

import torch
from torch.utils.data import DataLoader

from ..errors import StateError
from .assemble import Assembler, bound
from .base import Dataset
from .batch import Batch
from .coded import DeviceDecoder, device_decoder
from .config import LoaderConfig, LoaderOptions
from .device import Copy, ahead_of, copier_of
from .live import LiveLine
from .meter import Loop, Meter
from .metrics import Metrics
from .seeding import worker_init_fn
from .state import STATE_VERSION, Place
from .stream import Stream
from .threads import ThreadedBatches

log = logging.getLogger("shardstream")
_LOADER_FIELDS = frozenset(field.name for field in fields(LoaderConfig))


class Loader:
    """Batches of one split on one rank: exactly once per epoch over all ranks, the same at any worker count.

    A finished ``iter`` advances the epoch, so a plain ``for`` per epoch gives a new order each time; ``set_epoch``
    overrides; ``break`` before the last batch and a new ``iter`` restart the same epoch. ``state_dict`` counts
    delivered batches only. Trainers that take any iterable take this one as it is.
    """

    def __init__(self, ds: Dataset, **options: Unpack[LoaderOptions]) -> None:
        given = cast("dict[str, Any]", dict(options))
        self.config = LoaderConfig(**{name: given.pop(name) for name in list(given) if name in _LOADER_FIELDS})
        self.device = torch.device(self.config.device)
        # On the CPU the workers share the transform's work; elsewhere it runs on the device, after the copy.
        on_device = self.device.type != "cpu"
        self._late = given.pop("transform", None) if on_device else None
        self._rename: dict[str, str] = dict(given.pop("rename", {})) if on_device else {}
        self._decoder: DeviceDecoder | None = None
        if given.get("decode") == "gpu":
            self._decoder, given["decode"] = device_decoder(self.device), "fast"  # what the GPU does not take
        self.stream = Stream(ds, **given)
        if self._decoder is not None:
            self.stream.assembler = self.stream.assembler.coding()
        if self._late is not None:
            self._late = bound(self._late, ds)
            self.stream.assembler = planned_only(self.stream.assembler, self._late)
        self.stream.meter = Meter(max(1, self.config.num_workers))
        self._loop = Loop(self.stream.meter)
        self._live = LiveLine(self.config.live)
        self.epoch = 0
        self._position = 0  # first position that has not been delivered
        self._resume = 0  # where the next iter begins
        self._batches: DataLoader[Batch] | None = None

    def __len__(self) -> int:
        """Batches of a whole epoch, the same on every rank."""
        return self.stream.steps()

    def __repr__(self) -> str:
        config, left = self.stream.config, self.stream.size % self.stream.config.global_batch
        last = f"drops the last {left} samples of each epoch" if config.drops_last else "fills the last batch"
        return f"Loader({self.stream.ds!r}, {len(self)} batches of {config.rows} per rank, {last})"

    def set_epoch(self, epoch: int) -> None:
        """The next ``iter`` is this epoch, from its start; or from the place within it that was just restored.

        So a loop that calls this before every epoch, as ``DistributedSampler`` wants it, resumes where it stopped.
        """
        if epoch != self.epoch or not self._resume:
            self.epoch, self._position, self._resume = epoch, 0, 0

    # Trainers that number the epochs themselves look for these two and call ``sampler.set_epoch(epoch)``.
    @property
    def sampler(self) -> Loader:
        """The loader itself, whose ``set_epoch`` is the one to call."""
        return self

    @property
    def batch_sampler(self) -> None:
        """None: batches are whole as they come."""

    def _delivered_all(self) -> bool:
        return self._position > 0 and self.stream.steps(self._position) == 0

    def state_dict(self) -> dict[str, Any]:
        """Plain integers and strings: where to go on, and what order that belongs to."""
        done = self._delivered_all()
        return {
            "version": STATE_VERSION,
            "epoch": self.epoch + 1 if done else self.epoch,
            "position": 0 if done else self._position,
            "global_batch_size": self.stream.config.global_batch,
            "fingerprint": self.stream.fingerprint(),
        }

    def load_state_dict(self, state: Mapping[str, Any], *, strict: bool = False) -> None:
        """Go on at a saved place, on any world size and worker count; raises StateError for another order.

        With another global batch size the rest of the epoch is still delivered exactly once, only batch boundaries
        differ: a warning says so, ``strict=True`` refuses it.
        """
        place, here = Place.of(state, self.stream), self.stream.config.global_batch
        if place.global_batch != here:
            differing = f"the state was saved with global batch size {place.global_batch}, here it is {here}"
            if strict:
                raise StateError(f"{differing}; pass global_batch_size={place.global_batch}, or strict=False.")
            log.warning("%s: the rest of the epoch is still exactly once, batch boundaries differ", differing)
        self.epoch = place.epoch
        self._position = self._resume = place.position

    def __iter__(self) -> Iterator[Batch]:
        self.stream.config.world.confirm()
        if self._delivered_all() and not self._resume:
            self.set_epoch(self.epoch + 1)  # a trainer that counts batches never asks for the one after the last
        epoch, self._position = self.epoch, self._resume
        self._resume = 0
        self.stream.set_epoch(epoch, self._position)
        try:
            for delivered in self._delivered():
                before = self._position
                self._position = min(before + self.stream.config.global_batch, self.stream.size)
                self._loop.delivered(self.stream.taken(before, self._position))
                self._live.show(self.metrics)
                yield delivered
        finally:
            self._loop.enter(None)
            self._live.close()
        if self.epoch == epoch:
            self.epoch, self._position = epoch + 1, 0

    def metrics(self) -> Metrics:
        """What each stage has cost since the loader was made; of two, the difference is a time between. Cheap."""
        return Metrics.of(self._loop, self.config)

    def _delivered(self) -> Iterator[Batch]:
        """Batches on the device, in order; on a CUDA device the next ones are copied meanwhile."""
        config = self.config
        arriving = self._loop.arriving(self._dataloader(), "start" if config.num_workers else "wait")
        if self.device.type == "cpu":
            return arriving
        ahead = config.device_ahead if self.device.type == "cuda" else 0
        return ahead_of(arriving, copier_of(self.device), ahead, self._finished)

    def _dataloader(self) -> Iterable[Batch]:
        config = self.config
        pin = self.device.type == "cuda" if config.pin_memory is None else config.pin_memory
        if config.num_workers and config.worker_kind == "thread":
            return ThreadedBatches(self.stream, config.num_workers, config.ahead, pin)
        if self._batches is None:
            self._batches = DataLoader(
                self.stream,
                batch_size=None,
                collate_fn=as_it_is,
                num_workers=config.num_workers,
                prefetch_factor=(config.prefetch_factor or 2) if config.num_workers else None,
                pin_memory=pin,
                persistent_workers=config.persistent_workers,
                multiprocessing_context=config.multiprocessing_context,
                worker_init_fn=worker_init_fn,
            )
        return self._batches

    def _finished(self, copy: Copy) -> Batch:
        self._loop.enter("device")
        moved = copy.arrive()
        if self._decoder is not None:
            moved["image"] = moved["image"].decoded(self._decoder)
        if self._late is not None:
            moved = self._late(moved)
        return moved.rename(self._rename)


def planned_only(assembler: Assembler, transform: Any) -> Assembler:
    """The worker's half of a device transform: decode what it plans, leave the rest to the device."""
    return replace(assembler, transform=_PlanOnly(transform) if hasattr(transform, "decode_plan") else None)


class _PlanOnly:
    """Plans like the transform it stands for, and leaves batches as they are."""

    def __init__(self, transform: Any) -> None:
        self.decode_plan = transform.decode_plan

    def __call__(self, batch: Batch) -> Batch:
        return batch


def as_it_is(batch: Any) -> Any:
    """Instead of torch's default, which would walk through every key of every batch."""
    return batch
