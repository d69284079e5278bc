"""Which pictures a GPU decodes as the CPU does; the others are decoded in the worker. Pure functions of bytes and plan.

A GPU's decoder (nvJPEG behind ``torchvision.io.decode_jpeg``) takes grey and YCbCr JPEGs. It has no CMYK, takes
progressive ones one by one on the host, and fails a whole list for one bad file; so what is unusual stays here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ...shard_writer.jpeg_header import segments
from .turbo import MAX_PIXELS

if TYPE_CHECKING:
    from ..decode import Geometry

_EOI = b"\xff\xd9"
_BASELINE, _SOS, _ADOBE = 0xC0, 0xDA, 0xEE
_RGB_NAMES = b"RGB"
_SMOOTH = ("bilinear", "bicubic")


class Stored(NamedTuple):
    """What a baseline JPEG's header says; sizes in pixels."""

    height: int
    width: int


def on_gpu(data: bytes | memoryview, geometry: Geometry | None, orientation: int = 1) -> bool:
    """Whether a GPU may decode a picture, and cut the geometry that is planned for it on the device.

    A whole baseline JPEG of 8 bits, grey or YCbCr, that is not to be turned, of at most 89 million pixels, with a
    smooth resampling and a window that lies inside the picture.
    """
    stored = _baseline(bytes(data)) if orientation not in range(2, 9) else None
    if stored is None or stored.height * stored.width > MAX_PIXELS:
        return False
    return geometry is None or (geometry.interpolation in _SMOOTH and _inside(geometry, stored))


def _baseline(data: bytes) -> Stored | None:
    """The frame of a whole baseline JPEG in grey or YCbCr; None for everything else. Layout: ITU-T T.81, annex B."""
    if not data.endswith(_EOI):  # cut short, or with something behind it
        return None
    frame, transformed = None, True
    for marker, body in segments(data):
        if marker == _BASELINE:
            frame = body
        elif marker == _ADOBE and body[:5] == b"Adobe":
            transformed = body[11:12] != b"\0"
        elif marker == _SOS:
            return _stored(frame, transformed)
    return None


def _stored(frame: bytes | None, transformed: bool) -> Stored | None:
    #  bits | height, 2 bytes | width, 2 bytes | components | name, sampling, table of each
    if frame is None or len(frame) < 6 or frame[0] != 8 or len(frame) != 6 + 3 * frame[5]:
        return None
    is_grey = frame[5] == 1
    is_ycbcr = frame[5] == 3 and transformed and frame[6::3] != _RGB_NAMES
    height, width = int.from_bytes(frame[1:3]), int.from_bytes(frame[3:5])
    return Stored(height, width) if (is_grey or is_ycbcr) and height and width else None


def _inside(geometry: Geometry, stored: Stored) -> bool:
    left, top, right, bottom = geometry.crop
    if geometry.isolated:
        x0, y0, x1, y1 = (round(value) for value in geometry.crop)
        return 0 <= x0 < x1 <= stored.width and 0 <= y0 < y1 <= stored.height
    height, width = geometry.out_hw
    zoom_x, zoom_y = width / (right - left), height / (bottom - top)
    x, y = round(left * zoom_x), round(top * zoom_y)
    return (
        x >= 0 and y >= 0 and x + width <= round(stored.width * zoom_x) and y + height <= round(stored.height * zoom_y)
    )
