"""A figure: header line, picture with its annotations, panel of captions and fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from PIL import Image, ImageDraw

from .canvas import Canvas
from .objects import draw_objects
from .palette import BLACK, GREY, WHITE
from .text import clean, font, shorten, wrap

LAYERS = [draw_objects]
"""What is painted over the picture, in order: each takes the canvas and the item, and draws if its keys are there."""
MARGIN, HEADER, BODY = 24, 26, 22
_DRAWN = {"key", "image", "objects", "captions", "class_names", "label", "label_name"}


def figure(item: Mapping[str, Any], title: str) -> Image.Image:
    """``item`` as ``ds[i]`` gives it (``class_names``: label -> name, optional), drawn at about 1280 pixels."""
    canvas = Canvas(item["image"])
    for layer in LAYERS:
        layer(canvas, item)
    width = max(canvas.size[0], 480) + 2 * MARGIN
    lines = list(_panel(item, width - 2 * MARGIN))
    top = MARGIN + HEADER + 16
    height = top + canvas.size[1] + 16 + len(lines) * (BODY + 8) + MARGIN
    page = Image.new("RGB", (width, height), WHITE)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, MARGIN), shorten(clean(title), font(HEADER), width - 2 * MARGIN), font=font(HEADER), fill=BLACK)
    page.paste(canvas.picture, ((width - canvas.size[0]) // 2, top))
    for number, (line, colour) in enumerate(lines):
        at = (MARGIN, top + canvas.size[1] + 16 + number * (BODY + 8))
        draw.text(at, line, font=font(BODY), fill=colour)
    return page


def _panel(item: Mapping[str, Any], width: float) -> Iterator[tuple[str, tuple[int, int, int]]]:
    face = font(BODY)
    if item.get("label") is not None:
        name = item.get("label_name") or (item.get("class_names") or {}).get(item["label"], "")
        yield from ((line, BLACK) for line in wrap(f"label {item['label']}  {name}", face, width))
    for number, caption in enumerate(item.get("captions") or [], start=1):
        text = caption["caption"] if isinstance(caption, Mapping) else str(caption)
        for line, words in enumerate(wrap(text, face, width - 40)):
            yield (f"{number}.  {words}" if line == 0 else f"      {words}", BLACK)
    rest = [f"{name}: {_short(value)}" for name, value in item.items() if name not in _DRAWN and value is not None]
    if rest:
        yield from ((line, GREY) for line in wrap(" \N{MIDDLE DOT} ".join(rest), face, width))


def _short(value: Any) -> str:
    text = f"{len(value)} bytes" if isinstance(value, bytes) else str(value)
    return text if len(text) <= 90 else text[:87] + "..."
