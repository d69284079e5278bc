"""The results of ``transforms.py`` as a picture: how many times as long the others take, each case a line.

    python benchmarks/transform_plot.py benchmarks/results/2026-11-transforms.json FILE.png

A logarithmic scale; a bar to the right of the line at 1 means that ours is faster, its whisker spans the rounds.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

LEFT, RIGHT, TOP, STEP = 230, 760, 60, 18
LOW, HIGH = 0.5, 128.0
COLOURS = {"torchvision": "#2f6db5", "kornia": "#d98a2b"}
INK, FAINT = "#222222", "#d0d0d0"


def plot(result: dict[str, Any]) -> Image.Image:
    """The page for the JSON that ``transforms.py`` wrote."""
    cases = result["cases"]
    page = Image.new("RGB", (RIGHT + 40, TOP + STEP * len(cases) + 20), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    _frame(draw, font, page.height - 20, result)
    for number, case in enumerate(cases):
        _case(draw, font, TOP + number * STEP, case)
    return page


def _x(ratio: float) -> float:
    """Where a ratio lies between LEFT and RIGHT."""
    share = math.log(min(max(ratio, LOW), HIGH) / LOW) / math.log(HIGH / LOW)
    return LEFT + share * (RIGHT - LEFT)


def _frame(draw: ImageDraw.ImageDraw, font: Any, bottom: int, result: dict[str, Any]) -> None:
    head = f"{result['batch']} images of {result['size']} px, {result['device']}, {result['date']}"
    draw.text((10, 8), f"Time of the others / time of ours: {head}", INK, font)
    for place, (name, colour) in enumerate(COLOURS.items()):
        what = "torchvision v2, image by image" if name == "torchvision" else name
        draw.rectangle((LEFT + place * 220, 30, LEFT + place * 220 + 10, 38), colour)
        draw.text((LEFT + place * 220 + 16, 27), what, INK, font)
    ratio = LOW
    while ratio <= HIGH:
        draw.line((_x(ratio), TOP - 4, _x(ratio), bottom), INK if ratio == 1 else FAINT)
        draw.text((_x(ratio) - 6, bottom + 3), f"{ratio:g}", INK, font)
        ratio *= 2


def _case(draw: ImageDraw.ImageDraw, font: Any, top: int, case: dict[str, Any]) -> None:
    draw.text((10, top), case["case"], INK, font)
    known = [name for name in COLOURS if name in case]
    height = (STEP - 6) // len(known)
    for place, name in enumerate(known):
        y0 = top + 2 + place * height
        ends = sorted((_x(1), _x(case[name]["ratio"])))
        draw.rectangle((ends[0], y0, ends[1], y0 + height - 2), COLOURS[name])
        rounds = case[name]["ratio_rounds"]
        middle = y0 + (height - 2) / 2
        draw.line((_x(rounds["min"]), middle, _x(rounds["max"]), middle), INK)


def main() -> None:
    """Draw one file."""
    source, out = sys.argv[1:]
    plot(json.loads(Path(source).read_text())).save(out, optimize=True)


if __name__ == "__main__":
    main()
