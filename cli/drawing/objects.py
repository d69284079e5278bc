"""Objects over a picture: masks with outlines, boxes with tags, skeletons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from ...loaders.masks import rle_mask
from .canvas import SUPERSAMPLE, Box, Canvas
from .palette import WHITE, Colour, class_colours, ink_on
from .text import font, shorten

MASK_ALPHA = 0.42
LINE = 3  # canvas pixels
TAG = 20
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
        _frame(canvas, _corners(one), colours[one["label"]], dashed=bool(one["iscrowd"]))
    for one in objects:
        _skeleton(canvas, one["keypoints"])
    taken: list[Box] = []
    for one in reversed(objects):  # small ones choose their place first
        name = str(names.get(one["label"], one["category_id"]))
        _tag(canvas, _corners(one), f"{name} (crowd)" if one["iscrowd"] else name, colours[one["label"]], taken)


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


def _frame(canvas: Canvas, box: Box, colour: Colour, *, dashed: bool) -> None:
    stencil = canvas.stencil([box[:2], box[2:]], margin=LINE)
    if stencil is None:
        return
    x0, y0, x1, y1 = (value for point in stencil.at([box[:2], box[2:]]) for value in point)
    width = LINE * SUPERSAMPLE
    for a, b in (((x0, y0), (x1, y0)), ((x1, y0), (x1, y1)), ((x1, y1), (x0, y1)), ((x0, y1), (x0, y0))):
        for start, stop in _dashes(a, b, width * 3) if dashed else [(a, b)]:
            stencil.draw.line([start, stop], fill=255, width=width)
    canvas.stamp(stencil, colour)


def _dashes(a: Sequence[float], b: Sequence[float], step: float) -> Iterator[tuple[tuple[float, float], ...]]:
    start, way = np.array(a), np.array(b) - np.array(a)
    length = float(np.hypot(*way))
    for at in np.arange(0, length, 2 * step):
        ends = (start + way * at / length, start + way * min(at + step, length) / length)
        yield tuple((float(p[0]), float(p[1])) for p in ends)


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


def _tag(canvas: Canvas, box: Box, text: str, colour: Colour, taken: list[Box]) -> None:
    """A label at the box's top left, or the nearest place that is on the canvas and not yet taken."""
    face = font(TAG)
    text = shorten(text, face, canvas.size[0] - 12)
    width, height = face.getlength(text) + 12, TAG + 8
    x0, y0, _, y1 = canvas.on_canvas(box)
    place = free_place(canvas.size, (x0, y0, y1), (width, height), taken)
    taken.append(place)
    draw = ImageDraw.Draw(canvas.picture)
    draw.rounded_rectangle(place, radius=4, fill=colour)
    draw.text((place[0] + 6, (place[1] + place[3]) / 2), text, font=face, fill=ink_on(colour), anchor="lm")


def free_place(
    canvas: tuple[int, int], box: tuple[float, float, float], size: tuple[float, float], taken: Sequence[Box]
) -> Box:
    """Where a tag of ``size`` goes for a box (left, top, bottom): above, inside, below, then down in steps; always on
    the canvas, and free of ``taken`` unless everything is full.
    """
    (width, height), (left, top, bottom) = size, box
    tries = [top - height, top, bottom, *(top + height * step for step in range(1, 12))]
    places = [_clamped(canvas, (left, y), (width, height)) for y in tries]
    return next((p for p in places if not any(_overlap(p, other) for other in taken)), places[0])


def _clamped(canvas: tuple[int, int], at: tuple[float, float], size: tuple[float, float]) -> Box:
    x = min(max(at[0], 0), max(canvas[0] - 1 - size[0], 0))
    y = min(max(at[1], 0), max(canvas[1] - 1 - size[1], 0))
    return x, y, min(x + size[0], canvas[0] - 1), min(y + size[1], canvas[1] - 1)


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
