"""``Stream``: the iterable of one rank's batches, for ``Loader`` or for a DataLoader of your own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Unpack

import torch
from torch.utils.data import IterableDataset, get_worker_info

from ..errors import OptionError
from .assemble import Assembler
from .base import Dataset
from .batch import Batch
from .config import StreamConfig, StreamOptions
from .epoch import Epoch
from .meter import Measured, Meter
from .order import ORDER_VERSION, OrderSpec
from .readahead import Outlook
from .row_plan import RowPlan
from .samplers.delivered import Delivered
from .state import BatchIterator, Place
from .steps import PLANNED_BYTES, PLANNED_ROWS, Pace, Rows, Steps
from .views import Items, View


@dataclass(frozen=True, slots=True)
class Maker:
    """Turns positions [start, stop) of an epoch into one rank's batch. Threads may share it."""

    assembler: Assembler
    size: int
    """Rows of a batch."""
    steps: Steps
    outlook: Outlook | None
    together: int
    """How many batches that follow each other one thread should make: those whose images are copied in one step."""

    def __call__(self, start: int, stop: int) -> Batch:
        if self.outlook is not None:
            self.outlook.reach(start)
        return self.of(self.steps.rows(start, stop))

    def of(self, rows: Rows) -> Batch:
        """The batch of rows that are planned, and there."""
        return self.assembler.batch(rows, self.size)


class Stream(IterableDataset[Batch]):
    """Yields whole batches of this rank: use ``DataLoader(stream, batch_size=None, num_workers=...)``.

    Every selected sample comes exactly once per epoch over all ranks and workers; every rank takes the same number
    of batches; batch t is the same for any number of workers. Call ``set_epoch(e)`` before each epoch, as with
    ``DistributedSampler`` (``Loader`` does it for you); it reaches persistent workers too.
    """

    def __init__(self, ds: Dataset, **options: Unpack[StreamOptions]) -> None:
        super().__init__()
        self.ds = ds
        self.config = StreamConfig(**options)
        self.view = View.parse(self.config.view)
        if self.view.policy == "random" and not self.config.shuffle:
            raise OptionError(
                f"view {str(self.view)!r} draws, and shuffle=False (evaluation) draws nothing; use {self.view.kind!r}."
            )
        if ds.shares is not None and not self.config.shuffle:
            raise OptionError(
                "a mixture with weights and shuffle=False: evaluation takes every item once, in order. Mix without"
                " weights, or evaluate ds.datasets one by one."
            )
        self.items = Items(ds, self.view)
        self.sampled = self.config.sampler.fit(self.items, self.config.seed)
        self._delivered = Delivered(self.config.sampler, self.sampled, self.items)
        self.size = self.sampled.copies.size
        """Items of an epoch, copies counted."""
        self.spec = OrderSpec.for_size(
            self.size, self.config.shuffle, self.config.seed, self.config.shuffle_window, self.config.shuffle_lanes
        )
        self.assembler = Assembler.of(ds, self.config)
        self.meter: Meter | None = None
        """Counts what the workers do; None: nothing is counted."""
        # (epoch, first position) in shared memory, so that set_epoch reaches persistent workers.
        self._place = torch.zeros(2, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    @property
    def epoch(self) -> int:
        return int(self._place[0])

    def set_epoch(self, epoch: int, position: int = 0) -> None:
        """Choose the epoch (and the position within it) of the next ``iter``."""
        if epoch < 0 or not 0 <= position <= self.size:
            raise OptionError(f"epoch {epoch}, position {position}: both count from 0, up to {self.size} positions.")
        self._place[0], self._place[1] = epoch, position

    @property
    def place(self) -> Place:
        """Where the next ``iter`` begins."""
        return Place(int(self._place[0]), int(self._place[1]), self.config.global_batch)

    def __len__(self) -> int:
        return self.steps(int(self._place[1]))

    def steps(self, position: int = 0) -> int:
        """Batches that each rank takes from a position to the end of the epoch."""
        left, size = self.size - position, self.config.global_batch
        return left // size if self.config.drops_last else -(-left // size)

    def fingerprint(self) -> dict[str, Any]:
        """Everything that decides the order: a state of another fingerprint is refused."""
        spec = self.spec
        return {
            "digest": self.ds.digest,
            "view": str(self.view),
            "sampler": self.sampled.identity,
            "order": ORDER_VERSION,
            "shuffle": spec.shuffle,
            "seed": spec.seed,
            "lanes": spec.lanes,
            "window": spec.window,
        }

    def __iter__(self) -> BatchIterator:
        place = self.place
        worker = get_worker_info()
        share = (worker.id, worker.num_workers) if worker else (0, 1)
        return BatchIterator(self, place, share, self.measured(self.maker(place.epoch)))

    def measured(self, make: Callable[[int, int], Batch]) -> Callable[[int, int], Batch]:
        """The same batches, counted where there is a meter."""
        return make if self.meter is None else Measured(self.meter, make, self.taken, self.ds.fetcher)

    def taken(self, start: int, stop: int) -> int:
        """How many of positions [start, stop) this rank takes."""
        return len(self.config.positions(start, stop))

    def maker(self, epoch: int) -> Maker:
        """What turns positions [start, stop) of an epoch into this rank's batch."""
        epochs = Epoch(self.sampled.copies, self.spec, epoch)
        arrays = self.assembler.array_field
        plan = RowPlan(self.items, self._delivered, self.config, epochs, arrays)
        pace, most = self._pace(), max(1, self._planned_rows(arrays) // self.config.rows)
        copied = arrays is not None and self.ds.fetcher.array_table(arrays) is not None
        return Maker(
            assembler=self.assembler,
            size=self.config.rows,
            steps=Steps(plan.rows, pace, most),
            outlook=self._outlook(plan, pace),
            together=most if copied else 1,
        )

    def _pace(self) -> Pace:
        worker, batch, position = get_worker_info(), self.config.global_batch, int(self._place[1])
        return Pace(
            batch=batch,
            stride=batch * (worker.num_workers if worker else 1),
            stop=min(self.size, position + self.steps(position) * batch),
        )

    def _planned_rows(self, arrays: str | None) -> int:
        if arrays is None:
            return PLANNED_ROWS
        return min(PLANNED_ROWS, int(PLANNED_BYTES / self.ds.fetcher.sample_bytes))

    def _outlook(self, plan: RowPlan, pace: Pace) -> Outlook | None:
        """What announces the rows of coming batches; None where shards are local and need no reading ahead."""
        reader = self.ds.fetcher
        if not reader.outlook:
            return None
        bytes_each = reader.sample_bytes * len(self.ds) / max(1, self.size) / self.config.world.world_size
        return Outlook(reader, plan.places, pace, bytes_each)
