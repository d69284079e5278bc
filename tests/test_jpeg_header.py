"""The fast JPEG header agrees with Pillow wherever it answers, and leaves the rest to Pillow."""

from __future__ import annotations

import io
import random
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from shardstream.errors import UndecodableImage
from shardstream.shard_writer import image_facts as facts_file
from shardstream.shard_writer.image_facts import ImageFacts, image_facts
from shardstream.shard_writer.jpeg_header import Frame, plain_frame


def _jpeg(mode: str = "RGB", size: tuple[int, int] = (40, 24), **options: object) -> bytes:
    pixels = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def _pillow_only(data: bytes) -> ImageFacts | None:
    with mock.patch.object(facts_file, "plain_frame", return_value=None):
        try:
            return image_facts(data, "k")
        except UndecodableImage:
            return None


def _as_facts(frame: Frame) -> ImageFacts:
    return ImageFacts(frame.width, frame.height, "jpeg", frame.components, frame.progressive, None)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_plain_jpegs_need_no_pillow(mode: str, progressive: bool) -> None:
    """Grey, colour and CMYK, baseline and progressive, with an ICC profile and a comment."""
    data = _jpeg(mode, progressive=progressive, icc_profile=b"p" * 200, comment=b"hello")
    frame = plain_frame(data)
    assert frame == Frame(40, 24, {"L": 1, "RGB": 3, "CMYK": 4}[mode], progressive)
    assert _as_facts(frame) == _pillow_only(data)


def test_what_needs_judgement_is_left_to_pillow() -> None:
    """EXIF, several pictures in one file, other formats, a header that stops before its first scan."""
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    picture = Image.new("RGB", (8, 8))
    picture.save(buffer, "MPO", save_all=True, append_images=[picture])
    assert plain_frame(_jpeg(exif=exif)) is None
    assert image_facts(_jpeg(exif=exif), "k").exif_orientation == 6
    assert plain_frame(buffer.getvalue()) is None
    assert image_facts(buffer.getvalue(), "k").format == "jpeg"
    assert plain_frame(b"\x89PNG\r\n\x1a\n" + bytes(100)) is None
    whole = _jpeg()
    for stop in range(whole.index(b"\xff\xda") + 4):
        assert plain_frame(whole[:stop]) is None


def test_short_segments_and_second_frames_are_left_to_pillow() -> None:
    """Segments that end before what Pillow reads in them are refused; of two frames only Pillow makes sense."""
    whole = _jpeg()
    for short in (b"\xff\xe0\x00\x07JFIF\x00", b"\xff\xee\x00\x07Adobe", b"\xff\xe2\x00\x0eICC_PROFILE\x00"):
        data = whole[:2] + short + whole[2:]
        assert plain_frame(data) is None
        assert _pillow_only(data) is None
    progressive = _jpeg(progressive=True)
    frame = progressive[(at := progressive.index(b"\xff\xc2")) : at + 19]
    two = whole[:2] + frame + whole[2:]
    assert plain_frame(two) is None
    assert image_facts(two, "k").progressive


def test_damaged_headers_never_get_an_answer_that_pillow_would_not_give() -> None:
    """Thousands of headers with bytes changed, removed or added: the two agree wherever the fast one answers."""
    rng, answered = random.Random(5), 0
    seeds = [_jpeg(), _jpeg("L", progressive=True), _jpeg("CMYK", icc_profile=b"p" * 50), _jpeg(comment=b"c")]
    for number in range(6_000):
        data = bytearray(seeds[number % len(seeds)])
        header = data.index(b"\xff\xda") + 14
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(header)
            kind = rng.randrange(4)
            if kind == 0:
                del data[at : at + rng.randint(1, 80)]
            elif kind == 1:
                data[at:at] = rng.randbytes(rng.randint(1, 4))
            else:
                data[at] = rng.choice((0, 1, 2, 255, 0xC1, 0xC2, 0xDA, 0xDB, 0xE2, rng.randrange(256)))
        if frame := plain_frame(bytes(data)):
            answered += 1
            assert _as_facts(frame) == _pillow_only(bytes(data)), bytes(data[:header])
    assert answered > 500


def test_real_photographs_get_the_same_facts(real_data: Path) -> None:
    """ImageNet's files and Pillow's odd ones: facts are those of Pillow, and most need no Pillow."""
    files = sorted((real_data / "imagenet").rglob("*.[jJ][pP]*[gG]"))
    frames = 0
    for file in files:
        data = file.read_bytes()
        if frame := plain_frame(data):
            frames += 1
            assert _as_facts(frame) == _pillow_only(data), file
    assert frames > len(files) * 0.8
