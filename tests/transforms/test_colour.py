"""Colour kernels and transforms: torchvision's numbers, per sample, for the same drawn parameters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as F  # noqa: N812 - torchvision's own name for it
from torch import Tensor
from torchvision.transforms import v2

from shardstream.transforms import (
    RandomAdjustSharpness,
    RandomAutocontrast,
    RandomEqualize,
    RandomGrayscale,
    RandomInvert,
    RandomPosterize,
    RandomSolarize,
    RandomTransform,
    colour_ops,
)

from .samples import Ragged, batch_of, noise, photo, seeds, tensor, u64, worst

Functional = Callable[[Tensor, float], Tensor]

RNG = np.random.default_rng(3)
FLAT = torch.full((3, 33, 35), 77, dtype=torch.uint8)
FEW_LEVELS = noise(3, 33, 35) // 128 * 50 + 100
IMAGES = torch.stack([tensor(photo(33, 35)), noise(3, 33, 35), FLAT, FEW_LEVELS, *noise(4, 3, 33, 35, seed=5)])
COUNT = len(IMAGES)

BLENDS: dict[str, tuple[Callable[[Tensor, np.ndarray], Tensor], Functional, np.ndarray, int]] = {
    "brightness": (colour_ops.brightness, F.adjust_brightness, RNG.uniform(0, 3, COUNT), 0),
    "contrast": (colour_ops.contrast, F.adjust_contrast, RNG.uniform(0, 3, COUNT), 1),
    "saturation": (colour_ops.saturation, F.adjust_saturation, RNG.uniform(0, 3, COUNT), 1),
    "hue": (colour_ops.hue, F.adjust_hue, RNG.uniform(-0.5, 0.5, COUNT), 1),
}
KERNELS: dict[str, tuple[Callable[[Tensor, np.ndarray], Tensor], Functional, np.ndarray]] = {
    "posterize": (colour_ops.posterize, lambda x, p: F.posterize(x, int(p)), np.arange(COUNT) + 1.0),
    "solarize": (colour_ops.solarize, F.solarize, np.array([0, 255, 77, 76.5, 128, 127.9, 1, 254.5])),
    "invert": (colour_ops.invert, lambda x, _: F.invert(x), np.zeros(COUNT)),
    "equalize": (colour_ops.equalize, lambda x, _: F.equalize(x), np.zeros(COUNT)),
    "autocontrast": (colour_ops.autocontrast, lambda x, _: F.autocontrast(x), np.zeros(COUNT)),
    "sharpness": (colour_ops.sharpness, F.adjust_sharpness, RNG.uniform(0, 4, COUNT)),
}
TRANSFORMS: dict[str, tuple[Callable[[float], RandomTransform], Functional]] = {
    "grey": (RandomGrayscale, lambda x, _: F.rgb_to_grayscale(x, 3)),
    "invert": (RandomInvert, lambda x, _: F.invert(x)),
    "equalize": (RandomEqualize, lambda x, _: F.equalize(x)),
    "autocontrast": (RandomAutocontrast, lambda x, _: F.autocontrast(x)),
    "posterize": (lambda p: RandomPosterize(3, p), lambda x, _: F.posterize(x, 3)),
    "solarize": (lambda p: RandomSolarize(100, p), lambda x, _: F.solarize(x, 100)),
    "sharpness": (lambda p: RandomAdjustSharpness(1.7, p), lambda x, _: F.adjust_sharpness(x, 1.7)),
}


def expected(functional: Functional, params: np.ndarray) -> Tensor:
    return torch.stack([functional(image, float(p)) for image, p in zip(IMAGES, params, strict=True)])


@pytest.mark.parametrize("name", BLENDS)
def test_a_factor_of_each_row_gives_torchvisions_pixels(name: str) -> None:
    """Brightness exact; contrast, saturation and hue within one level, and nearly everywhere exact."""
    kernel, functional, factors, bound = BLENDS[name]
    ours, theirs = kernel(IMAGES.float(), factors).to(torch.uint8), expected(functional, factors)
    assert worst(ours, theirs) <= bound
    assert (ours != theirs).float().mean() < 5e-3


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_gives_torchvisions_pixels_exactly(name: str) -> None:
    """Noise, a photograph, an image of one level, one of two levels."""
    kernel, functional, params = KERNELS[name]
    assert torch.equal(kernel(IMAGES, params).to(torch.uint8), expected(functional, params))


def test_sharpness_is_exact_for_a_thousand_factors() -> None:
    """Where a weighted sum lies at a whole number, cutting its fraction off shows the last bit."""
    factors = np.random.default_rng(0).uniform(0, 3, 1000).round(2)  # 2.44 and 25 levels apart: 36.000000
    images = noise(1, 3, 12, 12).repeat(1000, 1, 1, 1)
    ours = colour_ops.sharpness(images, factors).to(torch.uint8)
    theirs = torch.stack([F.adjust_sharpness(images[0], float(factor)) for factor in factors])
    assert torch.equal(ours, theirs)


def test_grey_is_torchvisions_but_for_one_colour_in_100_000() -> None:
    """A third of a million colours: the exact sum rounded down, where torchvision's float32 sum may fall short."""
    levels = torch.arange(0, 256, 4, dtype=torch.uint8)
    colours = torch.stack(torch.meshgrid(levels, levels, levels + 3, indexing="ij")).reshape(1, 3, 512, 512)
    ours, theirs = colour_ops.grey(colours, np.zeros(1)), F.rgb_to_grayscale(colours, 3)
    assert worst(ours, theirs) <= 1
    assert (ours != theirs).float().mean() < 1e-5
    exact = (colours.long() * torch.tensor([2989, 5870, 1140])[:, None, None]).sum(1) // 10_000
    assert torch.equal(ours[:, 0].long(), exact)


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("ragged", [False, True])
def test_drawn_rows_change_as_torchvisions_and_others_stay(name: str, ragged: bool) -> None:
    """Some rows of each kind; a ragged batch row by row."""
    build, functional = TRANSFORMS[name]
    transform, images = build(0.5), noise(16, 3, 20, 24)
    batch = batch_of(Ragged(images) if ragged else images)
    drawn = transform.draw(batch["orig_size"].numpy(), u64(batch["seed"]))
    assert 0 < drawn.sum() < 16
    for row, out in enumerate(transform(batch)["image"]):
        reference = functional(images[row], 0.0) if drawn[row] else images[row]
        assert worst(out, reference) <= (1 if name == "grey" else 0)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_rate_is_p(name: str) -> None:
    """10,000 draws: within 4 standard deviations; 0 changes none and 1 all."""
    for p in (0.0, 0.3, 1.0):
        rate = (TRANSFORMS[name][0](p).draw(np.ones((10_000, 2), dtype=np.int64), u64(seeds(10_000))) > 0).mean()
        assert abs(rate - p) <= 4 * (p * (1 - p) / 10_000) ** 0.5


def test_defaults_are_torchvisions() -> None:
    """The probabilities that nobody writes down."""
    for ours, theirs in [
        (RandomGrayscale(), v2.RandomGrayscale()),
        (RandomInvert(), v2.RandomInvert()),
        (RandomEqualize(), v2.RandomEqualize()),
        (RandomAutocontrast(), v2.RandomAutocontrast()),
        (RandomPosterize(4), v2.RandomPosterize(4)),
        (RandomSolarize(9), v2.RandomSolarize(9)),
        (RandomAdjustSharpness(2), v2.RandomAdjustSharpness(2)),
    ]:
        assert ours.p == theirs.p


@pytest.mark.parametrize("shape", [(1, 7, 5), (3, 1, 9), (3, 2, 2), (3, 1, 1), (5, 6, 6)])
def test_odd_shapes_are_torchvisions_too(shape: tuple[int, int, int]) -> None:
    """One channel, five channels where torchvision takes them, sides below the sharpness kernel."""
    image = noise(*shape)
    batch = batch_of(image[None])
    for name, (build, functional) in TRANSFORMS.items():
        if shape[0] == 3 or (shape[0] == 1 and name != "grey"):
            assert worst(build(1.0)(batch)["image"][0], functional(image, 0.0)) <= 1
    for kernel in (RandomInvert(1.0), RandomEqualize(1.0), RandomPosterize(2, 1.0), RandomSolarize(50, 1.0)):
        assert kernel(batch)["image"].shape == (1, *shape)
