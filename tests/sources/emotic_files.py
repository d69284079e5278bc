"""Small EMOTIC folders for tests: Annotations.mat in the documented structure, in every wrapping, and CSV files."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat

from .coco_files import picture

SIZE = (30, 20)  # width, height
HEADER = (
    "Index", "Folder", "Filename", "Image Size", "BBox", "Categorical_Labels", "Continuous_Labels", "Gender", "Age",
)  # fmt: skip
Said = tuple[list[str], list[float]]
"""Categories, and valence, arousal, dominance."""


def person(box: Sequence[float] = (2, 3, 12, 18), *said: Said, **more: Any) -> dict[str, Any]:
    """``said``: one entry per annotator; ``combined=(categories, vad)`` for val and test."""
    given = list(said) or [(["Peace"], [6.0, 3.0, 7.0])]
    return {"box": list(box), "said": given, "gender": "Male", "age": "Adult"} | more


def image(file: str = "a.jpg", *persons: dict[str, Any], folder: str = "mscoco/images", **more: Any) -> dict[str, Any]:
    """One image with its persons."""
    return {"file": file, "folder": folder, "size": SIZE, "persons": list(persons)} | more


def structs(rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """A MATLAB struct array, (1, N), as loadmat gives it and savemat takes it."""
    made = np.empty((1, len(rows)), dtype=[(name, object) for name in rows[0]])
    for position, row in enumerate(rows):
        for name, value in row.items():
            made[0, position][name] = value
    return made


def cells(items: Sequence[Any]) -> np.ndarray:
    """A MATLAB cell array, (1, N)."""
    made = np.empty((1, len(items)), dtype=object)
    for position, item in enumerate(items):
        made[0, position] = item
    return made


def squeezed(items: Sequence[Any]) -> Any:
    """One item is the item: a label alone a char array, an annotator alone a struct."""
    return items[0] if len(items) == 1 else cells(items)


def char_matrix(names: Sequence[Any]) -> Any:
    """Rows of equal length, padded with blanks: what ``char('Peace', 'Happiness')`` makes."""
    return np.array([name.ljust(20) for name in names]) if names else cells(names)


class Wrapping:
    """How lists of structs, lists of names and numbers are stored."""

    def __init__(
        self,
        several: Callable[[Sequence[Any]], Any] = structs,
        names: Callable[[Sequence[str]], Any] = cells,
        number: Callable[[float], Any] = float,
        box: Callable[[Sequence[float]], Any] = lambda box: np.array([box], dtype=float),
    ) -> None:
        self.several, self.names, self.number, self.box = several, names, number, box

    def many(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        return self.several(rows) if rows else np.empty((0, 0))

    def vad(self, values: Sequence[float]) -> dict[str, Any]:
        return {
            name: self.number(value) for name, value in zip(("valence", "arousal", "dominance"), values, strict=True)
        }

    def person(self, one: Mapping[str, Any]) -> dict[str, Any]:
        made = {
            "body_bbox": self.box(one["box"]),
            "annotations_categories": self.many([{"categories": self.names(names)} for names, _ in one["said"]]),
        }
        if "combined" in one:
            made["combined_categories"] = self.names(one["combined"][0])
        made["annotations_continuous"] = self.many([self.vad(vad) for _, vad in one["said"]])
        if "combined" in one:
            made["combined_continuous"] = self.many([self.vad(one["combined"][1])])
        return made | {"gender": one["gender"], "age": one["age"]}

    def image(self, one: Mapping[str, Any]) -> dict[str, Any]:
        size = {"n_col": self.number(one["size"][0]), "n_row": self.number(one["size"][1])}
        origin = {"name": one["folder"].partition("/")[0], "info": one.get("info", "")}
        made = {"filename": one["file"], "folder": one["folder"], "image_size": self.many([size])}
        return made | {
            "original_database": self.many([origin]),
            "person": self.many([self.person(p) for p in one["persons"]]),
        }


def small(value: float) -> Any:
    """MATLAB stores whole numbers in the smallest type: 640 becomes uint16, and 3 - 5 would be 254."""
    return (
        np.float64(value)
        if not float(value).is_integer()
        else np.array([[value]]).astype(np.min_scalar_type(int(value)))
    )


WRAPPINGS: Mapping[str, Wrapping] = {
    "as MATLAB writes it": Wrapping(),
    "cells of structs": Wrapping(several=lambda rows: cells([dict(row) for row in rows])),
    "one is not a list": Wrapping(several=lambda rows: squeezed([dict(row) for row in rows]), names=squeezed),
    "char matrices": Wrapping(names=char_matrix),
    "columns": Wrapping(several=lambda rows: structs(rows).T, names=lambda names: cells(names).T),
    "small integers": Wrapping(number=small, box=lambda box: np.array([[int(x) for x in box]], dtype=np.int16)),
    "numbers in cells": Wrapping(number=lambda value: cells([value]), box=lambda box: np.array(box, float)[:, None]),
}  # fmt: skip


def mat_bytes(wrapping: Wrapping | None = None, **splits: Sequence[Mapping[str, Any]]) -> bytes:
    """The bytes of an Annotations.mat."""
    chosen, buffer = wrapping or Wrapping(), io.BytesIO()
    made = {name: chosen.many([chosen.image(one) for one in images]) for name, images in splits.items()}
    savemat(buffer, made, do_compression=True)
    return buffer.getvalue()


def write_mat(root: Path, wrapping: Wrapping | None = None, **splits: Sequence[Mapping[str, Any]]) -> Path:
    """``Annotations.mat`` with its pictures beside it."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "Annotations.mat").write_bytes(mat_bytes(wrapping, **splits))
    for images in splits.values():
        add_pictures(root, images)
    return root


def row(one: Mapping[str, Any], index: int = 0, size: Sequence[int] = SIZE, **changes: Any) -> dict[str, Any]:
    """A CSV row of an image with one person."""
    names, vad = one["persons"][0]["said"][0]
    whole = [int(value) for value in vad]
    fields = (
        index, one["folder"], one["file"], list(size), one["persons"][0]["box"], names, whole,
        one["persons"][0]["gender"], one["persons"][0]["age"],
    )  # fmt: skip
    return dict(zip(HEADER, fields, strict=True)) | changes


def csv_bytes(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """As the published converter writes it."""
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, HEADER, dialect="excel", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


def write_csv(root: Path, **splits: Sequence[Mapping[str, Any]] | bytes) -> Path:
    """``train.csv`` and so on, with the pictures of their rows."""
    root.mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        data = rows if isinstance(rows, bytes) else csv_bytes(rows)
        (root / f"{split}.csv").write_bytes(data)
        if not isinstance(rows, bytes):
            add_pictures(root, [{"folder": r["Folder"], "file": r["Filename"], "size": r["Image Size"]} for r in rows])
    return root


def add_pictures(root: Path, images: Sequence[Mapping[str, Any]]) -> None:
    """A picture of the annotated size for each, below ``root``."""
    for one in images:
        place = root / one["folder"] / one["file"]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(picture(sum(map(ord, one["folder"] + one["file"])), tuple(one["size"])))
