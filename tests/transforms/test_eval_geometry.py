"""Resize and CenterCrop: torchvision's sizes, offsets and pixels, with and without a plan."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as F  # noqa: N812 - torchvision's own name for it
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms.v2 import InterpolationMode

from shardstream.transforms import CenterCrop, Compose, Resize

from .pil_reference import apply_plan_pil
from .samples import Ragged, batch_of, noise, photo, seeds, tensor, u64, worst

SIZES = [
    (375, 500),
    (256, 259),
    (257, 500),
    (259, 300),
    (500, 501),
    (500, 375),
    (546, 172),
    (100, 150),
    (31, 220),
    (256, 256),
]
MODES = {
    "bilinear": InterpolationMode.BILINEAR,
    "bicubic": InterpolationMode.BICUBIC,
    "nearest": InterpolationMode.NEAREST,
}


def reference(image: Image.Image, interpolation: str = "bilinear") -> Image.Image:
    return F.center_crop(F.resize(image, 256, interpolation=MODES[interpolation]), [224, 224])


def planned(pipeline: Compose | CenterCrop | Resize, image: Image.Image) -> np.ndarray:
    sizes = np.array([[image.height, image.width]])
    plan = pipeline.decode_plan(["k"], sizes, u64(seeds(1)))
    assert plan is not None
    return apply_plan_pil(image, plan.crop_xyxy[0], plan.out_hw, bool(plan.flip[0]), plan.interpolation, plan.isolated)


@pytest.mark.parametrize("interpolation", MODES)
@pytest.mark.parametrize("size", SIZES)
def test_the_eval_plan_in_pillow_equals_torchvision_exactly(size: tuple[int, int], interpolation: str) -> None:
    """Resize(256) + CenterCrop(224) decoded to plan: not one level off, upsampled and very tall images included."""
    pipeline = Compose([Resize(256, interpolation), CenterCrop(224)])
    image = Image.fromarray(noise(*size, 3).numpy())
    assert np.array_equal(planned(pipeline, image), np.asarray(reference(image, interpolation)))


def test_the_eval_pipeline_without_a_plan_is_within_one_level_of_pillow() -> None:
    """Full-size ragged images of any device give the same picture."""
    images = [photo(*size) for size in SIZES]
    out = Compose([Resize(256), CenterCrop(224)])(batch_of(Ragged([tensor(image) for image in images])))["image"]
    assert out.shape == (len(SIZES), 3, 224, 224)
    for row, image in enumerate(images):
        assert worst(out[row], tensor(reference(image))) <= 1


@pytest.mark.parametrize("size", [(100, 151), (96, 160), (128, 32), (63, 21), (191, 640), (7, 9)])
def test_nearest_takes_pillows_pixels_ties_included(size: tuple[int, int]) -> None:
    """torch's 'nearest' takes the corner of each cell, its 'nearest-exact' float32 centres: both miss some pixels."""
    image = Image.fromarray(noise(*size, 3).numpy())
    for shorter in (7, 64, 48, 93):
        out = Resize(shorter, "nearest")(batch_of(tensor(image)[None]))["image"][0]
        assert torch.equal(out, tensor(F.resize(image, shorter, interpolation=MODES["nearest"])))


@settings(max_examples=200, deadline=None)
@given(size=st.tuples(st.integers(1, 3000), st.integers(1, 3000)), shorter=st.integers(1, 600))
def test_resized_sizes_are_torchvisions(size: tuple[int, int], shorter: int) -> None:
    """The longer side is cut to a whole pixel: 375x500 -> 256x341."""
    ours = Resize(shorter).output_sizes(np.array([size]))[0].tolist()
    long = int(shorter * max(size) / min(size))
    assert ours == ([shorter, long] if size[0] <= size[1] else [long, shorter])


@settings(max_examples=200, deadline=None)
@given(size=st.tuples(st.integers(1, 60), st.integers(1, 60)), crop=st.tuples(st.integers(1, 60), st.integers(1, 60)))
def test_center_crop_is_torchvisions_exactly_padding_included(size: tuple[int, int], crop: tuple[int, int]) -> None:
    """Offsets round half to even; a smaller image is padded with zeros, the odd one after it."""
    image = noise(1, 3, *size)
    assert torch.equal(CenterCrop(crop)(batch_of(image))["image"], F.center_crop(image, list(crop)))


@settings(max_examples=200, deadline=None)
@given(
    size=st.tuples(st.integers(1, 4000), st.integers(1, 4000)), out=st.tuples(st.integers(1, 600), st.integers(1, 600))
)
@example(size=(3, 3), out=(187, 187))
def test_a_planned_whole_image_ends_at_the_image(size: tuple[int, int], out: tuple[int, int]) -> None:
    """The window that reaches the edge ends on it: n * (size / n) may round to more than size, a box must not."""
    plan = Resize(out).decode_plan(["k"], np.array([size]), u64(seeds(1)))
    assert plan is not None
    x0, y0, x1, y1 = plan.crop_xyxy[0]
    assert (x0, y0) == (0, 0)
    assert size[1] * (1 - 1e-12) <= x1 <= size[1]
    assert size[0] * (1 - 1e-12) <= y1 <= size[0]


@settings(max_examples=200, deadline=None)
@given(size=st.tuples(st.integers(1, 4000), st.integers(1, 4000)))
def test_eval_windows_lie_inside_the_image_and_hold_a_pixel(size: tuple[int, int]) -> None:
    """At least one output pixel's worth of source, and no edge beyond the image by any rounding."""
    plan = Compose([Resize(256), CenterCrop(224)]).decode_plan(["k"], np.array([size]), u64(seeds(1)))
    assert plan is not None
    x0, y0, x1, y1 = plan.crop_xyxy[0]
    assert 0 <= x0 < x1 <= size[1]
    assert 0 <= y0 < y1 <= size[0]
    assert min(x1 - x0, y1 - y0) >= min(size) * 224 / 256 - 1e-9


def test_a_crop_larger_than_the_resized_image_has_no_plan_and_pads() -> None:
    """A plan cannot pad; without one the result is torchvision's, zeros around the image."""
    pipeline = Compose([Resize(32), CenterCrop(48)])
    assert pipeline.decode_plan(["k"], np.array([[375, 500]]), u64(seeds(1))) is None
    image = photo(375, 500)
    out = pipeline(batch_of(tensor(image)[None]))["image"][0]
    assert worst(out, tensor(F.center_crop(F.resize(image, 32), [48, 48]))) <= 1


def test_center_crop_alone_plans_exact_pixels_and_only_where_none_is_padded() -> None:
    """No resize, so planned and unplanned are equal; one image that needs padding sends all to full size."""
    image = photo(259, 300)
    assert np.array_equal(planned(CenterCrop(224), image), np.asarray(F.center_crop(image, [224, 224])))
    sizes = np.array([[259, 300], [223, 300]])
    assert CenterCrop(224).decode_plan(["a", "b"], sizes, u64(seeds(2))) is None


def test_resize_alone_plans_a_fixed_size_but_not_a_shorter_side() -> None:
    """A shorter side gives rows of different sizes, which one plan cannot say."""
    image = photo(259, 300)
    assert np.array_equal(planned(Resize((64, 80)), image), np.asarray(F.resize(image, [64, 80])))
    assert Resize(64).decode_plan(["k"], np.array([[259, 300]]), u64(seeds(1))) is None


def test_resize_to_a_shorter_side_stays_ragged_where_sizes_differ() -> None:
    """Each row keeps its own shape; rows of one shape come back as one tensor."""
    out = Resize(32)(batch_of([noise(3, 40, 80), noise(3, 90, 45)]))["image"]
    assert [tuple(row.shape) for row in out] == [(3, 32, 64), (3, 64, 32)]
    assert Resize(32)(batch_of([noise(3, 40, 80), noise(3, 20, 40)]))["image"].shape == (2, 3, 32, 64)
