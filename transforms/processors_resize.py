"""The sizes that transformers' image processors resize to, each class's own rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import OptionError
from .base import Transform
from .boxes import I64, detr_sizes
from .geometry_fixed import CenterCrop, Resize

INTERPOLATIONS = {0: "nearest", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers. Lanczos, box and Hamming exist on no GPU."""


class DetrResize(Resize):
    """Shorter side to ``shorter``, the longer at most ``longest``, by DETR's rounding (see ``boxes.detr_sizes``)."""

    def __init__(self, shorter: int, longest: int, interpolation: str) -> None:
        super().__init__(None, interpolation, longest)
        self.short_edge, self.long_edge = shorter, longest

    def output_sizes(self, sizes: I64) -> I64:
        return detr_sizes(np.maximum(sizes, 1), self.short_edge, self.long_edge)

    def extra_repr(self) -> str:
        return f"{self.short_edge}, {self.long_edge}, interpolation={self.interpolation!r}"


class ViltResize(Resize):
    """Shorter side to ``shorter``, the longer at most 1333 / 800 of it, both cut to multiples of ``divisor``."""

    def __init__(self, shorter: int, divisor: int, interpolation: str) -> None:
        super().__init__(None, interpolation, int(1333 / 800 * shorter))
        self.short_edge, self.long_edge, self.divisor = shorter, int(1333 / 800 * shorter), divisor

    def output_sizes(self, sizes: I64) -> I64:
        known = np.maximum(sizes, 1)
        small = known.min(axis=1, keepdims=True)
        # The other side times the ratio, as ViltImageProcessor multiplies: another order rounds otherwise.
        scaled = np.where(known == small, float(self.short_edge), known * (self.short_edge / small))
        most = scaled.max(axis=1, keepdims=True)
        bounded = np.where(most > self.long_edge, scaled * (self.long_edge / most), scaled)
        whole: I64 = np.floor(bounded + 0.5).astype(np.int64) // self.divisor * self.divisor
        return whole

    def extra_repr(self) -> str:
        return f"{self.short_edge}, divisor={self.divisor}, interpolation={self.interpolation!r}"


class FitResize(Resize):
    """As large as fits into ``height`` x ``width``, both sides cut to whole pixels."""

    def __init__(self, height: int, width: int, interpolation: str) -> None:
        super().__init__(None, interpolation, max(height, width))
        self.most = height, width

    def output_sizes(self, sizes: I64) -> I64:
        known = np.maximum(sizes, 1)
        scale = (np.array(self.most) / known).min(axis=1, keepdims=True)
        fitted: I64 = np.maximum((known * scale).astype(np.int64), 1)
        return fitted

    def extra_repr(self) -> str:
        return f"{self.most}, interpolation={self.interpolation!r}"


def interpolation_of(resample: Any) -> str:
    """Pillow's number as our name; raises OptionError for a filter that no GPU has."""
    number = int(resample)
    if number not in INTERPOLATIONS:
        names = ", ".join(f"{number} ({name})" for number, name in INTERPOLATIONS.items())
        raise OptionError(f"from_processor: resample is {number}; supported are {names}")
    return INTERPOLATIONS[number]


def size_of(value: Any, *, square: bool) -> dict[str, int]:
    """A ``size`` or ``crop_size`` in its long form: one number, (height, width), or a dict."""
    if isinstance(value, Mapping):
        return {name: int(side) for name, side in value.items() if side is not None}
    if isinstance(value, int):
        return {"height": value, "width": value} if square else {"shortest_edge": value}
    height, width = value
    return {"height": int(height), "width": int(width)}


def crop_of(kind: str, settings: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width of the central crop; raises OptionError where the settings ask for one and give no size."""
    crop = size_of(settings.get("crop_size") or {}, square=True)
    if set(crop) != {"height", "width"}:
        raise OptionError(f"from_processor: {kind}ImageProcessor crops to crop_size {crop}; give height and width")
    return crop["height"], crop["width"]


def geometry(kind: str, settings: Mapping[str, Any]) -> list[Transform]:
    """Resize and crop of a class with its settings; crops round down, as transformers' do."""
    stages: list[Transform] = []
    if settings["do_resize"]:
        stages += _resize(kind, settings, interpolation_of(settings["resample"]))
    if settings["do_center_crop"]:
        crop = crop_of(kind, settings)
        stages.append(CenterCrop(crop, "floor"))
    return stages


def _resize(kind: str, settings: Mapping[str, Any], how: str) -> list[Transform]:
    size = size_of(settings["size"], square=settings["default_to_square"])
    if isinstance(settings["size"], int) and settings.get("max_size") and "shortest_edge" in size:
        size["longest_edge"] = int(settings["max_size"])
    edge = size.get("shortest_edge")
    if kind == "PoolFormer" and settings.get("crop_pct"):
        return [Resize(_enlarged(size, float(settings["crop_pct"])), how)]
    if edge is not None and kind == "ConvNext":
        crops = edge < 384  # from there on the whole image is squashed
        larger = int(edge / float(settings["crop_pct"]))
        return [Resize(larger, how), CenterCrop(edge, "floor")] if crops else [Resize((edge, edge), how)]
    if edge is not None and kind == "Levit":
        return [Resize(int((256 / 224) * edge), how)]
    if edge is not None and kind == "Vilt":
        return [ViltResize(edge, int(settings["size_divisor"]), how)]
    return [_plain_resize(kind, size, how)]


def _enlarged(size: Mapping[str, int], pct: float) -> int | tuple[int, int]:
    """PoolFormer: a square means the shorter side, here."""
    height, width = size.get("height", size.get("shortest_edge", 0)), size.get("width", size.get("shortest_edge", 0))
    return int(height / pct) if height == width else (int(height / pct), int(width / pct))


def _plain_resize(kind: str, size: Mapping[str, int], how: str) -> Transform:
    match sorted(size):
        case ["height", "width"]:
            return Resize((size["height"], size["width"]), how)
        case ["shortest_edge"] if kind != "Detr":
            return Resize(size["shortest_edge"], how)
        case ["longest_edge", "shortest_edge"]:
            return DetrResize(size["shortest_edge"], size["longest_edge"], how)
        case ["max_height", "max_width"]:
            return FitResize(size["max_height"], size["max_width"], how)
    raise OptionError(
        f"from_processor: {kind}ImageProcessor with size {dict(size)}; supported are height and width, shortest_edge"
        " (with or without longest_edge), max_height and max_width"
    )
