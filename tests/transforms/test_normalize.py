"""Normalize and ToFloat: torchvision's numbers, any float type, the dataset's own statistics."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms import v2

from shardstream.errors import OptionError
from shardstream.transforms import Compose, Normalize, ToFloat

from .samples import batch_of, noise

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EVERY_LEVEL = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).repeat(2, 3, 1, 1)


def torchvisions(image: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    return v2.Normalize(mean, std)(v2.functional.to_dtype(image, torch.float32, scale=True))


def test_every_level_of_every_channel_equals_torchvisions_to_1e_6() -> None:
    """'imagenet' and a given (mean, std), all 256 levels."""
    out = Normalize("imagenet")(batch_of(EVERY_LEVEL))["image"]
    torch.testing.assert_close(out, torchvisions(EVERY_LEVEL, MEAN, STD), rtol=0, atol=1e-6)
    mean, std = (0.1, 0.5, 0.9), (0.3, 0.5, 0.7)
    out = Normalize((mean, std))(batch_of(EVERY_LEVEL))["image"]
    torch.testing.assert_close(out, torchvisions(EVERY_LEVEL, mean, std), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("dtype", "step"), [(torch.bfloat16, 2**-8), (torch.float16, 2**-11)])
def test_half_precision_is_the_float32_result_rounded_once(dtype: torch.dtype, step: float) -> None:
    """The arithmetic is float32; only the answer is rounded."""
    out = Normalize("imagenet", dtype)(batch_of(EVERY_LEVEL))["image"]
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), torchvisions(EVERY_LEVEL, MEAN, STD), rtol=step, atol=1e-6)


def test_channels_last_changes_the_layout_and_no_number() -> None:
    """For convolutions that want it."""
    batch = batch_of(noise(4, 3, 8, 10))
    out = Normalize(channels_last=True)(batch)["image"]
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(out, Normalize()(batch)["image"])
    assert Normalize()(batch)["image"].is_contiguous()


def test_to_float_gives_0_to_1() -> None:
    """255 becomes 1, any number of channels."""
    batch = batch_of(EVERY_LEVEL[:, :1])
    torch.testing.assert_close(ToFloat()(batch)["image"], EVERY_LEVEL[:, :1] / 255, rtol=0, atol=1e-7)
    assert ToFloat(torch.bfloat16)(batch)["image"].dtype == torch.bfloat16


def test_the_datasets_statistics_are_bound_into_a_new_module() -> None:
    """bind returns another module with the same options; the first stays unbound and can be bound elsewhere."""
    free = Normalize("dataset", torch.float16, channels_last=True)
    bound = free.bind({"pixel_mean": list(MEAN), "pixel_std": list(STD), "pixel_count": 9})
    batch = batch_of(noise(2, 3, 8, 8))
    assert torch.equal(bound(batch)["image"], Normalize("imagenet", torch.float16, channels_last=True)(batch)["image"])
    with pytest.raises(OptionError, match=r"bind\(statistics\)"):
        free(batch)


def test_bind_passes_through_compose_and_leaves_other_normalisers() -> None:
    """Only what asked for 'dataset' changes."""
    bound = Compose([Normalize("dataset")]).bind({"pixel_mean": [0.5] * 3, "pixel_std": [0.25] * 3})
    assert bound(batch_of(torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)))["image"].unique().item() == 2.0
    fixed = Normalize("imagenet")
    assert fixed.bind({}) is fixed


@pytest.mark.parametrize("statistics", [{}, {"pixel_mean": None, "pixel_std": None}, {"pixel_mean": [0.5] * 3}])
def test_statistics_without_pixels_are_refused_with_the_command_that_makes_them(statistics: dict[str, object]) -> None:
    """The message names what is there and what to run."""
    with pytest.raises(OptionError, match="shardstream stats --pixels"):
        Normalize("dataset").bind(statistics)


@pytest.mark.parametrize("by", ["cifar", ((0.5,), (0.0,)), ((0.5, 0.5), (0.1,)), ((), ())])
def test_impossible_means_and_stds_are_refused(by: object) -> None:
    """A std of 0 is a division by zero, found when it is written down."""
    with pytest.raises(OptionError, match="Normalize"):
        Normalize(by)


def test_statistics_are_no_part_of_a_checkpoint() -> None:
    """A model that holds its transform saves and loads the same weights with another dataset's statistics."""
    assert Normalize("imagenet").state_dict() == {}
