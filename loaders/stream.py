"""``Stream``: the iterable of one rank's batches, for ``Loader`` or for a DataLoader of your own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

from ..counted import mix, text_word, uniform
from ..errors import OptionError
from .assemble import Assembler, Rows
from .base import Dataset
from .batch import Batch
from .config import StreamConfig, StreamOptions
from .epoch import Epoch
from .meter import Measured, Meter
from .order import ORDER_VERSION, OrderSpec, rank_positions
from .readahead import Course, Outlook
from .samplers.delivered import Delivered
from .state import BatchIterator, Place
from .views import Items, View

_SAMPLE, _PART, _DATASET = text_word("sample"), text_word("part"), text_word("dataset")
I64 = NDArray[np.int64]


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
        world = self.config.world
        return len(rank_positions(start, stop, world.rank, world.world_size, self.config.shuffle))

    def maker(self, epoch: int) -> Callable[[int, int], Batch]:
        """What turns positions [start, stop) of an epoch into this rank's batch."""
        plan = Epoch(self.sampled.copies, self.spec, epoch)
        return partial(self._batch, plan, self._outlook(plan))

    def _outlook(self, epoch: Epoch) -> Outlook | None:
        """What announces the rows of coming batches; None where shards are local and need no reading ahead."""
        if not self.ds.fetcher.outlook:
            return None
        worker, world, batch = get_worker_info(), self.config.world, self.config.global_batch
        position = int(self._place[1])
        course = Course(
            batch=batch,
            stride=batch * (worker.num_workers if worker else 1),
            stop=min(self.size, position + self.steps(position) * batch),
            bytes_each=self.ds.fetcher.sample_bytes * len(self.ds) / max(1, self.size) / world.world_size,
        )
        return Outlook(self.ds.fetcher, partial(self._rows, epoch), course)

    def _rows(self, epoch: Epoch, start: int, stop: int) -> tuple[I64, I64]:
        """Shards and rows of this rank's part of global batch [start, stop)."""
        shards, items, _ = self._items(epoch, start, stop)
        return shards, self.ds.row_numbers(shards, self.items.locate(shards, items)[0])

    def _items(self, epoch: Epoch, start: int, stop: int) -> tuple[I64, I64, I64]:
        world = self.config.world
        return epoch.locate(rank_positions(start, stop, world.rank, world.world_size, self.config.shuffle))

    def _batch(self, epoch: Epoch, outlook: Outlook | None, start: int, stop: int) -> Batch:
        if outlook is not None:
            outlook.reach(start)
        shards, items, copies = self._items(epoch, start, stop)
        places, parts = self.items.locate(shards, items)
        rows = self.ds.row_numbers(shards, places)
        keys = [self.ds.fetcher.rows(int(shard)).keys[row] for shard, row in zip(shards, rows, strict=True)]
        seeds = self._seeds(epoch.number, self._words(keys, shards), parts, copies)
        return self.assembler.batch(
            Rows(
                shards=shards,
                rows=rows,
                index=self.ds.shard_start(shards) + places,
                copies=copies,
                keys=keys,
                seeds=seeds,
                parts=self._drawn(shards, rows, seeds) if self.view.policy == "random" else parts,
                extra=self._delivered.of(shards, items),
            ),
            self.config.rows,
        )

    def _drawn(self, shards: I64, rows: I64, seeds: NDArray[np.uint64]) -> I64:
        """One part of each image, uniformly, from its seed of this epoch."""
        column = self.view.column or ""
        counts = np.array(
            [self.ds.fetcher.rows(int(s)).numbers[column][row] for s, row in zip(shards, rows, strict=True)],
            dtype=np.int64,
        )
        return np.floor(uniform(mix(seeds, _PART)) * counts).astype(np.int64)

    def _words(self, keys: list[str], shards: I64) -> NDArray[np.uint64]:
        """A number of each sample: of its key, and of its part where a mixture may hold the key several times."""
        words = np.array([text_word(key) for key in keys], dtype=np.uint64)
        datasets = self.ds.part_numbers(shards)
        if datasets is None:
            return words
        return np.where(datasets > 0, mix(_DATASET, datasets.astype(np.uint64), words), words)

    def _seeds(self, epoch: int, words: NDArray[np.uint64], parts: I64, copies: I64) -> NDArray[np.uint64]:
        # Evaluation draws nothing, and must not differ between epochs even if a transform draws.
        seeds = mix(self.config.seed, epoch if self.config.shuffle else 0, words, copies.astype(np.uint64), _SAMPLE)
        # Each caption of an image gets a crop of its own; whole images keep the seed they always had.
        return np.where(parts > 0, mix(seeds, _PART, np.maximum(parts, 0).astype(np.uint64)), seeds)
