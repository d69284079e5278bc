"""What a mixture is as one split: the fields, columns, classes and statistics that its parts share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from ..errors import OptionError
from ..shard_writer.manifest import Manifest, SplitManifest

if TYPE_CHECKING:
    from .base import Dataset

Labels = Literal["same", "separate"]
DATASET = "dataset"
"""The column, item key and batch field that says which part a row comes from."""
Classes = tuple[tuple[str, ...], tuple[int, ...]]


def mixed_info(
    parts: Sequence[Dataset], names: Sequence[str], labels: Labels, digest: str
) -> tuple[Manifest, SplitManifest]:
    """Manifest and split of a mixture; raises OptionError where parts do not fit together."""
    for name, part in zip(names, parts, strict=True):
        if DATASET in part.info.columns or DATASET in part.info.json_types:
            raise OptionError(
                f"{name} has a column or JSON key {DATASET!r}, which in a mixture is the number of the part."
            )
    columns = _shared_columns(parts, names, labels)
    label = _label_column(parts, names, labels, columns)
    image, infos = _image_field(parts, names), [part.info for part in parts]
    classes = {column: parts[0].manifest.classes[column] for column in columns if column in parts[0].manifest.classes}
    split = SplitManifest(
        name=" + ".join(names),
        samples=sum(map(len, parts)),
        digest=digest,
        image_field=image,
        fields=({} if image is None else {image: "image"}) | _shared([_members(part) for part in parts]),
        columns={DATASET: "int64"} | columns,
        label_column=label,
        shards=tuple(chain.from_iterable(info.shards for info in infos)),
        index=(),
        statistics=mixed_statistics(infos, names, columns),
    )
    manifest = Manifest(
        name="mixture",
        licence=_each("licence", parts),
        homepage=_each("homepage", parts),
        classes=classes,
        class_ids={name: ids for name, ids in parts[0].manifest.class_ids.items() if name in classes},
        source={"kind": "mixture", "parts": list(names)},
        notes=tuple(f"{name}: {note}" for name, part in zip(names, parts, strict=True) for note in part.manifest.notes),
        splits={split.name: split},
    )
    return manifest, split


def _each(name: str, parts: Sequence[Dataset]) -> str:
    found = dict.fromkeys(str(getattr(part.manifest, name)) for part in parts)
    return " + ".join(filter(None, found))


def _members(part: Dataset) -> Mapping[str, str]:
    return {name: kind for name, kind in part.info.fields.items() if name != part.info.image_field}


def _shared(mappings: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What all have, with the same value."""
    first, *others = mappings
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}


def _image_field(parts: Sequence[Dataset], names: Sequence[str]) -> str | None:
    fields = {part.info.image_field: name for name, part in zip(names, parts, strict=True)}
    if None in fields and len(fields) > 1:
        with_images = next(name for field, name in fields.items() if field)
        raise OptionError(
            f"{fields[None]} has no images and {with_images} has; mix datasets that both or neither have."
        )
    return next(iter(fields)) if len(fields) == 1 else "image"


def _shared_columns(parts: Sequence[Dataset], names: Sequence[str], labels: Labels) -> dict[str, str]:
    """Index columns of one type in all parts; of class numbers only those that count the same classes."""
    columns = _shared([part.info.columns for part in parts])
    for column in list(columns):
        found = [_classes(part, column) for part in parts]
        other = next((number for number, classes in enumerate(found) if classes != found[0]), None)
        if other is None:
            continue
        if labels == "same":
            raise OptionError(
                f"column {column!r} counts other classes in {names[0]} than in {names[other]}:"
                f" {_difference(found[0], found[other])}. Give them one order of classes, or pass labels='separate'."
            )
        del columns[column]
    return columns


def _classes(part: Dataset, column: str) -> Classes:
    return part.manifest.classes.get(column, ()), part.manifest.class_ids.get(column, ())


def _difference(one: Classes, other: Classes) -> str:
    """The first class that differs, or how many there are."""
    for mine, theirs in zip(one, other, strict=True):
        for number, (a, b) in enumerate(zip(mine, theirs, strict=False)):
            if a != b:
                return f"{number} is {a!r} there and {b!r} here"
        if len(mine) != len(theirs):
            return f"there are {len(mine)} there and {len(theirs)} here"
    return "none"


def _label_column(
    parts: Sequence[Dataset], names: Sequence[str], labels: Labels, columns: Mapping[str, str]
) -> str | None:
    found = {part.info.label_column: name for name, part in zip(names, parts, strict=True)}
    if len(found) == 1:
        label = next(iter(found))
        return label if label in columns else None
    if labels == "same":
        (one, first), (other, second), *_ = found.items()
        raise OptionError(
            f"{first} has {_named(one)} and {second} has {_named(other)}; mix datasets that agree, or pass"
            " labels='separate'."
        )
    return None


def _named(label: str | None) -> str:
    return "no label" if label is None else f"the label column {label!r}"


def mixed_statistics(
    infos: Sequence[SplitManifest], names: Sequence[str], columns: Mapping[str, str]
) -> Mapping[str, Any]:
    """Those of whole splits, as packed: what adds up exactly over all parts, and ``parts`` by name."""
    found = [info.statistics for info in infos]
    merged: dict[str, Any] = {"unit": "image", "parts": dict(zip(names, found, strict=True))}
    if all("image_sizes" in statistics for statistics in found):
        merged["image_sizes"] = _sizes([statistics["image_sizes"] for statistics in found], infos)
    if all("histograms" in statistics for statistics in found):
        merged["histograms"] = _histograms([statistics["histograms"] for statistics in found], columns)
    if all("pixel_std" in statistics for statistics in found):
        merged |= _pixels(found)
    return merged


def _sizes(sizes: Sequence[Mapping[str, Any]], infos: Sequence[SplitManifest]) -> dict[str, Any]:
    total = sum(info.samples for info in infos)
    return {
        name: {
            "min": min(size[name]["min"] for size in sizes),
            "max": max(size[name]["max"] for size in sizes),
            "mean": math.fsum(size[name]["mean"] * info.samples for size, info in zip(sizes, infos, strict=True))
            / total,
        }
        for name in sizes[0]
        if all(name in size for size in sizes)
    }


def _histograms(histograms: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> dict[str, dict[str, int]]:
    merged: dict[str, dict[str, int]] = {}
    for column in columns:
        if all(column in histogram for histogram in histograms):
            values = dict.fromkeys(chain.from_iterable(histogram[column] for histogram in histograms))
            merged[column] = {value: sum(h[column].get(value, 0) for h in histograms) for value in values}
    return merged


def _pixels(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and deviation of all pixels together: the variance within parts, and that between their means."""
    counts = [statistics["pixels"] for statistics in found]
    total = sum(counts)
    means, deviations = [], []
    for channel in range(3):
        mine = [(n, s["pixel_mean"][channel], s["pixel_std"][channel]) for n, s in zip(counts, found, strict=True)]
        mean = math.fsum(n * m for n, m, _ in mine) / total
        means.append(mean)
        deviations.append(math.sqrt(math.fsum(n * (std**2 + (m - mean) ** 2) for n, m, std in mine) / total))
    return {"pixels": total, "pixel_mean": means, "pixel_std": deviations}
