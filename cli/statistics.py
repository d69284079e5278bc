"""A split's statistics for people to read: sizes, pixels, and how often each label occurs, alone and with another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from .progress import console

Counts = Mapping[str, int]
MOST = 30  # EMOTIC's 26 fit
_PARTS = ("person", "question", "caption")


def print_statistics(name: str, values: Mapping[str, Any], kinds: Mapping[str, str]) -> None:
    """One split: its manifest's ``statistics``, and the Arrow types of its index columns."""
    console.print(name, style="bold")
    for side, size in values.get("image_sizes", {}).items():
        console.print(f"  {side:<7} min {size['min']}  mean {size['mean']:.1f}  max {size['max']}")
    if "pixel_mean" in values:
        for label, key in (("mean", "pixel_mean"), ("std", "pixel_std")):
            numbers = "  ".join(f"{value:.6f}" for value in values[key])
            console.print(f"  pixel {label:<5} {numbers}   (pooled over {values['pixels']:,} pixels)")
    for column, images in values.get("histograms", {}).items():
        _histogram(column, images, values.get("object_histograms", {}).get(column))
        _together(
            values.get("co_occurrence", {}).get(column, {}), unit_of(column) if _nested(column, kinds) else "image"
        )


def unit_of(column: str) -> str:
    """What a list column has an entry of: ``person_labels`` of a person, ``labels`` of an object."""
    return next((part for part in _PARTS if column.startswith(f"{part}_")), "object")


def _nested(column: str, kinds: Mapping[str, str]) -> bool:
    """Whether each part has several labels of its own, so that two stand together in a part and not in an image."""
    return kinds.get(column, "").startswith("list<list<")


def _histogram(column: str, images: Counts, parts: Counts | None) -> None:
    """Bars of parts (persons, questions, objects), with images beside them; of images alone where those say it all.

    Of more values than there is room for, the most frequent.
    """
    unit = f"{unit_of(column)}s"
    counts = images if parts is None or (unit == "objects" and parts == images) else parts
    unit = "images" if counts is images else unit
    beside = "" if counts is images else " (and images)"
    console.print(f"  {column}: {len(counts)} values, {unit}{beside} with each")
    shown = list(counts) if len(counts) <= MOST else sorted(counts, key=lambda value: -counts[value])[:MOST]
    peak = max(counts.values(), default=1) or 1
    for value in shown:
        number = f"{counts[value]:>8,}" + ("" if counts is images else f" {f'({images[value]:,})':>10}")
        console.print(Text(f"    {value:<24.24} {number} {'█' * round(30 * counts[value] / peak)}"))
    if len(counts) > MOST:
        rest = sum(counts.values()) - sum(counts[value] for value in shown)
        console.print(f"    ... and {len(counts) - MOST} more, {rest:,} {unit} (--json shows all)")


def _together(pairs: Mapping[str, Counts], unit: str, most: int = 5) -> None:
    flat = sorted(((count, a, b) for a, row in pairs.items() for b, count in row.items()), reverse=True)
    if flat:
        shown = ", ".join(f"{a} + {b} {count:,}" for count, a, b in flat[:most])
        console.print(Text(f"    most often together in one {unit}: {shown}"))
