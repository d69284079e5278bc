"""Measuring a loader for some seconds: each stage alone, and the whole."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Generator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from ..errors import OptionError
from ..loaders import Batch, Loader, LoaderOptions, Metrics, ShardDataset, open_dataset, samplers
from ..loaders.alone import AloneStage, loader_of, stages_of
from ..transforms import Compose, presets
from .commands import storage_options
from .sheet import PRESETS

LONG = 1_000_000
"""Items of an epoch, at least: small sets are gone through many times, so that no epoch begins while it is measured."""
SIZED = ("train", "eval")


@dataclass(frozen=True, slots=True)
class Trial:
    """How long a loader is measured, after its first batches: until either is reached."""

    seconds: float
    batches: int | None

    def __post_init__(self) -> None:
        if self.seconds <= 0 or (self.batches is not None and self.batches < 1):
            raise OptionError(f"--seconds {self.seconds} and --batches {self.batches} must be above 0.")

    def measure(self, loader: Loader) -> Metrics:
        """What it did after the first batches of each worker, which start it and fill its queue."""
        batches = _without_end(loader)
        for _ in range(loader.config.ahead + 1):
            next(batches)
        before, end = loader.metrics(), perf_counter() + self.seconds
        for number, _ in enumerate(batches, 1):
            if perf_counter() >= end or number == self.batches:
                break
        found = loader.metrics() - before
        batches.close()
        return found


@dataclass(frozen=True, slots=True)
class Result:
    """Metrics of each stage that was measured alone, and of the whole loader."""

    alone: dict[AloneStage, Metrics]
    whole: Metrics

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers: rates of the stages alone, everything of the whole."""
        rates = {
            stage: {"images_per_second": found.images_per_second, "bytes_per_second": found.bytes_per_second}
            for stage, found in self.alone.items()
        }
        return {"alone": rates, "whole": self.whole.as_dict()}


def run_bench(options: Namespace) -> Result:
    """Measure as the command line says; raises OptionError where its options contradict each other."""
    trial = Trial(options.seconds, options.batches)
    ds = open_dataset(options.url, options.split, storage_options=storage_options(options.storage_option))
    given = _loader_options(options, ds)
    alone = {stage: trial.measure(loader_of(stage, ds, **given)) for stage in stages_of(ds, given)}
    return Result(alone, trial.measure(Loader(ds, **given)))


def _loader_options(options: Namespace, ds: ShardDataset) -> LoaderOptions:
    given: LoaderOptions = {
        "batch_size": options.batch_size,
        "shuffle": True,
        "seed": options.seed,
        "num_workers": options.workers,
        "worker_kind": options.worker_kind,
        "persistent_workers": options.workers > 0 and options.worker_kind == "process",
        "device": options.device,
        "decode": options.decode,
        "sampler": samplers.Natural(size=max(LONG, len(ds)), max_copies=LONG),
    }
    if options.preset != "none" and ds.info.image_field is not None:
        given["transform"] = _transform(options, ds)
    return given


def _transform(options: Namespace, ds: ShardDataset) -> Compose:
    if options.size is None:
        return PRESETS[options.preset](ds)
    if options.preset not in SIZED or options.size < 1:
        raise OptionError(f"--size {options.size} is for --preset {' or '.join(SIZED)}, and at least 1.")
    if options.preset == "train":
        return presets.train(options.size)
    return presets.eval(round(options.size * 256 / 224), options.size)


def _without_end(loader: Loader) -> Generator[Batch, None, None]:
    if not len(loader):
        raise OptionError(
            f"a batch of {loader.stream.config.rows:,} is larger than an epoch of {loader.stream.size:,}."
        )
    while True:
        yield from loader
