"""The usual JPEG header, ten times as fast as Pillow reads it; everything unusual is left to Pillow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_DQT, _SOS = 0xDB, 0xDA
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_DHT, _DRI, _COMMENT, _JFIF, _ICC, _ADOBE = 0xC4, 0xDD, 0xFE, 0xE0, 0xE2, 0xEE
# Bytes below which Pillow would look beyond the segment's end. APP1 (EXIF) and APP13 (Photoshop) are not plain.
_LEAST = {_DHT: 0, _DRI: 0, _COMMENT: 0, _JFIF: 12, _ICC: 14, _ADOBE: 12}
_TABLE = 65  # a quantization table: precision and number in one byte, 64 values of 8 bits
_MANY_PIXELS = 50_000_000  # Pillow judges sizes from 89 million


class Frame(NamedTuple):
    """What a frame header says; sizes in pixels."""

    width: int
    height: int
    components: int
    progressive: bool


def plain_frame(data: bytes) -> Frame | None:
    """The frame of a JPEG whose header holds nothing unusual up to its first scan, else None.

    None for everything that needs Pillow's judgement: EXIF, several pictures (MPO), 12 bits, odd or damaged segments.
    Where a frame is returned, Pillow opens the image and says the same. Layout: ITU-T T.81 (1992), annex B.
    """
    frame = None
    for marker, body in segments(data):
        if marker == _SOS:
            return frame
        if marker in (_BASELINE, _EXTENDED, _PROGRESSIVE):
            if frame is not None or (frame := _frame(marker, body)) is None:
                return None
        elif not _is_plain(marker, body):
            return None
    return None


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and body of each whole segment, up to what is none:  FF marker | size, 2 bytes, counts itself | body."""
    at = 2 if data.startswith(b"\xff\xd8\xff") else len(data)
    while data[at : at + 1] == b"\xff":
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if not at + 4 <= end <= len(data):
            return
        yield data[at + 1], data[at + 4 : end]
        at = end


def _frame(marker: int, body: bytes) -> Frame | None:
    #  bits | height, 2 bytes | width, 2 bytes | components | 3 bytes for each component
    if len(body) < 6 or body[0] != 8 or body[5] not in (1, 3, 4) or len(body) != 6 + 3 * body[5]:
        return None
    height, width = int.from_bytes(body[1:3]), int.from_bytes(body[3:5])
    return Frame(width, height, body[5], marker == _PROGRESSIVE) if 0 < width * height <= _MANY_PIXELS else None


def _is_plain(marker: int, body: bytes) -> bool:
    if marker == _DQT:
        return len(body) % _TABLE == 0 and all(first < 16 for first in body[::_TABLE])
    return marker in _LEAST and len(body) >= _LEAST[marker] and not body.startswith(b"MPF\0")
