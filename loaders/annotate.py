"""Annotate: what a view's batches say of their images, taken from the samples' JSON records.

    view          an item is   fields
    image         an image     boxes, ...; captions, persons, questions as lists: all that the split's index declares
    person:all    an image     persons as lists
    person        a person     categories, vad, box, ...

An index column that counts (n_persons ...) says that the records have what it counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CorruptData, OptionError
from .base import Dataset
from .batch import padded
from .config import StreamConfig
from .objects import caption_fields, caption_lists, object_fields
from .persons import person_fields
from .questions import question_fields
from .samples import Item
from .views import PART_COLUMNS, View

if TYPE_CHECKING:
    from .steps import Rows

Part = Mapping[str, Any]
_OBJECTS = "n_objects"


@dataclass(frozen=True, slots=True)
class Annotator:
    """Makes batch fields of records: one part of each image where the view has one, else lists of all."""

    ds: Dataset
    view: View
    columns: tuple[str, ...]
    """The counting columns (n_persons ...) whose annotations are wanted."""
    classes: int
    """Categories of a person."""
    masks: bool

    @classmethod
    def of(cls, ds: Dataset, config: StreamConfig) -> Annotator:
        """Raises OptionError where the dataset lacks what the view shows: records, or the names of the categories."""
        view, classes = View.parse(config.view), len(ds.manifest.classes.get("person_labels", ()))
        known = ds.info.columns if "json" in ds.info.fields else {}
        if view.one_each and not known:
            raise OptionError(
                f"view {str(view)!r} needs the samples' JSON, and split {ds.info.name!r} has only the fields"
                f" {', '.join(ds.info.fields)}."
            )
        if view.kind == "person" and view.one_each and not classes:
            raise OptionError(
                f"view {str(view)!r} needs the names of the categories, and the manifest of {ds.manifest.name!r} has"
                f" none for 'person_labels', only for {', '.join(ds.manifest.classes) or 'nothing'}. Pack again."
            )
        asked = [_OBJECTS, *filter(None, PART_COLUMNS.values())] if view.kind == "image" else [view.column or ""]
        return cls(ds, view, tuple(name for name in asked if name in known), classes, config.masks)

    def records(self, rows: Rows) -> list[Item]:
        """Each row's JSON, parsed once where several rows show one image; none where no annotation is wanted."""
        if not self.columns:
            return []
        places = list(zip(rows.shards.tolist(), rows.rows.tolist(), strict=True))
        read = {place: self.ds.record(*place) for place in dict.fromkeys(places)}
        return [read[place] for place in places]

    def parts(self, rows: Rows, records: Sequence[Item]) -> list[Part]:
        """The caption, person or question that each row is; none where rows are whole images."""
        if not self.view.one_each or not records:
            return []
        name, found = f"{self.view.kind}s", []
        for i, (record, part) in enumerate(zip(records, rows.parts.tolist(), strict=True)):
            if part >= len(record[name]):
                raise CorruptData(
                    f"{self.ds.where(int(rows.shards[i]), int(rows.rows[i]))}: its record has {len(record[name])} {name},"
                    f" the index column {self.view.column!r} says more than {part}. Pack again."
                )
            found.append(record[name][part])
        return found

    def fields(self, records: Sequence[Item], parts: Sequence[Part], size: int) -> dict[str, Any]:
        """Fields of ``size`` rows, coordinates in original pixels; rows beyond the records hold nothing."""
        made: dict[str, Any] = {}
        if self.columns and "image_id" in self.ds.info.columns:
            made["image_id"] = padded(np.array([r["image_id"] for r in records], dtype=np.int64), size, -1)
        return made | (self._one_each(parts, size) if self.view.one_each else self._lists(records, size))

    def _one_each(self, parts: Sequence[Part], size: int) -> dict[str, Any]:
        match self.view.kind:
            case "caption":
                return caption_fields(parts, size)
            case "person":
                return person_fields(parts, size, self.classes)
            case _:
                return question_fields(parts, size)

    def _lists(self, records: Sequence[Item], size: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        if _OBJECTS in self.columns:
            keypoints = "n_keypoints" in self.ds.info.columns
            made |= object_fields(records, size, keypoints=keypoints, masks=self.masks)
        if PART_COLUMNS["caption"] in self.columns:
            made |= caption_lists(records, size)
        for name in ("persons", "questions"):
            if f"n_{name}" in self.columns:
                made[name] = [record[name] for record in records] + [[] for _ in range(size - len(records))]
        return made
