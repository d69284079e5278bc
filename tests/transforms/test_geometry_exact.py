"""Resampling off the CPU: the batched integers are torch's own byte kernel, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from shardstream.transforms.resample import resize_crops
from shardstream.transforms.resample_exact import resize_boxes

from .samples import noise

side = st.integers(1, 90)


def boxes_in(height: int, width: int, count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x0, y0 = rng.integers(0, width, count), rng.integers(0, height, count)
    return np.stack((x0, y0, rng.integers(x0 + 1, width + 1), rng.integers(y0 + 1, height + 1)), axis=1)


@settings(max_examples=60)
@given(source=st.tuples(side, side), target=st.tuples(side, side), seed=st.integers(0, 999), mode=st.booleans())
@example(source=(90, 1), target=(1, 90), seed=0, mode=True)
def test_every_box_is_resized_to_the_bits_of_torchs_cpu_kernel(
    source: tuple[int, int], target: tuple[int, int], seed: int, mode: bool
) -> None:
    """Three rows of noise, each with a box of its own, up and down, bilinear and bicubic."""
    interpolation = "bicubic" if mode else "bilinear"
    images, boxes = noise(3, 3, *source, seed=seed), boxes_in(*source, 3, seed)
    out = resize_boxes(images, boxes, target, interpolation)
    for row, (x0, y0, x1, y1) in enumerate(boxes):
        part = images[row : row + 1, :, y0:y1, x0:x1]
        assert torch.equal(out[row], functional.interpolate(part, target, mode=interpolation, antialias=True)[0])


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_large_photographs_are_resized_to_the_same_bits(interpolation: str) -> None:
    """A reduction by 10, more rows than a chunk, and the largest differences that bytes can have."""
    images = (noise(18, 3, 600, 40) > 127).to(torch.uint8) * 255
    whole = np.tile([0, 0, 40, 600], (18, 1))
    out = resize_boxes(images, whole, (60, 37), interpolation)
    assert torch.equal(out, functional.interpolate(images, (60, 37), mode=interpolation, antialias=True))


def test_a_batch_without_rows_has_no_rows_afterwards() -> None:
    """A rank may have nothing left."""
    empty = torch.empty((0, 3, 9, 9), dtype=torch.uint8)
    assert resize_boxes(empty, np.empty((0, 4), dtype=np.int64), (4, 5), "bilinear").shape == (0, 3, 4, 5)
    assert resize_crops(empty, np.empty((0, 4)), (4, 5), "bilinear").shape == (0, 3, 4, 5)
