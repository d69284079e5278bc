"""Objects over a picture: masks with outlines, boxes with tags, skeletons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from ...loaders.masks import rle_mask
from .canvas import SUPERSAMPLE, Box, Canvas
from .frames import frame, tag
from .palette import WHITE, Colour, class_colours

MASK_ALPHA = 0.42
LIMBS = (
    (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10),
    (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
)  # fmt: skip
"""COCO's 19 connections of its 17 person keypoints, 0-based."""
LEFT, RIGHT, MIDDLE = (86, 180, 233), (230, 159, 0), (245, 245, 245)


def draw_objects(canvas: Canvas, item: Mapping[str, Any]) -> None:
    """Largest first, so that small objects stay visible: fills, then boxes and skeletons, tags on top of all."""
    objects = sorted(item.get("objects") or [], key=lambda o: -float(o["area"]))
    colours = class_colours(o["label"] for o in objects)
    names = item.get("class_names") or {}
    for one in objects:
        _mask(canvas, one, colours[one["label"]])
    for one in objects:
        frame(canvas, _corners(one), colours[one["label"]], dashed=bool(one["iscrowd"]))
    for one in objects:
        _skeleton(canvas, one["keypoints"])
    taken: list[Box] = []
    for one in reversed(objects):  # small ones choose their place first
        name = str(names.get(one["label"], one["category_id"]))
        tag(canvas, _corners(one), f"{name} (crowd)" if one["iscrowd"] else name, colours[one["label"]], taken)


def _corners(one: Mapping[str, Any]) -> Box:
    x, y, w, h = one["bbox"]
    return x, y, x + w, y + h


def _mask(canvas: Canvas, one: Mapping[str, Any], colour: Colour) -> None:
    for coverage, corner in _regions(canvas, one):
        canvas.paint(coverage, corner, colour, MASK_ALPHA)
        rim = ImageChops.subtract(coverage.filter(ImageFilter.MaxFilter(3)), coverage.filter(ImageFilter.MinFilter(3)))
        canvas.paint(rim, corner, colour, 0.9)


def _regions(canvas: Canvas, one: Mapping[str, Any]) -> Iterator[tuple[Image.Image, tuple[int, int]]]:
    """Coverage of each polygon, or of the run lengths, on the canvas, and its top left corner."""
    for polygon in one["polygons"]:
        if len(polygon) < 6:
            continue
        points = polygon[: len(polygon) // 2 * 2]
        stencil = canvas.stencil(points, margin=2)
        if stencil is not None:
            stencil.draw.polygon(stencil.at(points), fill=255)
            yield stencil.coverage(), (stencil.left, stencil.top)
    if one["rle"] is not None:
        mask = Image.fromarray(rle_mask(one["rle"]).astype(np.uint8) * 255)
        whole = mask.resize(canvas.size, Image.Resampling.BILINEAR)
        yield ImageChops.multiply(whole, _stripes(canvas.size)) if one["iscrowd"] else whole, (0, 0)


def _stripes(size: tuple[int, int]) -> Image.Image:
    """Diagonal hatching: a crowd is no single object."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    return Image.fromarray(np.where((x + y) % 16 < 8, 255, 120).astype(np.uint8))


def _skeleton(canvas: Canvas, flat: Sequence[float]) -> None:
    """Limbs between labelled points only; left blue, right orange; a point that is hidden is a ring."""
    points = np.array(flat, dtype=np.float64).reshape(-1, 3)
    if len(points) != 17:
        return
    for a, b in LIMBS:
        if points[a, 2] > 0 and points[b, 2] > 0:
            stencil = canvas.stencil(points[[a, b], :2] + 0.5, margin=4)
            if stencil is not None:
                stencil.draw.line(stencil.at(points[[a, b], :2] + 0.5), fill=255, width=3 * SUPERSAMPLE)
                canvas.stamp(stencil, _side(a, b), 0.9)
    for number, (x, y, visibility) in enumerate(points):
        if visibility > 0:
            _dot(canvas, (x + 0.5, y + 0.5), _side(number, number), hollow=visibility < 2)


def _side(a: int, b: int) -> Colour:
    """COCO numbers left points odd, right ones even; the nose is 0."""
    if (a == 0 and b == 0) or a % 2 != b % 2:
        return MIDDLE
    return LEFT if max(a, b) % 2 else RIGHT


def _dot(canvas: Canvas, xy: tuple[float, float], colour: Colour, *, hollow: bool) -> None:
    for radius, paint in ((6.0, WHITE), (4.5, colour), (2.0, WHITE)) if hollow else ((6.0, WHITE), (4.5, colour)):
        stencil = canvas.stencil([xy], margin=radius + 1)
        if stencil is not None:
            ((x, y),) = stencil.at([xy])
            r = radius * SUPERSAMPLE
            stencil.draw.ellipse((x - r, y - r, x + r, y + r), fill=255)
            canvas.stamp(stencil, paint)
