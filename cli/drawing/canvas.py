"""The enlarged picture that overlays are painted on, antialiased.

image coordinates (COCO's: pixel i covers [i, i + 1])
    |  x scale
canvas, long side about 1280 px
    |  x SUPERSAMPLE
stencil: how much of each canvas pixel a shape covers, drawn finer and averaged
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from .palette import Colour

LONG_SIDE = 1280
SUPERSAMPLE = 4
PIXEL_ART = 8  # images enlarged this much show their pixels as squares
_FAR = 100_000.0  # stencil pixels: farther out nothing can be seen, and Pillow need not walk there

Box = tuple[float, float, float, float]  # x0, y0, x1, y1
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Stencil:
    """Coverage of one region of a canvas; ``draw`` paints into it with ink 255."""

    left: int
    top: int
    image: Image.Image
    scale: Point
    draw: ImageDraw.ImageDraw = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "draw", ImageDraw.Draw(self.image))

    def at(self, xy: ArrayLike) -> list[Point]:
        """Points (n, 2) or (2 n,) of image coordinates in Pillow's, whose integers are pixel centres."""
        points = np.asarray(xy, dtype=np.float64).reshape(-1, 2) * self.scale - (self.left, self.top)
        placed = np.clip(points * SUPERSAMPLE - 0.5, -_FAR, _FAR)
        return [(float(x), float(y)) for x, y in placed]

    def coverage(self) -> Image.Image:
        """Mode L at the canvas's scale: 255 where wholly covered."""
        return self.image.reduce(SUPERSAMPLE)


class Canvas:
    """One image at display size. ``picture`` is RGB; ``scale`` leads from image to canvas coordinates, (x, y)."""

    def __init__(self, image: Image.Image) -> None:
        ratio = LONG_SIDE / max(image.size)
        whole = int(ratio) if ratio >= PIXEL_ART else ratio
        size = (max(1, round(image.width * whole)), max(1, round(image.height * whole)))
        how = Image.Resampling.NEAREST if ratio >= PIXEL_ART else Image.Resampling.LANCZOS
        self.picture = image.convert("RGB").resize(size, how)
        self.scale: Point = (size[0] / image.width, size[1] / image.height)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in canvas pixels."""
        return self.picture.size

    def on_canvas(self, box: Box) -> Box:
        """A box of image coordinates in canvas coordinates, not clipped."""
        x, y = self.scale
        return box[0] * x, box[1] * y, box[2] * x, box[3] * y

    def stencil(self, xy: ArrayLike, margin: float = 0.0) -> Stencil | None:
        """An empty stencil around points of image coordinates and a margin in canvas pixels; None if off the canvas."""
        points = np.asarray(xy, dtype=np.float64).reshape(-1, 2) * self.scale
        edges: NDArray[np.float64] = np.array(self.size, dtype=np.float64)
        low = np.floor(np.clip(points.min(0) - margin, 0, edges)).astype(int)
        high = np.ceil(np.clip(points.max(0) + margin, 0, edges)).astype(int)
        width, height = (int(side) for side in high - low)
        if width < 1 or height < 1:
            return None
        image = Image.new("L", (width * SUPERSAMPLE, height * SUPERSAMPLE))
        return Stencil(int(low[0]), int(low[1]), image, self.scale)

    def paint(self, coverage: Image.Image, corner: Sequence[int], colour: Colour, alpha: float = 1.0) -> None:
        """Blend a colour over the picture: ``new = old + alpha * coverage * (colour - old)``."""
        faded = coverage if alpha >= 1 else coverage.point([round(alpha * value) for value in range(256)])
        self.picture.paste(colour, (corner[0], corner[1]), faded)

    def stamp(self, stencil: Stencil, colour: Colour, alpha: float = 1.0) -> None:
        """Paint what a stencil covers."""
        self.paint(stencil.coverage(), (stencil.left, stencil.top), colour, alpha)
