"""One row of a DecodePlan carried out by Pillow: what a loader's decode step must equal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}


def apply_plan_pil(
    image: Image.Image,
    crop_xyxy: NDArray[np.float64],
    out_hw: tuple[int, int],
    flip: bool,
    interpolation: str,
    isolated: bool,
) -> NDArray[np.uint8]:
    """The planned part of an RGB image, (H, W, 3) uint8; antialiased, as Pillow always is.

    A window is cut from the resized whole image, not taken with ``resize(box=...)``, which is not the same pixels.
    """
    x0, y0, x1, y1 = map(float, crop_xyxy)
    height, width = out_hw
    if isolated:
        crop = image.crop((round(x0), round(y0), round(x1), round(y1)))
        out = crop.resize((width, height), FILTERS[interpolation])
    else:
        zoom_x, zoom_y = width / (x1 - x0), height / (y1 - y0)
        whole = image.resize((round(image.width * zoom_x), round(image.height * zoom_y)), FILTERS[interpolation])
        left, top = round(x0 * zoom_x), round(y0 * zoom_y)
        out = whole.crop((left, top, left + width, top + height))
    return np.array(out.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else out)
