"""Statistics while packing: exact integer sums per shard, merged in any order to the same numbers."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain, combinations
from typing import Any

import numpy as np
from PIL import Image

from .image_facts import FORMATS, load_array

_RANGES = ("width", "height")


@dataclass(slots=True)
class Statistics:
    """Running sums over samples. Everything is an integer, so that any split into shards and workers agrees."""

    samples: int = 0
    sums: dict[str, int] = field(default_factory=dict)
    lows: dict[str, int] = field(default_factory=dict)
    highs: dict[str, int] = field(default_factory=dict)
    histograms: dict[str, dict[str, int]] = field(default_factory=dict)
    """Column -> value -> images that hold it."""
    objects: dict[str, dict[str, int]] = field(default_factory=dict)
    """List column -> value -> times it occurs, several in one image counted each."""
    pairs: dict[str, dict[str, int]] = field(default_factory=dict)
    """List column -> ``"a,b"`` (a < b) -> images that hold both; of lists of lists, parts (persons) that do."""
    pixels: int = 0
    pixel_sum: list[int] = field(default_factory=lambda: [0, 0, 0])
    pixel_square_sum: list[int] = field(default_factory=lambda: [0, 0, 0])

    def add(self, size: tuple[int | None, int | None], labels: Mapping[str, Any]) -> None:
        """Count one image: its width and height, and the values of its label columns.

        A list counts in images, objects and pairs; a list of lists, one per part of the image, pairs within a part.
        """
        self.samples += 1
        for name, value in zip(_RANGES, size, strict=True):
            if value is None:
                continue
            self.sums[name] = self.sums.get(name, 0) + value
            self.lows[name] = min(self.lows.get(name, value), value)
            self.highs[name] = max(self.highs.get(name, value), value)
        for column, value in labels.items():
            parts = _parts(value)
            values = [item for part in parts for item in part]
            _count(self.histograms, column, map(str, sorted(set(values))))
            if isinstance(value, list) and all(type(item) is int for item in values):
                _count(self.objects, column, map(str, values))
                held = (combinations(sorted(set(part)), 2) for part in parts)
                _count(self.pairs, column, (f"{a},{b}" for a, b in chain.from_iterable(held)))

    def add_pixels(self, data: bytes, key: str) -> None:
        """Count the pixels of one image as 8-bit RGB."""
        pixels = rgb_pixels(data, key).reshape(-1, 3)
        self.pixels += len(pixels)
        # (N, 3) uint8 -> uint64: squares of a 500 Mpixel image fit with room to spare.
        wide = pixels.astype(np.uint64)
        for channel in range(3):
            self.pixel_sum[channel] += int(wide[:, channel].sum())
            self.pixel_square_sum[channel] += int((wide[:, channel] * wide[:, channel]).sum())

    def as_json(self) -> dict[str, Any]:
        """Plain values, for a fragment's metadata."""
        return {name: getattr(self, name) for name in self.__slots__}


def _parts(value: Any) -> list[list[Any]]:
    """Values that stand together: one list for an image, or one for each of its parts; nulls left out."""
    if isinstance(value, list) and value and all(isinstance(part, list) for part in value):
        return [[item for item in part if item is not None] for part in value]
    return [[item for item in (value if isinstance(value, list) else [value]) if item is not None]]


def merge(parts: Iterable[Mapping[str, Any]]) -> Statistics:
    """Add up the ``as_json`` values of shards."""
    total = Statistics()
    for part in parts:
        total.samples += part["samples"]
        total.pixels += part["pixels"]
        for channel in range(3):
            total.pixel_sum[channel] += part["pixel_sum"][channel]
            total.pixel_square_sum[channel] += part["pixel_square_sum"][channel]
        for name in part["sums"]:
            total.sums[name] = total.sums.get(name, 0) + part["sums"][name]
            total.lows[name] = min(total.lows.get(name, part["lows"][name]), part["lows"][name])
            total.highs[name] = max(total.highs.get(name, part["highs"][name]), part["highs"][name])
        for name in ("histograms", "objects", "pairs"):
            for column, histogram in part[name].items():
                merged = getattr(total, name).setdefault(column, {})
                for value, count in histogram.items():
                    merged[value] = merged.get(value, 0) + count
    return total


def _count(histograms: dict[str, dict[str, int]], column: str, values: Iterable[str]) -> None:
    histogram = histograms.setdefault(column, {})
    for value, count in Counter(values).items():
        histogram[value] = histogram.get(value, 0) + count


def summary(total: Statistics, classes: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """The manifest's ``statistics``: image sizes, label histograms per class, pooled pixel mean and std in 0..1.

    The standard deviation is that of all pixels together (not a mean of per-image deviations, the usual mistake).
    """
    result: dict[str, Any] = {
        "unit": "image",
        "image_sizes": {
            name: {"min": total.lows[name], "max": total.highs[name], "mean": total.sums[name] / total.samples}
            for name in _RANGES
            if name in total.sums
        },
        "histograms": {name: _histogram(values, classes.get(name)) for name, values in total.histograms.items()},
    }
    if total.objects:
        result["object_histograms"] = {n: _histogram(values, classes.get(n)) for n, values in total.objects.items()}
        result["co_occurrence"] = {n: _pairs(values, classes.get(n)) for n, values in total.pairs.items()}
    return result | pixel_summary(total)


def pixel_summary(total: Statistics) -> dict[str, Any]:
    """``pixel_mean``, ``pixel_std`` (0..1 scale) and ``pixels``; empty where no pixels were counted."""
    if not total.pixels:
        return {}
    count = total.pixels
    means = [s / count for s in total.pixel_sum]
    # Var = (n * sum(x^2) - sum(x)^2) / n^2, in exact integers until the last division.
    variances = [
        (count * squares - s * s) / (count * count)
        for s, squares in zip(total.pixel_sum, total.pixel_square_sum, strict=True)
    ]
    return {
        "pixels": count,
        "pixel_mean": [mean / 255 for mean in means],
        "pixel_std": [float(np.sqrt(variance)) / 255 for variance in variances],
    }


def _histogram(values: Mapping[str, int], names: tuple[str, ...] | None) -> dict[str, int]:
    """Counts by value in numeric order; with class names every class stands there, the empty ones with 0."""
    if names is not None:
        return {name: values.get(str(i), 0) for i, name in enumerate(names)}
    return dict(sorted(values.items(), key=lambda item: (len(item[0]), item[0])))


def _pairs(values: Mapping[str, int], names: tuple[str, ...] | None) -> dict[str, dict[str, int]]:
    """Class -> later class -> images that hold both; pairs that never meet are left out."""
    result: dict[str, dict[str, int]] = {}
    for pair in sorted(values, key=lambda pair: [int(item) for item in pair.split(",")]):
        first, second = (names[int(item)] if names and int(item) < len(names) else item for item in pair.split(","))
        result.setdefault(first, {})[second] = values[pair]
    return result


def rgb_pixels(data: bytes, key: str) -> np.ndarray:
    """Decoded (H, W, 3) uint8 pixels of an image or array member."""
    if data[:6] == b"\x93NUMPY":
        array = load_array(data, key)
        return array if array.ndim == 3 and array.shape[2] == 3 else np.repeat(array.reshape(*array.shape[:2], 1), 3, 2)
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        return np.asarray(image.convert("RGB"))
