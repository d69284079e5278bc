"""The results of ``speed.py`` as a picture: images a second of every side, a panel per recipe.

    python benchmarks/speed_plot.py benchmarks/results/2026-11-speed.json docs/speed.png

Bars are medians from zero, each panel has its own scale; a whisker spans the slowest and the fastest round.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

LEFT, RIGHT, STEP, HEAD = 190, 660, 18, 46
OURS, LIMIT, PEER = "#2f6db5", "#9a9a9a", "#d98a2b"
INK = "#222222"
TITLES = {
    "imagenet": "ImageNet recipe: random crop 224, flip, float32",
    "eval": "Evaluation: resize 256, crop 224, float32",
    "read": "Reading bytes without decoding",
    "cifar": "CIFAR: uint8 batches of 256",
}


def plot(result: dict[str, Any]) -> Image.Image:
    """The page for the JSON that ``speed.py`` wrote."""
    recipes = result["recipes"]
    heights = [HEAD + STEP * len(recipe["sides"]) for recipe in recipes]
    page = Image.new("RGB", (RIGHT + 150, sum(heights) + 34), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    machine = result["machine"]
    draw.text((10, 8), f"{machine['cores']} cores of an {machine['cpu']}, 2 workers, {result['date']}", INK, font)
    top = 24
    for recipe, height in zip(recipes, heights, strict=True):
        _panel(draw, font, top, recipe)
        top += height
    return page


def _panel(draw: ImageDraw.ImageDraw, font: Any, top: int, recipe: dict[str, Any]) -> None:
    draw.text((10, top + 14), TITLES[recipe["recipe"]] + " (images a second)", INK, font)
    sides = sorted(recipe["sides"], key=lambda side: -side["images_per_second"])
    scale = (RIGHT - LEFT) / max(side["slowest_and_fastest"][1] for side in sides)
    for number, side in enumerate(sides):
        y, name, rate = top + HEAD - 10 + number * STEP, side["side"], side["images_per_second"]
        colour = OURS if name.startswith("ours") else LIMIT if name == "limit" else PEER
        draw.text((10, y), name, INK, font)
        draw.rectangle((LEFT, y + 2, LEFT + rate * scale, y + STEP - 5), colour)
        low, high = (LEFT + value * scale for value in side["slowest_and_fastest"])
        draw.line((low, y + STEP / 2 - 1, high, y + STEP / 2 - 1), INK)
        draw.text((max(high, LEFT + rate * scale) + 6, y), f"{rate:,.0f}", INK, font)


def main() -> None:
    """Draw one file."""
    source, out = sys.argv[1:]
    plot(json.loads(Path(source).read_text())).save(out, optimize=True)


if __name__ == "__main__":
    main()
