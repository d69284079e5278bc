"""Fused geometry: the same draws and annotations, pixels sampled once; what is on by default looks the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from shardstream.transforms import (
    Compose,
    Normalize,
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomVerticalFlip,
    to_targets,
)
from shardstream.transforms.fusion import AffineChain, fused

from .objects import object_batch
from .samples import batch_of, photo, tensor

WARP: dict[str, Any] = {"degrees": 25, "translate": (0.1, 0.1), "scale": (0.8, 1.2), "interpolation": "bilinear"}
FLIPPED_WARP = [RandomHorizontalFlip(), RandomAffine(**WARP), RandomVerticalFlip()]
TWO_WARPS = [RandomAffine(**WARP), RandomAffine(**WARP)]


def psnr(a: Tensor, b: Tensor) -> float:
    """Decibels over a whole batch of bytes."""
    return float(10 * torch.log10(255**2 / (a.float() - b.float()).square().mean()))


def photos(count: int = 8) -> dict[str, Any]:
    return batch_of(tensor(photo(200, 240))[None].repeat(count, 1, 1, 1))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_mirrors_around_a_warp_are_fused_by_default_and_look_the_same(interpolation: str) -> None:
    """Far above the 40 dB that a default must have."""
    stages = [RandomHorizontalFlip(), RandomAffine(25, (0.1, 0.1), interpolation=interpolation), RandomVerticalFlip()]
    once, apart = Compose(stages)(photos()), Compose(stages, fuse=False)(photos())
    assert psnr(once["image"], apart["image"]) > 50


def test_two_warps_are_another_picture_so_they_are_fused_only_where_asked() -> None:
    """Sampled twice, a photograph is softer and loses its corners: under the 40 dB of a default."""
    apart = Compose(TWO_WARPS, fuse=False)(photos())["image"]
    assert torch.equal(Compose(TWO_WARPS)(photos())["image"], apart)
    once = Compose(TWO_WARPS, fuse="all")(photos())["image"]
    assert psnr(once, apart) < 40


@pytest.mark.parametrize("stages", [FLIPPED_WARP, TWO_WARPS], ids=["mirrors", "warps"])
def test_annotations_are_those_of_the_stages_one_by_one(stages: list[Any]) -> None:
    """Boxes, masks, keypoints, persons' boxes and bodies, flags and the way back."""
    batch, _, _ = object_batch()
    batch |= {"box": torch.tensor([[5.0, 6, 20, 30]] * 4), "body": torch.arange(4 * 3 * 4 * 5).view(4, 3, 4, 5).byte()}
    once, apart = Compose(stages, fuse="all")(batch), Compose(stages, fuse=False)(batch)
    assert set(once) == set(apart)
    for name in set(apart) - {"image", "masks", "object_fields"}:
        assert torch.equal(torch.as_tensor(once[name]), torch.as_tensor(apart[name])), name
    for a, b in zip(to_targets(once), to_targets(apart), strict=True):
        assert torch.equal(a["masks"], b["masks"])


def test_only_neighbours_that_sample_alike_become_one() -> None:
    """Which stages are joined, by name."""

    def names(stages: list[Any], fuse: Any = True) -> list[str]:
        return [type(stage).__name__ for stage in fused(stages, fuse)]

    assert names(FLIPPED_WARP) == ["AffineChain"]
    assert names(FLIPPED_WARP, False) == [type(stage).__name__ for stage in FLIPPED_WARP]
    assert names(TWO_WARPS) == ["RandomAffine", "RandomAffine"]
    assert names(TWO_WARPS, "all") == ["AffineChain"]
    other = [RandomAffine(5, fill=9), RandomAffine(5), RandomHorizontalFlip()]
    assert names(other, "all") == ["RandomAffine", "AffineChain"]
    plain = [RandomHorizontalFlip(), RandomVerticalFlip(), Normalize()]
    assert names(plain, "all") == ["RandomHorizontalFlip", "RandomVerticalFlip", "Normalize"]
    apart = [RandomAffine(5), RandomCrop(8), RandomHorizontalFlip(), RandomAffine(5)]
    assert names(apart) == ["RandomAffine", "RandomCrop", "AffineChain"]


def test_a_planned_crop_keeps_what_follows_it_fused() -> None:
    """The loader's crop is not part of a chain, and a chain behind it still is one."""
    pipeline = Compose([RandomResizedCrop(60), *FLIPPED_WARP])
    decoded = RandomResizedCrop(60)(photos())
    whole = pipeline(photos())
    planned = pipeline({**photos(), "image": decoded["image"], "crop": torch.tensor([[0.0, 0, 240, 200]] * 8)})
    assert torch.equal(planned["image"], whole["image"])
    assert pipeline.fuse is True
    assert [type(s) for s in pipeline._after_plan] == [AffineChain]
    assert Compose(FLIPPED_WARP, fuse="all").bind({}).fuse == "all"
