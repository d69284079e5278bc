"""The bottleneck of a loader in one sentence: a pure function of its metrics, asked from the consumer backwards.

Does the loop wait?
    no  -> its own step, or the device
    for the start -> starting the workers
    for batches, while workers are idle -> handing over
    else -> the stage with most of the workers' time: more workers if processors are free, else less work for it
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .metrics import Metrics, StageName

STARVED = 0.1
"""A loop that waits less than this part of its time is not limited by loading."""
IDLE = 0.5
"""Workers that are idle for more than this part of their time while the loop waits are not what it waits for."""
SATURATED = 0.85
"""Processors that are busy for this part of the time with making batches have no room for another worker."""
HELD_UP = 0.6
"""Workers that are on a processor for less than this part of decoding and transforming compete for it."""
_MAKING: tuple[StageName, ...] = ("fetch", "decode", "transform", "assemble")
_LESS: Mapping[str, str] = {
    "decode": "decode less (a transform that plans its crop, smaller pictures, decode='fast') or use more processors",
    "transform": "do less in it, let device= run it on a GPU, or use more processors",
    "assemble": "carry less (annotations, masks, columns) or use more processors",
}


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """Which stage limits the loop, and what to do."""

    limit: str
    """A stage: ``step``, ``device``, ``start``, ``deliver``, ``fetch``, ``decode``, ``transform``, ``assemble``; '' where
    nothing was delivered."""
    sentence: str
    """One sentence: the limit, the figures, and what to change."""
    figures: Mapping[str, float]
    """The two figures of the sentence, by name, each a share from 0 to 1."""

    def __str__(self) -> str:
        return self.sentence


def bottleneck(metrics: Metrics) -> Bottleneck:
    """What limits the loop over a loader whose metrics these are."""
    if not metrics.batches or metrics.seconds <= 0:
        return Bottleneck("", "Nothing was delivered yet.", {})
    start, wait = metrics.share("start"), metrics.share("wait")
    if start + wait < STARVED:
        return _of_the_loop(metrics, start + wait)
    if start > wait:
        return _of_the_start(metrics, start, wait)
    if metrics.workers and metrics.share("deliver", of="waiting") > IDLE:
        return _of_handing_over(metrics, wait)
    return _of_making(metrics, wait)


def _of_the_loop(metrics: Metrics, waited: float) -> Bottleneck:
    step, device = metrics.share("step"), metrics.share("device")
    if device > step:
        return Bottleneck(
            "device",
            f"Moving batches to the device and transforming them there is the limit: it takes {device:.0%} of the loop's"
            f" time, waiting for batches {waited:.0%}; send less (smaller pictures, fewer fields) or transform in workers.",
            {"device": device, "wait": waited},
        )
    return Bottleneck(
        "step",
        f"The training step is the limit: it takes {step:.0%} of the loop's time, waiting for batches {waited:.0%};"
        " loading faster gains nothing, a faster model or GPU does.",
        {"step": step, "wait": waited},
    )


def _of_the_start(metrics: Metrics, start: float, wait: float) -> Bottleneck:
    kept = metrics.persistent_workers or metrics.worker_kind == "thread"
    remedy = "make longer epochs, or fewer of them" if kept else "keep the workers: persistent_workers=True"
    return Bottleneck(
        "start",
        f"Starting is the limit: the loop waited {start:.0%} of its time for first batches and {wait:.0%} for all others;"
        f" {remedy}.",
        {"start": start, "wait": wait},
    )


def _of_handing_over(metrics: Metrics, wait: float) -> Bottleneck:
    idle = metrics.share("deliver", of="waiting")
    thread = metrics.worker_kind == "thread"
    remedy = "use a larger prefetch_factor" if thread else "use worker_kind='thread', or a larger prefetch_factor"
    return Bottleneck(
        "deliver",
        f"Handing over batches is the limit: the loop waited {wait:.0%} of its time while workers had nothing to do for"
        f" {idle:.0%} of theirs; {remedy}.",
        {"wait": wait, "deliver": idle},
    )


def _of_making(metrics: Metrics, wait: float) -> Bottleneck:
    making = sum(metrics.share(stage) for stage in _MAKING) or 1.0
    shares = {stage: metrics.share(stage) / making for stage in _MAKING}
    limit = max(_MAKING, key=shares.__getitem__)
    return Bottleneck(
        limit,
        f"Loading is the limit, {limit} above all: the loop waited {wait:.0%} of its time for batches, and {limit} took"
        f" {shares[limit]:.0%} of making them; {_remedy(metrics, limit)}.",
        {"wait": wait, limit: shares[limit]},
    )


def _remedy(metrics: Metrics, limit: StageName) -> str:
    if limit == "fetch" and metrics.stages["fetch"].waiting > metrics.stages["fetch"].busy:
        return "storage is slow: use a cache_dir, bigger block_bytes, more workers, or a nearer bucket"
    if limit != "fetch" and _held_up(metrics):
        return "workers are kept off the processors: run less beside them, or use more processors"
    if _has_room(metrics):
        return f"use more workers (num_workers={_more(metrics)}; {metrics.cores} processors are there)"
    if limit == "fetch":
        return "the disk or its checksums hold it up: use a faster disk or more processors"
    return _LESS[limit]


def _held_up(metrics: Metrics) -> bool:
    """Whether other programs, other threads or the interpreter lock keep workers from a processor."""
    making = sum(metrics.stages[stage].busy for stage in _MAKING)
    return metrics.processor < HELD_UP * making


def _has_room(metrics: Metrics) -> bool:
    """Whether another worker would find a processor."""
    return metrics.workers < metrics.cores and metrics.processor < SATURATED * metrics.cores * metrics.seconds


def _more(metrics: Metrics) -> int:
    return min(metrics.cores, max(2, 2 * metrics.workers))
