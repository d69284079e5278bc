"""``Metrics``: what each stage of loading cost, as one frozen value. The difference of two is a time between.

Two sides run at once. Workers (or the training loop itself, without workers) go through fetch, decode, transform and
assemble for each batch, and deliver; the training loop waits, moves a batch to the device, and makes its step.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from .config import LoaderConfig, WorkerKind
from .counters import Counters
from .meter import LOOP_STAGES, Loop, LoopTime, read_counters
from .stages import Column

if TYPE_CHECKING:
    from .bottleneck import Bottleneck

StageName = Literal["fetch", "decode", "transform", "assemble", "deliver", "start", "wait", "device", "step"]
WORKER_STAGES: tuple[StageName, ...] = ("fetch", "decode", "transform", "assemble", "deliver")


@dataclass(frozen=True, slots=True)
class StageTime:
    """One stage, summed over the workers."""

    busy: float
    """Seconds of work."""
    waiting: float
    """Seconds without: fetch waits for storage, deliver for somebody who takes a batch, the loop for batches."""
    times: int
    """How often: members fetched, pictures decoded, batches else."""

    def __sub__(self, earlier: StageTime) -> StageTime:
        return StageTime(self.busy - earlier.busy, self.waiting - earlier.waiting, self.times - earlier.times)


@dataclass(frozen=True, slots=True)
class Metrics:
    """What one rank's loader has done since it was made, in seconds, bytes and numbers.

    ``stages``, of the workers: ``fetch`` (a member's bytes are read and verified), ``decode`` (one picture decoded,
    cropped, resized), ``transform`` (the caller's functions, where they run in workers), ``assemble`` (everything
    else: order, index rows, annotations, stacking) and ``deliver`` (pinned by threads; waiting: nothing to do). Of the
    training loop: ``start`` (waiting for workers to start), ``wait`` (for a batch), ``device`` (copy and transform on
    the device, as far as the processor sees it), ``step`` (the caller's own work between two batches).
    """

    stages: Mapping[str, StageTime]
    images: int
    """Delivered to the caller; rows that only fill a batch are not counted."""
    batches: int
    """Delivered to the caller."""
    workers: int
    worker_kind: WorkerKind
    persistent_workers: bool
    cores: int
    """Processors that this rank may use: those of the process, shared by the ranks of its machine."""
    processor: float
    """Seconds that workers spent on a processor while they made batches; the rest of that time they were held up."""
    queued: int
    """Batches that were ready when the caller asked for another one, summed over ``asked``."""
    asked: int
    queue_limit: int
    """Batches that may be ready or in the making."""
    reading: Counters = field(default_factory=Counters)
    """Bytes, requests and blocks, of the processes that made the batches."""

    @classmethod
    def of(cls, loop: Loop, config: LoaderConfig) -> Metrics:
        """What was counted so far."""
        totals, time = loop.meter.totals(), loop.time
        return cls(
            stages={**_of_workers(totals), **_of_loop(time)},
            images=time.images,
            batches=time.batches,
            workers=config.num_workers,
            worker_kind=config.worker_kind,
            persistent_workers=config.persistent_workers,
            cores=_cores(),
            processor=totals[Column.PROCESSOR],
            queued=time.queued,
            asked=time.asked,
            queue_limit=config.ahead,
            reading=read_counters(totals),
        )

    @property
    def seconds(self) -> float:
        """The caller's time in loops over the loader."""
        return sum(self.stages[name].busy + self.stages[name].waiting for name in LOOP_STAGES)

    @property
    def worker_seconds(self) -> float:
        """The workers' time, from their first batch to their last, summed over them."""
        return sum(self.stages[name].busy + self.stages[name].waiting for name in WORKER_STAGES)

    @property
    def images_per_second(self) -> float:
        return self.images / self.seconds if self.seconds else 0.0

    @property
    def bytes_per_second(self) -> float:
        """Bytes of members read, whether or not their batches were delivered yet."""
        return self.reading.bytes_delivered / self.seconds if self.seconds else 0.0

    @property
    def queue_depth(self) -> float:
        """Batches that were ready when the caller asked for another one, on average."""
        return self.queued / self.asked if self.asked else 0.0

    @property
    def bottleneck(self) -> Bottleneck:
        """Which stage is the limit, the two figures that say so, and what to change, in one sentence."""
        from .bottleneck import bottleneck

        return bottleneck(self)

    def share(self, stage: StageName, *, of: Literal["busy", "waiting", "both"] = "both") -> float:
        """A stage's part of its side's time, 0 to 1: of the workers' seconds, or of the training loop's."""
        found = self.stages[stage]
        seconds = {"busy": found.busy, "waiting": found.waiting, "both": found.busy + found.waiting}[of]
        whole = self.worker_seconds if stage in WORKER_STAGES else self.seconds
        return seconds / whole if whole > 0 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, with the derived ones."""
        derived = ("seconds", "images_per_second", "bytes_per_second", "queue_depth")
        plain = {name.name: getattr(self, name.name) for name in fields(self)}
        return {
            **plain,
            **{name: getattr(self, name) for name in derived},
            "stages": {name: asdict(stage) for name, stage in self.stages.items()},
            "reading": asdict(self.reading),
            "bottleneck": asdict(self.bottleneck),
        }

    def prometheus(self, labels: Mapping[str, str] | None = None) -> str:
        """The figures in Prometheus' text format 0.0.4, every sample with these labels (``{"rank": "0"}``)."""
        from .prometheus import exposition

        return exposition(self, labels or {})

    def __sub__(self, earlier: Metrics) -> Metrics:
        return replace(
            self,
            stages={name: stage - earlier.stages[name] for name, stage in self.stages.items()},
            images=self.images - earlier.images,
            batches=self.batches - earlier.batches,
            processor=self.processor - earlier.processor,
            queued=self.queued - earlier.queued,
            asked=self.asked - earlier.asked,
            reading=self.reading - earlier.reading,
        )


def _of_workers(totals: list[float]) -> dict[str, StageTime]:
    fetch, storage = totals[Column.FETCH], totals[Column.STORAGE]
    decode, transform, pin = totals[Column.DECODE], totals[Column.TRANSFORM], totals[Column.PIN]
    batches = int(totals[Column.BATCHES])
    assemble = max(0.0, totals[Column.BATCH] - fetch - decode - transform - pin)  # not less than nothing by rounding
    return {
        "fetch": StageTime(max(0.0, fetch - storage), storage, int(totals[Column.FETCHES])),
        "decode": StageTime(decode, 0.0, int(totals[Column.DECODES])),
        "transform": StageTime(transform, 0.0, int(totals[Column.TRANSFORMS])),
        "assemble": StageTime(assemble, 0.0, batches),
        "deliver": StageTime(pin, totals[Column.IDLE], batches),
    }


def _of_loop(time: LoopTime) -> dict[str, StageTime]:
    return {
        "start": StageTime(0.0, time.start, time.batches),
        "wait": StageTime(0.0, time.wait, time.batches),
        "device": StageTime(time.device, 0.0, time.batches),
        "step": StageTime(time.step, 0.0, time.batches),
    }


def _cores() -> int:
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    here = os.environ.get("LOCAL_WORLD_SIZE", "1")  # torchrun: ranks of this machine
    return max(1, mine // max(1, int(here) if here.isdigit() else 1))
