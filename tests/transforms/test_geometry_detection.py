"""Scale augmentation and bounded resizing: torchvision's sizes, places and pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as F  # noqa: N812 - torchvision's own name for it
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import v2

from shardstream.errors import OptionError
from shardstream.transforms import LargeScaleJitter, RandomShortestSize, RandomVerticalFlip, RandomZoomOut, Resize
from shardstream.transforms.boxes import detr_sizes

from .samples import Ragged, batch_of, ks_distance, noise, seeds, u64

SIZES = [(60, 80), (97, 41), (50, 50), (33, 120)]
CRITICAL = 1.95 * (2 / 10_000) ** 0.5
"""KS distance of two samples of 10,000 that chance exceeds once in a thousand."""


def images() -> Ragged:
    return Ragged([noise(3, *size, seed=row) for row, size in enumerate(SIZES)])


@settings(max_examples=300)
@given(
    size=st.tuples(st.integers(1, 4000), st.integers(1, 4000)), shorter=st.integers(1, 900), more=st.integers(1, 700)
)
def test_bounded_sizes_are_torchvisions(size: tuple[int, int], shorter: int, more: int) -> None:
    """Resize(800, max_size=1333) and every pair like it; a side that torchvision makes 0 is 1 here."""
    from torchvision.transforms.functional import _compute_resized_output_size

    ours = Resize(shorter, max_size=shorter + more).output_sizes(np.array([size]))[0].tolist()
    theirs = _compute_resized_output_size(size, [shorter], max_size=shorter + more)
    assert ours == [max(side, 1) for side in theirs]
    longest = Resize(None, max_size=more).output_sizes(np.array([size]))[0].tolist()
    theirs = _compute_resized_output_size(size, None, max_size=more, allow_size_none=True)
    assert longest == [max(side, 1) for side in theirs]


@settings(max_examples=300)
@given(size=st.tuples(st.integers(1, 4000), st.integers(1, 4000)))
def test_detr_sizes_are_transformers(size: tuple[int, int]) -> None:
    """Rounded short side, long side from the value before rounding: 800 and 1333, DETR's."""
    transformers = pytest.importorskip("transformers.image_transforms")
    theirs = transformers.get_size_with_aspect_ratio(size, 800, 1333)
    assert tuple(detr_sizes(np.array([size]), 800, 1333)[0].tolist()) == theirs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((None,), "size is None"),
        ((8, "bilinear", 8), "must be the larger one"),
        (((8, 9), "bilinear", 12), "max_size 12"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(options: tuple[object, ...], message: str) -> None:
    """No size at all, a bound below it, a bound of a fixed size."""
    with pytest.raises(OptionError, match=message):
        Resize(*options)


def test_shortest_sizes_are_torchvisions_for_each_drawn_side() -> None:
    """Sizes and pixels, the longer side bounded; every side of the list is drawn, equally often."""
    transform = RandomShortestSize([24, 30, 47], max_size=60)
    batch = batch_of(images())
    out = transform(batch)["image"]
    for row, image in enumerate(batch["image"]):
        made = [v2.RandomShortestSize([side], 60).make_params([image])["size"] for side in transform.sizes]
        assert tuple(out[row].shape[-2:]) in made
        assert torch.equal(out[row], F.resize(image, list(out[row].shape[-2:])))
    drawn = transform.draw(np.tile([50, 50], (9_000, 1)), u64(seeds(9_000)))[:, 0]
    counts = np.array([(drawn == side).sum() for side in (24, 30, 47)])
    assert ((counts - 3_000) ** 2 / 3_000).sum() < 13.8  # chi-square, 2 degrees of freedom, 0.1 %


def test_shorter_sides_come_as_often_as_torchvisions() -> None:
    """10,000 draws each of seven sides, two of which ``max_size`` makes alike: chi-square below its 0.1 % value."""
    sides = [24, 32, 40, 48, 56, 64, 72]
    ours = RandomShortestSize(sides, 80).draw(np.tile([60, 80], (10_000, 1)), u64(seeds(10_000)))
    torch.manual_seed(4)
    theirs, image = v2.RandomShortestSize(sides, 80), [torch.empty(3, 60, 80)]
    drawn = np.array([theirs.make_params(image)["size"] for _ in range(10_000)])
    counts = np.array([[(made == size).all(1).sum() for made in (ours, drawn)] for size in np.unique(drawn, axis=0)])
    assert counts.sum(0).tolist() == [10_000, 10_000]
    assert ((counts[:, 0] - counts[:, 1]) ** 2 / counts.sum(1)).sum() < 20.5  # five degrees of freedom
    assert len(counts) == 6


def test_zoomed_out_canvases_are_distributed_and_filled_as_torchvisions() -> None:
    """10,000 draws: canvas sides and the image's corner; pixels are F.pad's."""
    transform = RandomZoomOut(fill=7, p=1.0)
    ours = transform.draw(np.tile([60, 80], (10_000, 1)), u64(seeds(10_000)))
    torch.manual_seed(5)
    theirs, image = v2.RandomZoomOut(p=1.0), [torch.empty(3, 60, 80)]
    pads = np.array([theirs.make_params(image)["padding"] for _ in range(10_000)])  # left, top, right, bottom
    flat = np.stack((60 + pads[:, 1] + pads[:, 3], 80 + pads[:, 0] + pads[:, 2], pads[:, 1], pads[:, 0]), axis=1)
    assert max(ks_distance(ours[:, i], flat[:, i]) for i in range(4)) < CRITICAL
    batch = batch_of(images())
    params = transform.draw(np.array(SIZES), u64(batch["seed"])).tolist()
    for out, source, (h, w, y, x) in zip(transform(batch)["image"], batch["image"], params, strict=True):
        room = [x, y, w - x - source.shape[-1], h - y - source.shape[-2]]
        assert torch.equal(out, F.pad(source, room, fill=7))
    rate = (RandomZoomOut(p=0.3).draw(np.tile([60, 80], (10_000, 1)), u64(seeds(10_000)))[:, 0] > 60).mean()
    assert abs(rate - 0.3) < 0.02


def test_large_scale_jitter_is_torchvisions_scale_jitter_and_fixed_size_crop() -> None:
    """Sizes as ScaleJitter draws them for a square, at 10,000 draws; pixels resized, cut and padded by its functions."""
    transform = LargeScaleJitter((64, 64))
    ours = transform.draw(np.tile([60, 80], (10_000, 1)), u64(seeds(10_000)))
    torch.manual_seed(6)
    theirs, image = v2.ScaleJitter((64, 64)), [torch.empty(3, 60, 80)]
    flat = np.array([theirs.make_params(image)["size"] for _ in range(10_000)])
    assert max(ks_distance(ours[:, i], flat[:, i]) for i in range(2)) < CRITICAL
    room = np.maximum(ours[:, :2] - 64, 0)
    assert (ours[:, 2:] <= room).all()
    assert (ours[:, 2:] >= 0).all()
    enlarged = LargeScaleJitter((64, 64), (1.1, 1.1)).draw(np.tile([64, 64], (10_000, 1)), u64(seeds(10_000)))
    for corner in enlarged[:, 2:].T:  # a room of 6: every place of 7 as often, chi-square with 6 degrees of freedom
        counts = np.bincount(corner, minlength=7)
        assert ((counts - 10_000 / 7) ** 2 / (10_000 / 7)).sum() < 22.5
    batch = batch_of(images())
    params = transform.draw(np.array(SIZES), u64(batch["seed"])).tolist()
    for out, source, (h, w, y, x) in zip(transform(batch)["image"], batch["image"], params, strict=True):
        padded = F.pad(F.resize(source, [h, w]), [0, 0, max(64 - w, 0), max(64 - h, 0)])
        assert torch.equal(out, F.crop(padded, y, x, 64, 64))


def test_a_vertical_flip_equals_torchvisions_at_its_rate() -> None:
    """Drawn rows are turned over exactly, and as often as p says; its draws are not those of the other flip."""
    flip = RandomVerticalFlip()
    batch = batch_of(noise(16, 3, 9, 14))
    drawn = flip.draw(batch["orig_size"].numpy(), u64(batch["seed"]))
    for row, turned in enumerate(drawn):
        expected = F.vertical_flip(batch["image"][row]) if turned else batch["image"][row]
        assert torch.equal(flip(batch)["image"][row], expected)
    rate = RandomVerticalFlip(0.3).draw(np.ones((10_000, 2), dtype=np.int64), u64(seeds(10_000))).mean()
    assert abs(rate - 0.3) <= 4 * (0.21 / 10_000) ** 0.5
