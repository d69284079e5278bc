"""A window of a resized picture is made of nothing but what it says, and is the whole picture's window, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from shardstream.loaders.decoders.fast import resized
from shardstream.loaders.decoders.resized_window import WindowAxis
from shardstream.loaders.decoders.turbo import available, decode_placed

from .test_turbo import jpeg, whole

SIDE = st.integers(1, 70)
KIND = st.sampled_from(["bilinear", "bicubic"])


@st.composite
def windows(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """A side of the picture, of the resized one, and a window of it."""
    have, wanted = draw(SIDE), draw(SIDE)
    start = draw(st.integers(0, wanted - 1))
    return have, wanted, start, draw(st.integers(start + 1, wanted))


@settings(max_examples=400)
@given(windows(), windows(), KIND)
@example(
    (50, 51, 4, 47), (50, 51, 4, 50), "bilinear"
)  # as many pixels left as wanted: torch would leave the axis alone
@example((50, 50, 4, 47), (60, 60, 10, 20), "bicubic")  # nothing to resize
def test_it_is_the_window_of_the_resized_whole(
    down: tuple[int, int, int, int], across: tuple[int, int, int, int], kind: str
) -> None:
    """Whatever stands in the rest of the memory; up, down, or not at all, each axis by itself."""
    picture = np.random.default_rng(0).integers(0, 256, (down[0], across[0], 3), dtype=np.uint8)
    y, x = WindowAxis.of(*down, kind), WindowAxis.of(*across, kind)
    assert y is not None
    assert x is not None
    known = ~picture
    known[y.first : y.last, x.first : x.last] = picture[y.first : y.last, x.first : x.last]
    found = resized(known[: y.last, : x.last], (y.made, x.made), kind, y.zoom, x.zoom)
    expected = functional.interpolate(
        torch.from_numpy(picture).permute(2, 0, 1)[None], size=(down[1], across[1]), mode=kind, antialias=True
    )[0].permute(1, 2, 0)
    window = expected[y.start : y.stop, x.start : x.stop].numpy()
    assert np.array_equal(found[y.start : y.stop, x.start : x.stop], window)


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 5), (0, 31), (40, 50)])
def test_a_window_outside_the_resized_picture_is_none(start: int, stop: int) -> None:
    """Pillow pads there, so Pillow does it."""
    assert WindowAxis.of(20, 30, start, stop, "bilinear") is None


def test_less_is_decoded_and_resized_than_the_whole() -> None:
    """Of a photo of 500 x 375: the usual evaluation, 256 and 224."""
    x, y = WindowAxis.of(500, 341, 58, 282, "bilinear"), WindowAxis.of(375, 256, 16, 240, "bilinear")
    assert x is not None
    assert y is not None
    assert (x.last - x.first) * (y.last - y.first) < 0.63 * 500 * 375
    assert (x.made, y.made) == (282, 240)


@pytest.mark.skipif(not available(), reason="no libturbojpeg 3: pip install turbojpeg")
@settings(max_examples=60)
@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]), st.data())
def test_a_placed_window_stands_where_it_stands_in_the_picture(
    width: int, height: int, subsampling: str, data: st.DataObject
) -> None:
    """The same pixels as Pillow's, counted from the picture's corner."""
    encoded = jpeg(width, height, subsampling=subsampling)
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, bottom = data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height))
    found = decode_placed(encoded, left, top, right, bottom)
    assert found is not None
    assert found.shape == (bottom, right, 3)
    assert np.array_equal(found[top:, left:], whole(encoded)[top:bottom, left:right])
