"""Assemble: fetch, decode and batch one rank's rows. The worker's whole job for one step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate

from ..errors import OptionError
from ..moving import crop_annotations
from .annotate import Annotator, Part
from .base import Dataset
from .batch import Batch, padded, stack_images
from .config import StreamConfig
from .decode import DecodePlanner, Geometry, Plan, plan_row
from .joined import checked_fields, joined_fields
from .persons import body_part
from .pictures import Pictures
from .rows import NO_LABEL
from .seeding import seeded
from .stages import TRANSFORM
from .steps import Rows

I64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Assembler:
    """Turns rows into a Batch; missing rows are zeros with ``valid=False``, label -100 and key ''."""

    ds: Dataset
    config: StreamConfig
    transform: Callable[[Any], Any] | None
    annotator: Annotator
    pictures: Pictures
    for_gpu: bool = False
    """Leave JPEGs as they are where a GPU decodes them: ``image`` is a ``Coded``."""

    @classmethod
    def of(cls, ds: Dataset, config: StreamConfig) -> Assembler:
        """Check that the options fit the dataset, and bind the transform to its statistics."""
        if ds.transform is not None and (config.sample_transform or config.transform):
            raise OptionError(
                "the dataset has a with_transform function and the loader another transform; use one of them."
            )
        if ds.info.image_field is None and (config.sample_transform or config.transform):
            raise OptionError(f"split {ds.info.name!r} has no image field for a transform.")
        annotator, whole = Annotator.of(ds, config), ds.transform or config.sample_transform
        if annotator.view.one_each and annotator.view.kind == "person" and whole:
            raise OptionError(
                f"view {config.view!r} gives a body beside each picture, and a function of the picture alone could"
                " turn it away from its body. Use transform=, which moves both, or view='person:all'."
            )
        return cls(ds, config, bound(config.transform, ds), annotator, Pictures(ds, config.decode == "exact"))

    def coding(self) -> Assembler:
        """The same for a GPU that decodes; raises OptionError where somebody needs the pixels in the worker."""
        whole = self.ds.transform or self.config.sample_transform
        if whole is not None or self.bodies or self.ds.info.image_field is None:
            raise OptionError(
                "decode='gpu' leaves JPEGs to the device, and with_transform, sample_transform and view='person' need"
                " pixels before: use decode='fast'."
            )
        return replace(self, for_gpu=True)

    @property
    def bodies(self) -> bool:
        """Whether each row is a person, with a crop of the body."""
        return self.annotator.view.kind == "person" and self.annotator.view.one_each

    @property
    def array_field(self) -> str | None:
        """The image field, where images may be plain arrays that are wanted whole and as they are."""
        field = self.ds.info.image_field
        if field is None or field.rpartition(".")[2] != "npy" or self.bodies:
            return None
        if self.ds.transform is not None or self.config.sample_transform is not None:
            return None
        plan = self._planned([], np.zeros((0, 2), np.int64), np.zeros(0, np.uint64))
        return field if plan is None else None

    def batch(self, rows: Rows, size: int) -> Batch:
        """One batch of ``size`` rows, transformed and renamed."""
        batch = self._start(rows, size)
        if self.ds.transform is not None:
            batch.update(self._items(rows, size))
        else:
            self._fill(rows, size, batch)
        if self.ds.joined and self.ds.transform is None:
            batch.update(checked_fields(batch, joined_fields(self.ds, rows, size, self.annotator.view)))
        if self.transform is not None:
            with TRANSFORM:
                batch = self.transform(batch)
        return batch.rename(dict(self.config.rename)) if self.config.rename else batch

    def _start(self, rows: Rows, size: int) -> Batch:
        """Everything the index knows. Rows were planned for this batch, so their memory becomes its own."""
        batch = Batch(
            key=rows.keys + [""] * (size - len(rows)),
            index=padded(rows.index, size, -1, own=False),
            copy=padded(rows.copies, size, 0, own=False),
            valid=torch.from_numpy(np.arange(size) < len(rows)),
            orig_size=padded(rows.sizes, size, 0, own=False),
            seed=padded(rows.seeds.view(np.int64), size, 0, own=False),
        )
        if self.ds.labelled:
            batch["label"] = padded(rows.labels, size, NO_LABEL, own=False)
        datasets = self.ds.part_numbers(rows.shards)
        if datasets is not None:
            batch["dataset"] = padded(datasets, size, -1)
        batch.update({name: padded(values, size, 0) for name, values in rows.extra.items()})
        return batch

    def _fill(self, rows: Rows, size: int, batch: Batch) -> None:
        """Pixels and annotations, moved with the pixels that were decoded."""
        records = self.annotator.records(rows)
        parts = self.annotator.parts(rows, records)
        plan = self._images(rows, size, batch, parts) if self.ds.info.image_field is not None else None
        batch.update(self.annotator.fields(records, parts, size))
        if plan is not None:
            crop, flip = padded(plan.crop_xyxy, size, 0), padded(plan.flip, size, 0)
            batch.update(crop_annotations(batch, crop, plan.out_hw, flip))

    def _images(self, rows: Rows, size: int, batch: Batch, parts: Sequence[Part]) -> Plan | None:
        """Decode into ``batch``, of persons the bodies too; the plan that was decoded to."""
        if self.config.sample_transform is not None:
            batch["image"] = self._sample_transformed(rows, size, self.config.sample_transform)
            return None
        if rows.images is not None:
            # channels stand last in memory
            batch["image"] = padded(rows.images, size, 0, own=False).permute(0, 3, 1, 2)
            return None
        plan = self._planned(rows.keys, rows.sizes, rows.seeds)
        contexts = [None if plan is None else plan_row(plan, i) for i in range(len(rows))]
        wanted: list[list[Geometry | None]] = [[context] for context in contexts]
        if self.bodies:
            for row, person in zip(wanted, parts, strict=True):
                row.append(body_part(person, self.config.body_size, row[0]))
        if self.for_gpu:
            batch["image"] = self.pictures.coded(rows, contexts, size)
        else:
            pixels = self.pictures.parts(rows, wanted)
            batch["image"] = stack_images([row[0] for row in pixels], size, (1, 1) if plan is None else plan.out_hw)
        if self.bodies:
            batch["body"] = stack_images([row[1] for row in pixels], size, self.config.body_size)
        if plan is not None:
            batch["crop"] = padded(plan.crop_xyxy.astype(np.float32), size, 0)
            batch["flipped"] = padded(plan.flip, size, 0)
        return plan

    def _planned(self, keys: Sequence[str], sizes: I64, seeds: NDArray[np.uint64]) -> Plan | None:
        """The geometry that the transform wants images of these sizes decoded to, if it says."""
        if not hasattr(self.transform, "decode_plan"):
            return None
        return cast("DecodePlanner", self.transform).decode_plan(keys, sizes, seeds)

    def _sample_transformed(self, rows: Rows, size: int, transform: Callable[[Any], Any]) -> Any:
        values = []
        for seed, image in zip(rows.seeds, self.pictures.whole(rows), strict=True):
            with seeded(int(seed)), TRANSFORM:
                values.append(transform(image))
        return collate(values, size)

    def _items(self, rows: Rows, size: int) -> dict[str, Any]:
        """Rows of a ``with_transform`` dataset: the user's function, one sample at a time, seeded, then collated."""
        results: list[dict[str, Any]] = []
        for i in range(len(rows)):
            item = self.ds.read(int(rows.shards[i]), int(rows.rows[i]))
            with seeded(int(rows.seeds[i])), TRANSFORM:
                result = cast("Any", self.ds.transform)({name: [value] for name, value in item.items()})
            results.append({name: values[0] for name, values in result.items()})
        # samples of a mixture need not give the same fields: None keeps the others in their rows
        names = dict.fromkeys(name for result in results for name in result if name != "key")
        return {name: collate([result.get(name) for result in results], size) for name in names}


def bound(transform: Any, ds: Dataset) -> Any:
    """A transform that asks for dataset statistics, bound to them; others unchanged."""
    return transform.bind(ds.statistics) if hasattr(transform, "bind") else transform


def collate(values: Sequence[Any], size: int) -> Any:
    """Stack equal tensors, arrays or numbers, missing rows zero; ragged images and other things stay lists."""
    if not values:
        return torch.zeros(size)
    if not all(isinstance(value, Tensor | np.ndarray | int | float | bool) for value in values):
        return list(values) + [None] * (size - len(values))
    tensors = [torch.as_tensor(value) for value in values]
    if len({tensor.shape for tensor in tensors}) > 1:
        return list(values) + [None] * (size - len(values))
    return default_collate([*tensors, *[torch.zeros_like(tensors[0])] * (size - len(tensors))])
