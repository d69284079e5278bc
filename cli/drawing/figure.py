"""A figure: header line, picture with its annotations, panel of text below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from PIL import Image, ImageDraw

from .canvas import Canvas
from .objects import draw_objects
from .palette import BLACK, GREY, WHITE
from .panel import INDENT, ROW, Line, paint, wrapped
from .persons import draw_persons, person_lines
from .questions import question_lines
from .text import clean, font, shorten

LAYERS = [draw_objects, draw_persons]
"""What is painted over the picture, in order: each takes the canvas and the item, and draws if its keys are there."""
MARGIN, HEADER = 24, 26
_DRAWN = {"key", "image", "objects", "captions", "class_names", "label", "label_name"}
_DRAWN |= {"persons", "dropped_persons", "person_names", "questions"}


def figure(item: Mapping[str, Any], title: str) -> Image.Image:
    """``item`` as ``ds[i]`` gives it, drawn at about 1280 pixels.

    ``class_names``, label -> name, and ``person_names``, names of a person's categories, are optional.
    """
    canvas = Canvas(item["image"])
    for layer in LAYERS:
        layer(canvas, item)
    width = max(canvas.size[0], 480) + 2 * MARGIN
    lines = list(_panel(item, width - 2 * MARGIN))
    top = MARGIN + HEADER + 16
    height = top + canvas.size[1] + 16 + len(lines) * ROW + MARGIN
    page = Image.new("RGB", (width, height), WHITE)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, MARGIN), shorten(clean(title), font(HEADER), width - 2 * MARGIN), font=font(HEADER), fill=BLACK)
    page.paste(canvas.picture, ((width - canvas.size[0]) // 2, top))
    paint(draw, lines, MARGIN, top + canvas.size[1] + 16)
    return page


def _panel(item: Mapping[str, Any], width: float) -> Iterator[Line]:
    if item.get("label") is not None:
        name = item.get("label_name") or (item.get("class_names") or {}).get(item["label"], "")
        yield from wrapped(Line(f"label {item['label']}  {name}"), width)
    yield from person_lines(item, width)
    for number, caption in enumerate(item.get("captions") or [], start=1):
        text = caption["caption"] if isinstance(caption, Mapping) else str(caption)
        yield from wrapped(Line(f"{number}.  {text}"), width, hanging=INDENT)
    yield from question_lines(item, width)
    rest = [f"{name}: {_short(value)}" for name, value in item.items() if name not in _DRAWN and value is not None]
    if rest:
        yield from wrapped(Line(" \N{MIDDLE DOT} ".join(rest), GREY), width)


def _short(value: Any) -> str:
    text = f"{len(value)} bytes" if isinstance(value, bytes) else str(value)
    return text if len(text) <= 90 else text[:87] + "..."
