"""Letterbox: the whole image, aspect kept, in the middle of its fill."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as F  # noqa: N812 - torchvision's own name for it
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from shardstream.errors import OptionError
from shardstream.transforms import Letterbox
from shardstream.transforms.boxes import fitted_sizes

from .samples import Ragged, batch_of, noise, photo, tensor, worst

SIZES = [(40, 80), (90, 45), (64, 64), (33, 97), (200, 11), (1, 1)]


@pytest.mark.parametrize("size", [(64, 64), (50, 90)])
def test_pixels_are_torchvisions_resize_and_pad(size: tuple[int, int]) -> None:
    """Bit for bit on a CPU, ragged in, one tensor out."""
    images = [noise(3, *given, seed=row) for row, given in enumerate(SIZES)]
    out = Letterbox(size, fill=114)(batch_of(Ragged(images)))["image"]
    assert out.shape == (len(SIZES), 3, *size)
    for row, image in enumerate(images):
        inner = fitted_sizes(np.array([image.shape[-2:]]), size)[0].tolist()
        top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
        room = [left, top, size[1] - inner[1] - left, size[0] - inner[0] - top]
        assert torch.equal(out[row], F.pad(F.resize(image, inner), room, fill=114))


def test_it_is_pillows_pad_where_no_side_is_rounded() -> None:
    """An oracle of its own for the placement: ImageOps.pad of 4:3 photographs."""
    for size in ((128, 128), (96, 200)):
        image = photo(180, 240)
        expected = ImageOps.pad(image, size[::-1], Image.Resampling.BILINEAR, color=(114, 114, 114))
        out = Letterbox(size)(batch_of(tensor(image)[None]))["image"][0]
        assert worst(out, tensor(expected)) <= 1


@settings(max_examples=200)
@given(
    size=st.tuples(st.integers(1, 3000), st.integers(1, 3000)), out=st.tuples(st.integers(1, 700), st.integers(1, 700))
)
def test_the_image_fits_and_touches_two_sides(size: tuple[int, int], out: tuple[int, int]) -> None:
    """As large as possible, and its aspect is kept to half a pixel of either side."""
    inner = fitted_sizes(np.array([size]), out)[0]
    scale = min(out[0] / size[0], out[1] / size[1])
    assert (inner <= out).all()
    assert (inner == out).any()
    assert (np.abs(inner - np.maximum(np.array(size) * scale, 1)) <= 0.5 + 1e-9).all()


def test_small_images_keep_their_size_where_asked() -> None:
    """Not enlarged: 40 x 80 in the middle of 100 x 100, every pixel as it was."""
    image = noise(1, 3, 40, 80)
    out = Letterbox(100, enlarge=False)(batch_of(image))["image"]
    assert torch.equal(out[..., 30:70, 10:90], image)
    assert out[..., :30, :].unique().tolist() == [114]


def test_a_filler_row_and_an_empty_batch_pass() -> None:
    """The empty slots of a short last batch do not stop it."""
    rows = [noise(3, 20, 30), torch.empty(3, 0, 0, dtype=torch.uint8)]
    assert Letterbox(16)(batch_of(Ragged(rows)))["image"].shape == (2, 3, 16, 16)
    assert len(Letterbox(16)({"image": noise(0, 3, 8, 8)})["image"]) == 0


def test_a_fill_that_is_no_grey_level_is_refused() -> None:
    """When it is written."""
    with pytest.raises(OptionError, match="fill is 300"):
        Letterbox(64, fill=300)
