"""One stage of a loader alone: the same order, workers and batches, with everything else left out.

fetch      members are read and verified and copied once, as a decoder would touch them; nothing is decoded
decode     pictures whose bytes lie in memory are decoded, cropped and resized, and stacked to batches
transform  the transform runs again and again on the worker's first batch
device     the first batch is moved to the device again and again, and transformed there

Each is an ordinary ``Loader``, so its metrics are measured as those of the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Unpack, cast

import numpy as np
import torch

from ..errors import OptionError
from .assemble import Assembler
from .base import I64, Dataset, RowReader
from .batch import Batch
from .config import LoaderOptions
from .counters import Counters
from .loader import Loader, as_it_is, planned_only
from .rows import ShardRows
from .stages import TRANSFORM
from .steps import Rows

AloneStage = Literal["fetch", "decode", "transform", "device"]
_OF_WORKERS = ("num_workers", "worker_kind", "prefetch_factor", "persistent_workers", "multiprocessing_context")
HELD_ROWS, HELD_BYTES = 1024, 256_000_000
"""The most pictures that are held in memory to be decoded, and their bytes."""


def stages_of(ds: Dataset, options: LoaderOptions) -> tuple[AloneStage, ...]:
    """The stages that a loader with these options goes through, and that can be measured alone."""
    if ds.info.image_field is None:
        return ()
    on_device = torch.device(options.get("device", "cpu")).type != "cpu"
    last: tuple[AloneStage, ...] = ("device",) if on_device else ("transform",) if "transform" in options else ()
    return ("fetch", "decode", *last)


def loader_of(stage: AloneStage, ds: Dataset, **options: Unpack[LoaderOptions]) -> Loader:
    """A loader with the options of the whole one that does one stage, on the CPU but for ``device``.

    Raises OptionError where the whole loader has no such stage.
    """
    if stage not in stages_of(ds, options):
        raise OptionError(f"a loader of {ds.info.name!r} with these options has no stage {stage!r} to run alone.")
    if stage == "device":
        return _device_alone(ds, options)
    options["device"] = "cpu"
    if options.get("decode") == "gpu":
        options["decode"] = "fast"
    loader = Loader(held(ds) if stage == "decode" else ds, **options)
    whole = loader.stream.assembler
    if stage == "decode":
        loader.stream.assembler = planned_only(whole, whole.transform)
    else:
        kind = _FetchAlone if stage == "fetch" else _TransformAlone
        loader.stream.assembler = kind(**_fields(whole))
    return loader


def _device_alone(ds: Dataset, options: LoaderOptions) -> Loader:
    """Without workers: they would only hand over the same batch."""
    alone = cast("LoaderOptions", {name: value for name, value in options.items() if name not in _OF_WORKERS})
    loader = Loader(ds, **alone)
    loader.stream.assembler = _SameBatch(**_fields(loader.stream.assembler), pins=loader.device.type == "cuda")
    return loader


def _fields(assembler: Assembler) -> dict[str, Any]:
    return {name: getattr(assembler, name) for name in Assembler.__slots__}


@dataclass(frozen=True, slots=True)
class _FetchAlone(Assembler):
    array_field = None

    def batch(self, rows: Rows, size: int) -> Batch:  # noqa: ARG002 - an assembler's signature
        image = self.ds.info.image_field or ""
        for shard, row in zip(rows.shards.tolist(), rows.rows.tolist(), strict=True):
            bytes(self.ds.fetcher.member(shard, row, image) or b"")
        return Batch(key=rows.keys)


@dataclass(frozen=True, slots=True)
class _SameBatch(Assembler):
    pins: bool = False
    _first: list[Batch] = field(default_factory=list)
    """The batch that is delivered each time, made when it is first wanted."""

    def batch(self, rows: Rows, size: int) -> Batch:
        if not self._first:
            made = planned_only(Assembler(**_fields(self)), self.transform).batch(rows, size)
            self._first.append(made.pin_memory() if self.pins else made)
        return Batch(self._first[0])


@dataclass(frozen=True, slots=True)
class _TransformAlone(_SameBatch):
    def batch(self, rows: Rows, size: int) -> Batch:
        batch = _SameBatch.batch(self, rows, size)
        with TRANSFORM:
            return Batch((self.transform or as_it_is)(batch))


def held(ds: Dataset) -> Dataset:
    """The first rows of a dataset, as many as HELD_ROWS and HELD_BYTES allow, with their pictures' bytes in memory."""
    places, kept = _first_rows(ds)
    view = copy(ds.select(np.arange(len(places))))
    view.fetcher = HeldFetcher(ds.fetcher, kept)
    return view


def _first_rows(ds: Dataset) -> tuple[I64, Mapping[tuple[int, int, str], bytes]]:
    image, kept, nbytes = ds.info.image_field or "", dict[tuple[int, int, str], bytes](), 0
    for index in range(min(len(ds), HELD_ROWS)):
        shard, row = ds.locate(index)
        data = bytes(ds.fetcher.member(shard, row, image) or b"")
        nbytes += len(data)
        if kept and nbytes > HELD_BYTES:
            break
        kept[shard, row, image] = data
    return np.arange(len(kept)), kept


@dataclass(slots=True)
class HeldFetcher:
    """Hands out members from memory where it has them; counts what it hands out. Picklable."""

    reader: RowReader
    kept: Mapping[tuple[int, int, str], bytes] = field(repr=False)
    delivered: int = 0

    def member(self, shard: int, row: int, name: str) -> memoryview | bytes | None:
        data = self.kept.get((shard, row, name))
        if data is None:
            return self.reader.member(shard, row, name)
        self.delivered += len(data)
        return data

    def plain(self, shard: int, rows: I64, name: str) -> None:
        """Members are handed out one by one."""

    @property
    def counters(self) -> Counters:
        """What was handed out from memory; the rest is as the reader counts it."""
        mine = self.reader.counters
        return replace(mine, bytes_delivered=mine.bytes_delivered + self.delivered)

    def rows(self, shard: int) -> ShardRows:
        return self.reader.rows(shard)

    def array_table(self, name: str) -> None:
        """Its shards are read one by one."""

    def count_delivered(self, size: int) -> None:
        """Nothing is handed out but members, which are counted."""

    def url(self, shard: int) -> str:
        return self.reader.url(shard)

    outlook = 0
    """Nothing comes from storage."""
    idle = False

    @property
    def sample_bytes(self) -> float:
        return self.reader.sample_bytes

    def begin_epoch(self) -> None:
        """Nothing was announced."""

    def ahead(self, shards: I64, rows: I64) -> None:
        """Nothing is read ahead."""
