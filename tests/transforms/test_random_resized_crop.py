"""RandomResizedCrop: torchvision's boxes and pixels, one draw per sample."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision.transforms as v1
import torchvision.transforms.v2.functional as F  # noqa: N812 - torchvision's own name for it
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import InterpolationMode

from shardstream.transforms import RandomResizedCrop

from .pil_reference import apply_plan_pil
from .samples import Ragged, batch_of, ks_distance, noise, photo, seeds, tensor, u64, worst

SIZES = [(375, 500), (500, 375), (64, 900), (31, 17), (224, 224), (700, 650), (1, 1), (3, 40)]
MODES = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}


def ragged() -> Ragged:
    return Ragged([tensor(photo(*size)) for size in SIZES])


def boxes_for(crop: RandomResizedCrop, height: int, width: int, count: int) -> np.ndarray:
    return crop.draw(np.tile([height, width], (count, 1)), u64(seeds(count)))


def test_pixels_are_torchvisions_for_the_same_boxes_within_one_level() -> None:
    """Each row equals v2.functional.resized_crop on the PIL image with that row's box."""
    crop = RandomResizedCrop(96)
    batch = batch_of(ragged())
    out = crop(batch)["image"]
    boxes = crop.draw(batch["orig_size"].numpy(), u64(batch["seed"])).astype(int)
    for row, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        reference = F.resized_crop(photo(*SIZES[row]), y0, x0, y1 - y0, x1 - x0, [96, 96])
        assert worst(out[row], tensor(reference)) <= 1


def test_bicubic_differs_from_pillow_by_half_a_level_on_average_at_most() -> None:
    """The facts' tolerance for bicubic: mean 0.5, since Pillow rounds between its passes."""
    crop = RandomResizedCrop(96, interpolation="bicubic")
    image = photo(375, 500)
    batch = batch_of(tensor(image)[None].repeat(8, 1, 1, 1))
    out = crop(batch)["image"]
    for row, (x0, y0, x1, y1) in enumerate(boxes_for(crop, 375, 500, 8).astype(int).tolist()):
        reference = F.resized_crop(image, y0, x0, y1 - y0, x1 - x0, [96, 96], interpolation=MODES["bicubic"])
        assert (out[row].int() - tensor(reference).int()).abs().float().mean() <= 0.5


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_planned_and_unplanned_use_the_same_box(interpolation: str) -> None:
    """Decoding to the plan gives the pixels that the full-size images give, within one level (nearest: exactly)."""
    crop = RandomResizedCrop((80, 120), interpolation=interpolation)
    batch = batch_of(ragged())
    plan = crop.decode_plan(batch["key"], batch["orig_size"].numpy(), u64(batch["seed"]))
    assert (plan.isolated, plan.out_hw, plan.interpolation) == (True, (80, 120), interpolation)
    out = crop(batch)["image"]
    for row, size in enumerate(SIZES):
        args = (plan.crop_xyxy[row], plan.out_hw, bool(plan.flip[row]), plan.interpolation, plan.isolated)
        planned = torch.from_numpy(apply_plan_pil(photo(*size), *args)).permute(2, 0, 1)
        assert worst(out[row], planned) <= (0 if interpolation == "nearest" else 1)


def test_a_batch_decoded_to_the_plan_is_left_alone() -> None:
    """The crop field says that the loader has done the work; a second crop would zoom twice."""
    batch = batch_of(noise(4, 3, 96, 96), crop=torch.zeros(4, 4))
    assert RandomResizedCrop(96)(batch)["image"] is batch["image"]


def test_pixels_outside_the_crop_contribute_nothing() -> None:
    """Isolated: repainting everything outside the box changes no output pixel."""
    crop = RandomResizedCrop(32)
    image = noise(3, 200, 300)
    x0, y0, x1, y1 = boxes_for(crop, 200, 300, 1)[0].astype(int).tolist()
    painted = torch.full_like(image, 255)
    painted[:, y0:y1, x0:x1] = image[:, y0:y1, x0:x1]
    assert torch.equal(crop(batch_of(image[None]))["image"], crop(batch_of(painted[None]))["image"])


@pytest.mark.parametrize("size", [(375, 500), (40, 400), (400, 40)])
def test_boxes_are_distributed_as_torchvisions(size: tuple[int, int]) -> None:
    """10,000 draws each: area, ratio and both centres, KS distance below the 0.1 % critical value."""
    height, width = size
    ours = boxes_for(RandomResizedCrop(224), height, width, 10_000)
    torch.manual_seed(1)
    image = torch.empty(3, height, width)
    theirs = np.array([v1.RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(10_000)])
    y, x, h, w = theirs.T
    ow, oh = ours[:, 2] - ours[:, 0], ours[:, 3] - ours[:, 1]
    pairs = {
        "area": (ow * oh, w * h),
        "ratio": (ow / oh, w / h),
        "x": (ours[:, 0] + ow / 2, x + w / 2),
        "y": (ours[:, 1] + oh / 2, y + h / 2),
    }
    distances = {name: ks_distance(*pair) for name, pair in pairs.items()}
    assert max(distances.values()) < 1.95 * (2 / 10_000) ** 0.5, distances


def test_an_image_too_thin_for_any_try_gets_the_central_crop() -> None:
    """10 x 1000 with the whole area asked for: no try fits, so 10 x 13 from the middle, as torchvision's fallback."""
    crop = RandomResizedCrop(8, scale=(1.0, 1.0))
    assert boxes_for(crop, 10, 1000, 3).tolist() == [[493, 0, 506, 10]] * 3
    assert boxes_for(crop, 1000, 10, 1).tolist() == [[0, 493, 10, 506]]


def test_drawn_boxes_keep_their_golden_values() -> None:
    """A checkpoint resumed with a newer library sees the same crops."""
    crop = RandomResizedCrop(224)
    sizes = np.array([[375, 500], [500, 333], [32, 32], [1200, 1600]])
    golden = [[55, 102, 304, 367], [100, 67, 259, 256], [3, 0, 30, 30], [964, 193, 1509, 836]]
    assert crop.draw(sizes, np.array([0, 1, 2, 2**64 - 1], dtype=np.uint64)).tolist() == golden


@settings(max_examples=200, deadline=None)
@given(
    size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    seed=st.integers(0, 2**64 - 1),
    scale=st.sampled_from([(0.08, 1.0), (1e-6, 1e-5), (0.5, 3.0)]),
    ratio=st.sampled_from([(3 / 4, 4 / 3), (0.01, 0.02), (50.0, 90.0), (1.0, 1.0)]),
)
def test_boxes_lie_inside_the_image_and_hold_a_pixel(
    size: tuple[int, int], seed: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> None:
    """Any size, seed, scale and ratio, absurd ones included."""
    crop = RandomResizedCrop(224, scale=scale, ratio=ratio)
    plan = crop.decode_plan(["k"], np.array([size]), np.array([seed], dtype=np.uint64))
    x0, y0, x1, y1 = plan.crop_xyxy[0]
    assert 0 <= x0 <= x1 - 1
    assert 0 <= y0 <= y1 - 1
    assert x1 <= size[1]
    assert y1 <= size[0]
    assert np.array_equal(plan.crop_xyxy, np.rint(plan.crop_xyxy))


def test_a_filler_row_without_pixels_becomes_zeros() -> None:
    """The empty slots of a short last batch do not stop it."""
    out = RandomResizedCrop(16)(batch_of([noise(3, 40, 50), torch.empty(3, 0, 0, dtype=torch.uint8)]))["image"]
    assert out.shape == (2, 3, 16, 16)
    assert out[0].any()
    assert not out[1].any()
