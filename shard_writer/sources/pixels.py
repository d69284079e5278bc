"""Lossless encodings for sources that hold pixels instead of image files."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def encode_pixels(pixels: NDArray[np.uint8], field: str) -> bytes:
    """``(H,W)`` or ``(H,W,3)`` uint8 as ``png`` or, for ``npy``, as NumPy's own file format.

    The same pixels give the same bytes; PNG bytes may change with Pillow's zlib, the pixels never do.
    """
    buffer = io.BytesIO()
    if field == "npy":
        np.save(buffer, np.ascontiguousarray(pixels), allow_pickle=False)
    else:
        Image.fromarray(pixels).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def decode_rgb(data: bytes) -> NDArray[np.uint8]:
    """Pixels ``(H,W,3)`` of an encoded image."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))
