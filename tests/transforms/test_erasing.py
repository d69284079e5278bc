"""RandomErasing: torchvision's rectangles, values and noise of each pixel's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as F  # noqa: N812 - torchvision's own name for it
from torchvision.transforms import v2

from shardstream.counted import mix
from shardstream.transforms import RandomErasing
from shardstream.transforms.noise import normal_levels, pixel_noise

from .samples import Ragged, batch_of, ks_distance, noise, seeds, u64

LIMIT = 1.95 * (2 / 10_000) ** 0.5
"""The 0.1 % critical value of a Kolmogorov-Smirnov distance between 10,000 and 10,000."""


def floats(*shape: int) -> torch.Tensor:
    return noise(*shape).float() / 64 - 2


@pytest.mark.parametrize("value", [0.0, 3, (0.5, -1.0, 2.0)])
@pytest.mark.parametrize("ragged", [False, True])
def test_each_rows_rectangle_is_erased_as_torchvision_erases_it(value: float | tuple[float, ...], ragged: bool) -> None:
    """A number, or one for each channel; rows without a rectangle keep every bit."""
    erasing = RandomErasing(0.5, value=value)
    images = floats(32, 3, 30, 22)
    batch = batch_of(Ragged(images) if ragged else images)
    boxes = erasing.draw(batch["orig_size"].numpy(), u64(batch["seed"]))[:, :4].tolist()
    assert 8 < sum(x1 > x0 for x0, _, x1, _ in boxes) < 24
    paint = torch.tensor(value if isinstance(value, tuple) else [value] * 3)[:, None, None]
    for row, (x0, y0, x1, y1) in enumerate(boxes):
        expected = F.erase(images[row], y0, x0, y1 - y0, x1 - x0, paint) if x1 > x0 else images[row]
        assert torch.equal(erasing(batch)["image"][row], expected)


@pytest.mark.parametrize("size", [(224, 224), (40, 300), (3, 3)])
def test_rectangles_are_distributed_as_torchvisions(size: tuple[int, int]) -> None:
    """10,000 draws each: height, width, both corners, and how often nothing fits."""
    height, width = size
    ours = RandomErasing(1.0).draw(np.tile(size, (10_000, 1)), u64(seeds(10_000)))[:, :4]
    torch.manual_seed(2)
    reference, image = v2.RandomErasing(1.0), torch.empty(3, height, width)
    drawn = [reference.make_params([image]) for _ in range(10_000)]
    theirs = np.array(
        [[d["j"], d["i"], d["j"] + d["w"], d["i"] + d["h"]] if d["v"] is not None else [0] * 4 for d in drawn]
    )
    for a, b in ((ours[:, 0], theirs[:, 0]), (ours[:, 1], theirs[:, 1])):
        assert ks_distance(a, b) < LIMIT
    for axis in (0, 1):
        assert ks_distance(ours[:, axis + 2] - ours[:, axis], theirs[:, axis + 2] - theirs[:, axis]) < LIMIT


def test_the_rate_is_p() -> None:
    """10,000 draws: within 4 standard deviations of p."""
    for p in (0.0, 0.1, 0.25, 1.0):
        boxes = RandomErasing(p).draw(np.full((10_000, 2), 100), u64(seeds(10_000)))
        assert abs((boxes[:, 2] > 0).mean() - p) <= 4 * (p * (1 - p) / 10_000) ** 0.5


def test_random_noise_is_standard_normal_and_of_each_pixels_own() -> None:
    """Mean 0, deviation 1, quantiles of N(0, 1); channels, neighbours and rows uncorrelated; outside untouched."""
    erasing = RandomErasing(1.0, scale=(0.3, 0.33), ratio=(1, 1), value="random")
    batch = batch_of(torch.full((64, 5, 64, 64), 9.0))
    out = erasing(batch)["image"]
    boxes = erasing.draw(batch["orig_size"].numpy(), u64(batch["seed"]))[:, :4].tolist()
    side = min(y1 - y0 for _, y0, _, y1 in boxes)
    cut = torch.stack([out[row, :, y0 : y0 + side, x0 : x0 + side] for row, (x0, y0, _, _) in enumerate(boxes)])
    assert (out == 9).sum() == 64 * 5 * 64 * 64 - 5 * sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes)
    count = cut.numel()
    assert abs(cut.mean()) < 4 / count**0.5
    assert abs(cut.std() - 1) < 4 / (2 * count) ** 0.5
    normal = torch.special.ndtr(cut.flatten().double()).numpy()
    assert ks_distance(normal, np.linspace(0, 1, 100_000)) < 0.01
    pairs = [(cut[:, 0], cut[:, 1]), (cut[:, 0], cut[:, 4]), (cut[..., 1:], cut[..., :-1]), (cut[1:], cut[:-1])]
    for a, b in [*pairs, (cut[:, :, 1:], cut[:, :, :-1])]:
        assert abs((a * b).mean()) < 5 / a.numel() ** 0.5


def test_noise_is_the_generator_splitmix64_of_the_samples_word() -> None:
    """Against counted's own mixer: the place-th number of the stream that starts at the word, 16 bits a channel."""
    words, places = torch.tensor([5, -7, 2**62]), torch.tensor([0, 1, 50_000])
    levels = torch.arange(1 << 16, dtype=torch.float32)
    with np.errstate(over="ignore"):
        start = words.numpy().view(np.uint64) + places.numpy().view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        bits = mix(start - np.uint64(0x9E3779B97F4A7C15))  # mix adds the step itself
    for part, made in enumerate(pixel_noise(levels, words, places, 3)):
        assert made.tolist() == ((bits >> np.uint64(16 * part)) & np.uint64(0xFFFF)).astype(float).tolist()


def test_the_table_of_noise_is_symmetric_with_variance_one() -> None:
    """The middle quantiles, in ascending order."""
    levels = normal_levels().double()
    assert levels.square().mean().item() == pytest.approx(1, abs=1e-6)
    assert torch.allclose(levels, -levels.flip(0), atol=1e-6)
    assert (levels.diff() > 0).all()
    assert levels[int(0.975 * (1 << 16))].item() == pytest.approx(1.96, abs=1e-3)


def test_bytes_may_be_erased_with_a_number_but_not_with_noise() -> None:
    """uint8 before Normalize: torchvision's value 0 there is black."""
    batch = batch_of(torch.full((4, 3, 16, 16), 200, dtype=torch.uint8))
    out = RandomErasing(1.0)(batch)["image"]
    assert set(out.unique().tolist()) == {0, 200}


def test_half_precision_stays_what_it_is() -> None:
    """bf16 after Normalize(dtype=bf16): the same rectangles, the noise rounded."""
    batch = batch_of(floats(8, 3, 16, 16))
    erasing = RandomErasing(1.0, value="random")
    half = erasing({**batch, "image": batch["image"].bfloat16()})["image"]
    assert torch.equal(half, erasing(batch)["image"].bfloat16())


def test_drawn_rectangles_keep_their_golden_values() -> None:
    """A checkpoint resumed with a newer library erases the same."""
    drawn = RandomErasing(1.0).draw(np.full((2, 2), 100), np.array([1, 2**64 - 1], dtype=np.uint64))
    assert drawn[:, :4].tolist() == [[12, 27, 69, 82], [35, 45, 60, 56]]
