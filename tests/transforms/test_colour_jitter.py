"""ColorJitter and GaussianBlur: torchvision's definitions, order and strength of each sample's own."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as F  # noqa: N812 - torchvision's own name for it
from torch import Tensor
from torchvision.transforms import v2

from shardstream.transforms import ColorJitter, GaussianBlur

from .samples import Ragged, batch_of, ks_distance, noise, photo, seeds, tensor, u64, worst

ADJUST = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
NEUTRAL = (1.0, 1.0, 1.0, 0.0)
LIMIT = 1.95 * (2 / 10_000) ** 0.5
"""The 0.1 % critical value of a Kolmogorov-Smirnov distance between 10,000 and 10,000."""


def torchvisions(image: Tensor, params: list[float]) -> Tensor:
    for op in map(int, params[:4]):
        if params[4 + op] != NEUTRAL[op]:
            image = ADJUST[op](image, params[4 + op])
    return image


@pytest.mark.parametrize("ragged", [False, True])
def test_without_hue_each_row_is_torchvisions_within_a_few_levels_at_few_pixels(ragged: bool) -> None:
    """Three steps in the drawn order; a level lost in the first may be multiplied by the others."""
    jitter = ColorJitter(0.4, 0.4, 0.4)
    images = torch.cat([noise(30, 3, 23, 25), tensor(photo(23, 25))[None]])
    batch = batch_of(Ragged(images) if ragged else images)
    params = jitter.draw(batch["orig_size"].numpy(), u64(batch["seed"]))
    assert len({tuple(row[:4]) for row in params.tolist()}) > 10
    theirs = torch.stack([torchvisions(image, row) for image, row in zip(images, params.tolist(), strict=True)])
    ours = torch.stack(list(jitter(batch)["image"]))
    assert worst(ours, theirs) <= 3
    assert (ours != theirs).float().mean() < 5e-3


def test_with_hue_the_mean_difference_is_below_a_hundredth_of_a_level() -> None:
    """A hue of nearly grey pixels turns on single levels: the mean is bounded, not the worst pixel."""
    jitter = ColorJitter(0.4, 0.4, 0.4, 0.3)
    images = torch.cat([noise(31, 3, 23, 25), tensor(photo(23, 25))[None]])
    batch = batch_of(images)
    params = jitter.draw(batch["orig_size"].numpy(), u64(batch["seed"])).tolist()
    theirs = torch.stack([torchvisions(image, row) for image, row in zip(images, params, strict=True)])
    assert (jitter(batch)["image"].float() - theirs.float()).abs().mean() < 0.01


def test_factors_and_orders_are_distributed_as_torchvisions() -> None:
    """10,000 draws each: four ranges, and all 24 orders equally often (chi-square below its 0.1 % value)."""
    options = {"brightness": 0.3, "contrast": (0.5, 2.0), "saturation": 1.5, "hue": (-0.1, 0.4)}
    ours = ColorJitter(**options).draw(np.ones((10_000, 2), dtype=np.int64), u64(seeds(10_000)))
    torch.manual_seed(0)
    theirs = v2.ColorJitter(**options)
    drawn = [theirs.make_params([]) for _ in range(10_000)]
    for op, name in enumerate(("brightness", "contrast", "saturation", "hue")):
        assert ks_distance(ours[:, 4 + op], np.array([d[f"{name}_factor"] for d in drawn])) < LIMIT
    counts = Counter(map(tuple, ours[:, :4].tolist()))
    assert len(counts) == 24
    assert sum((count - 10_000 / 24) ** 2 / (10_000 / 24) for count in counts.values()) < 49.7


def test_p_leaves_the_other_rows_alone() -> None:
    """SimCLR's RandomApply, without a wrapper."""
    jitter = ColorJitter(0.8, 0.8, 0.8, 0.2, p=0.5)
    batch = batch_of(noise(64, 3, 8, 8))
    same = [torch.equal(a, b) for a, b in zip(jitter(batch)["image"], batch["image"], strict=True)]
    assert 16 < sum(same) < 48
    plain = ColorJitter(0.8, 0.8, 0.8, 0.2)(batch)["image"]
    touched = [row for row in range(64) if not same[row]]
    assert torch.equal(jitter(batch)["image"][touched], plain[touched])


def test_nothing_asked_for_changes_nothing() -> None:
    """Ranges of a single neutral factor."""
    batch = batch_of(noise(4, 3, 8, 8))
    assert torch.equal(ColorJitter()(batch)["image"], batch["image"])
    assert torch.equal(ColorJitter((1, 1), hue=(0, 0))(batch)["image"], batch["image"])


def test_grey_images_may_change_in_brightness_and_contrast() -> None:
    """As torchvision; saturation and hue need colours, and say so (test_bad_input)."""
    jitter = ColorJitter(0.5, 0.5)
    batch = batch_of(noise(8, 1, 9, 9))
    for row, params in enumerate(jitter.draw(batch["orig_size"].numpy(), u64(batch["seed"])).tolist()):
        assert worst(jitter(batch)["image"][row], torchvisions(batch["image"][row], params)) <= 1


def test_jitter_and_blur_keep_their_golden_values() -> None:
    """A checkpoint resumed with a newer library sees the same colours."""
    seed, sizes = np.array([1, 2**64 - 1], dtype=np.uint64), np.ones((2, 2), dtype=np.int64)
    jitter = ColorJitter(0.4, 0.4, 0.4, 0.1).draw(sizes, seed)
    assert np.round(jitter, 4).tolist() == [
        [2, 3, 1, 0, 0.9461, 1.117, 1.2284, 0.0869],
        [2, 1, 0, 3, 1.3623, 0.8488, 1.3705, -0.0662],
    ]
    assert np.round(GaussianBlur(5).draw(sizes, seed), 4).tolist() == [0.957, 0.4058]


@pytest.mark.parametrize("kernel_size", [1, 5, (3, 9), 23])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_blur_is_torchvisions_within_one_level(kernel_size: int | tuple[int, int], channels: int) -> None:
    """A sigma of each row, width and height apart, mirrored at the rim."""
    blur = GaussianBlur(kernel_size, (0.1, 5.0))
    images = torch.cat([noise(6, channels, 26, 31), torch.full((1, channels, 26, 31), 255, dtype=torch.uint8)])
    batch = batch_of(images)
    sigmas = blur.draw(batch["orig_size"].numpy(), u64(batch["seed"])).tolist()
    size = [kernel_size] * 2 if isinstance(kernel_size, int) else list(kernel_size)
    theirs = torch.stack([F.gaussian_blur(image, size, [s, s]) for image, s in zip(images, sigmas, strict=True)])
    ours = blur(batch)["image"]
    assert worst(ours, theirs) <= 1
    assert (ours != theirs).float().mean() < 1e-3


def test_sigma_is_distributed_as_torchvisions_and_p_is_kept() -> None:
    """10,000 draws each."""
    sizes, seed = np.ones((10_000, 2), dtype=np.int64), u64(seeds(10_000))
    torch.manual_seed(0)
    theirs = np.array([v2.GaussianBlur(3).make_params([])["sigma"][0] for _ in range(10_000)])
    assert ks_distance(GaussianBlur(3).draw(sizes, seed), theirs) < LIMIT
    assert abs((GaussianBlur(3, p=0.3).draw(sizes, seed) > 0).mean() - 0.3) < 4 * (0.21 / 10_000) ** 0.5
