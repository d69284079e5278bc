"""Boxes over a picture, and tags that say what they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import ImageDraw

from .canvas import SUPERSAMPLE, Box, Canvas
from .palette import Colour, ink_on
from .text import font, shorten

LINE = 3  # canvas pixels
TAG = 20


def frame(canvas: Canvas, box: Box, colour: Colour, *, dashed: bool = False) -> None:
    """The outline of a box of image coordinates."""
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


def tag(canvas: Canvas, box: Box, text: str, colour: Colour, taken: list[Box]) -> None:
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
