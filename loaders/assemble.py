"""Assemble: fetch, decode and batch one rank's rows. The worker's whole job for one step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate

from ..errors import OptionError, UndecodableImage
from ..moving import crop_annotations
from .batch import Batch, stack_images
from .config import StreamConfig
from .dataset import ShardDataset
from .decode import DecodePlanner, Plan, decode_image, decode_pixels, plan_row
from .objects import caption_fields, object_fields
from .seeding import seeded
from .views import View

I64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rows:
    """The samples of one batch on one rank; every array is (n,), n <= rows of the batch."""

    shards: I64
    rows: I64
    index: I64
    copies: I64
    keys: list[str]
    seeds: NDArray[np.uint64]
    parts: I64
    """Which annotation of its image each item is; -1 for the whole image."""
    extra: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Fields (n, ...) that the sampler adds; missing rows are 0."""

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Assembler:
    """Turns rows into a Batch; missing rows are zeros with ``valid=False``, label -100 and key ''."""

    ds: ShardDataset
    config: StreamConfig
    transform: Callable[[Any], Any] | None

    @classmethod
    def of(cls, ds: ShardDataset, config: StreamConfig) -> Assembler:
        """Check that the options fit the dataset, and bind the transform to its statistics."""
        if ds.transform is not None and (config.sample_transform or config.transform):
            raise OptionError(
                "the dataset has a with_transform function and the loader another transform; use one of them."
            )
        if ds.info.image_field is None and (config.sample_transform or config.transform):
            raise OptionError(f"split {ds.info.name!r} has no image field for a transform.")
        return cls(ds, config, bound(config.transform, ds))

    def batch(self, rows: Rows, size: int) -> Batch:
        """One batch of ``size`` rows, transformed and renamed."""
        batch = self._start(rows, size)
        if self.ds.transform is not None:
            batch.update(self._items(rows, size))
        elif self.ds.info.image_field is not None:
            plan = self._images(rows, size, batch)
            self._annotate(rows, size, batch)
            if plan is not None:
                crop = padded(plan.crop_xyxy, size, 0)
                batch.update(crop_annotations(batch, crop, plan.out_hw))
        if self.transform is not None:
            batch = self.transform(batch)
        return batch.rename(dict(self.config.rename)) if self.config.rename else batch

    def _start(self, rows: Rows, size: int) -> Batch:
        """Everything the index knows."""
        found = [self.ds.fetcher.rows(int(shard)) for shard in rows.shards]
        sizes = [shard.sizes[row] for shard, row in zip(found, rows.rows, strict=True)]
        batch = Batch(
            key=rows.keys + [""] * (size - len(rows)),
            index=padded(rows.index, size, -1),
            copy=padded(rows.copies, size, 0),
            valid=torch.arange(size) < len(rows),
            orig_size=padded(np.array(sizes, dtype=np.int64).reshape(-1, 2), size, 0),
            seed=padded(rows.seeds.view(np.int64), size, 0),
        )
        if self.ds.info.label_column is not None:
            labels = [cast("I64", shard.label)[row] for shard, row in zip(found, rows.rows, strict=True)]
            batch["label"] = padded(np.array(labels, dtype=np.int64), size, -100)
        batch.update({name: padded(values, size, 0) for name, values in rows.extra.items()})
        return batch

    def _images(self, rows: Rows, size: int, batch: Batch) -> Plan | None:
        """Decode into ``batch``; the plan they were decoded to."""
        if self.config.sample_transform is not None:
            batch["image"] = self._sample_transformed(rows, size, self.config.sample_transform)
            return None
        plan = self._plan(rows, batch)
        images = [self._pixels(rows, i, plan) for i in range(len(rows))]
        batch["image"] = stack_images(images, size)
        if plan is not None:
            if len(rows) == 0:
                batch["image"] = torch.zeros(size, 3, *plan.out_hw, dtype=torch.uint8)
            batch["crop"] = padded(plan.crop_xyxy.astype(np.float32), size, 0)
            batch["flipped"] = padded(plan.flip, size, 0)
        return plan

    def _annotate(self, rows: Rows, size: int, batch: Batch) -> None:
        """The fields that the view and the declared columns ask for, moved with the pixels that were decoded."""
        columns = self.ds.info.columns
        whole = self.config.view == "image"
        wanted = [name for name in ("n_objects", "n_captions") if name in columns and (whole or name == "n_captions")]
        if not wanted or "json" not in self.ds.info.fields:
            return
        records = [self.ds.record(int(shard), int(row)) for shard, row in zip(rows.shards, rows.rows, strict=True)]
        if "image_id" in columns:
            batch["image_id"] = padded(np.array([r["image_id"] for r in records], dtype=np.int64), size, -1)
        if "n_objects" in wanted:
            keypoints = "n_keypoints" in columns
            batch.update(object_fields(records, size, keypoints=keypoints, masks=self.config.masks))
        if "n_captions" in wanted:
            one_each = View.parse(self.config.view).one_each
            batch.update(caption_fields(records, rows.parts.tolist() if one_each else None, size))

    def _plan(self, rows: Rows, batch: Batch) -> Plan | None:
        if not hasattr(self.transform, "decode_plan"):
            return None
        planner = cast("DecodePlanner", self.transform)
        return planner.decode_plan(rows.keys, batch["orig_size"][: len(rows)].numpy(), rows.seeds)

    def _orientation(self, rows: Rows, i: int) -> int:
        return int(self.ds.fetcher.rows(int(rows.shards[i])).orientation[rows.rows[i]])

    def _data(self, rows: Rows, i: int) -> tuple[memoryview | bytes, str]:
        shard, row = int(rows.shards[i]), int(rows.rows[i])
        data = self.ds.fetcher.member(shard, row, cast("str", self.ds.info.image_field))
        where = self.ds.where(shard, row)
        if data is None:
            raise UndecodableImage(
                f"{where}: the sample has no {self.ds.info.image_field!r} member. Leave it out when indexing."
            )
        return data, where

    def _pixels(self, rows: Rows, i: int, plan: Plan | None) -> NDArray[np.uint8]:
        data, where = self._data(rows, i)
        geometry, exact = None if plan is None else plan_row(plan, i), self.config.decode == "exact"
        return decode_pixels(data, where, geometry, self._orientation(rows, i), exact)

    def _sample_transformed(self, rows: Rows, size: int, transform: Callable[[Any], Any]) -> Any:
        values = []
        for i in range(len(rows)):
            image = decode_image(*self._data(rows, i), self._orientation(rows, i))
            with seeded(int(rows.seeds[i])):
                values.append(transform(image))
        return collate(values, size)

    def _items(self, rows: Rows, size: int) -> dict[str, Any]:
        """Rows of a ``with_transform`` dataset: the user's function, one sample at a time, seeded, then collated."""
        columns: dict[str, list[Any]] = {}
        for i in range(len(rows)):
            item = self.ds.read(int(rows.shards[i]), int(rows.rows[i]))
            with seeded(int(rows.seeds[i])):
                result = cast("Any", self.ds.transform)({name: [value] for name, value in item.items()})
            for name, values in result.items():
                columns.setdefault(name, []).append(values[0])
        return {name: collate(values, size) for name, values in columns.items() if name != "key"}


def bound(transform: Any, ds: ShardDataset) -> Any:
    """A transform that asks for dataset statistics, bound to them; others unchanged."""
    return transform.bind(ds.statistics) if hasattr(transform, "bind") else transform


def padded(values: NDArray[Any], size: int, fill: int) -> Tensor:
    """(n, ...) -> tensor (size, ...), the rows beyond n filled."""
    result = np.full((size, *values.shape[1:]), fill, dtype=values.dtype)
    result[: len(values)] = values
    return torch.from_numpy(result)


def collate(values: Sequence[Any], size: int) -> Any:
    """Stack equal tensors, arrays or numbers, missing rows zero; ragged images and other things stay lists."""
    if not values:
        return torch.zeros(size)
    first = values[0]
    if not isinstance(first, Tensor | np.ndarray | int | float | bool):
        return list(values) + [None] * (size - len(values))
    tensors = [torch.as_tensor(value) for value in values]
    if len({tensor.shape for tensor in tensors}) > 1:
        return list(values) + [None] * (size - len(values))
    return default_collate([*tensors, *[torch.zeros_like(tensors[0])] * (size - len(tensors))])
