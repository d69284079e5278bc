"""What a decoder must know before it decodes, read from an image's header."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import UndecodableImage
from .jpeg_header import plain_frame

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")  # Pillow opens MPO as JPEG; named here it would be a KeyError
MAX_PIXELS = 500_000_000
_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Header facts of one image; sizes in pixels, as stored (EXIF orientation not applied)."""

    width: int
    height: int
    format: str
    """``jpeg``, ``png``, ``webp``, ``npy`` ...: what the bytes are, whatever the file is called."""
    components: int
    """Channels as stored: 1 grey, 3 colour, 4 CMYK or alpha."""
    progressive: bool
    exif_orientation: int | None
    """The raw EXIF value, None where there is none; values outside 1..8 occur and mean nothing."""


def image_facts(data: bytes, key: str) -> ImageFacts:
    """Read the header of an encoded image or ``.npy`` array.

    Raises UndecodableImage, naming the key, for bytes that are no known image or claim over 500 Mpixel.
    """
    if data[:6] == b"\x93NUMPY":
        return _array_facts(data, key)
    if frame := plain_frame(data):
        return ImageFacts(frame.width, frame.height, "jpeg", frame.components, frame.progressive, None)
    try:
        with warnings.catch_warnings():
            # Corrupt EXIF and sizes are judged below; Pillow's warning would name neither key nor shard.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                facts = _header_facts(image)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UndecodableImage(
            f"{key}: {len(data)} bytes starting {data[:8]!r} are no readable image: {error}"
        ) from error
    if facts.width * facts.height > MAX_PIXELS:
        raise UndecodableImage(f"{key}: {facts.width}x{facts.height} pixels is over the limit of {MAX_PIXELS:,}.")
    return facts


def _header_facts(image: Image.Image) -> ImageFacts:
    kind = (image.format or "").lower()
    return ImageFacts(
        width=image.width,
        height=image.height,
        format="jpeg" if kind == "mpo" else kind,
        components=len(image.getbands()),
        progressive=bool(image.info.get("progressive") or image.info.get("interlace")),
        exif_orientation=_orientation(image),
    )


def _orientation(image: Image.Image) -> int | None:
    # Parsing EXIF costs more than the rest of the header; most photos of the benchmarks have none.
    if "exif" not in image.info:
        return None
    try:
        value = image.getexif().get(_ORIENTATION)
    except (SyntaxError, ValueError, OSError, KeyError, TypeError, IndexError):
        return None  # damaged EXIF: the pixels decode all the same
    return value if isinstance(value, int) and -128 <= value <= 127 else None


def load_array(data: bytes, key: str) -> np.ndarray:
    """The uint8 (H, W, C) or (H, W) array of an ``.npy`` payload, never unpickled."""
    try:
        array: np.ndarray = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise UndecodableImage(f"{key}: not a plain .npy array: {error}") from error
    if array.dtype != np.uint8 or array.ndim not in (2, 3):
        raise UndecodableImage(f"{key}: an image array must be uint8 (H, W[, C]), this is {array.dtype} {array.shape}.")
    return array


def _array_facts(data: bytes, key: str) -> ImageFacts:
    shape = load_array(data, key).shape
    return ImageFacts(shape[1], shape[0], "npy", shape[2] if len(shape) == 3 else 1, False, None)
