"""timm's crop modes against timm itself: center, squash and border, squares and rectangles, with and without a plan."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from shardstream.transforms import presets
from shardstream.transforms.processors_timm import FilledCrop, RatioResize

from .pil_reference import apply_plan_pil
from .samples import Ragged, batch_of, noise, photo, seeds, tensor, u64, worst

timm = pytest.importorskip("timm.data.transforms_factory")
from timm.data.transforms import ResizeKeepRatio  # noqa: E402 - after the skip

MEAN = (0.5, 0.4, 0.3)
CONFIGS = [
    {"input_size": [3, size[0], size[1]], "crop_pct": pct, "crop_mode": mode}
    for mode in ("center", "squash", "border")
    for size, pct in (((64, 64), 0.9), ((64, 96), 0.95), ((80, 48), 1.0))
]
SIZES = [(75, 100), (100, 75), (64, 64), (31, 200), (150, 151), (40, 30)]


def bytes_of(config: dict[str, Any], batch: dict[str, Any]) -> Tensor:
    """What comes out before normalisation: mean 0, std 1 / 255, but the border's colour from the real mean."""
    *geometry, normalize = presets.from_processor({**config, "mean": MEAN, "std": [1 / 255] * 3})
    for stage in geometry:
        batch = stage(batch)
    shift = torch.tensor(MEAN)[:, None, None] * 255
    assert (normalize(batch)["image"][0] + shift - batch["image"][0]).abs().max() < 1e-3
    return batch["image"]


def timms(config: dict[str, Any], size: tuple[int, int]) -> Tensor:
    """timm's own transform on the PIL image, as bytes."""
    options = {"crop_pct": config["crop_pct"], "crop_mode": config["crop_mode"], "interpolation": "bilinear"}
    whole = timm.transforms_imagenet_eval(tuple(config["input_size"][1:]), mean=MEAN, normalize=False, **options)
    made: Tensor = whole(photo(*size))
    return made


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c['crop_mode']} {c['input_size'][1:]}")
def test_every_crop_mode_is_timms_within_one_level(config: dict[str, Any]) -> None:
    """Images high, wide and smaller than the crop, all in one ragged batch; Pillow's bilinear within one level."""
    config = {**config, "interpolation": "bilinear"}
    out = bytes_of(config, batch_of(Ragged([tensor(photo(*size)) for size in SIZES])))
    for row, size in enumerate(SIZES):
        assert worst(out[row], timms(config, size)) <= 1
    if config["crop_mode"] == "border":
        wide = SIZES.index((31, 200))
        assert torch.equal(out[wide][:, 0, 0], timms(config, SIZES[wide])[:, 0, 0])  # the border's colour exactly


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c['crop_mode']} {c['input_size'][1:]}")
def test_a_plan_gives_the_same_and_borders_have_none(config: dict[str, Any]) -> None:
    """A plan cannot pad; the others decode to exactly what timm makes with Pillow."""
    config = {**config, "interpolation": "bilinear"}
    transform = presets.from_processor({**config, "mean": MEAN, "std": MEAN})
    plan = transform.decode_plan([str(size) for size in SIZES], np.array(SIZES), u64(seeds(len(SIZES))))
    if config["crop_mode"] == "border":
        assert plan is None
        return
    assert plan is not None
    for row, size in enumerate(SIZES):
        how = (plan.crop_xyxy[row], plan.out_hw, bool(plan.flip[row]), plan.interpolation, plan.isolated)
        planned = torch.from_numpy(apply_plan_pil(photo(*size), *how)).permute(2, 0, 1)
        assert torch.equal(planned, timms(config, size))


@settings(max_examples=300)
@given(
    size=st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    target=st.tuples(st.integers(1, 700), st.integers(1, 700)),
    fit=st.booleans(),
)
def test_sizes_are_timms(size: tuple[int, int], target: tuple[int, int], fit: bool) -> None:
    """Rounded half to even, never without a pixel (timm's may have none)."""
    theirs = ResizeKeepRatio.get_params(torch.empty(3, *size, device="meta"), target, float(fit))
    ours = RatioResize(target, "bilinear", fit=fit).output_sizes(np.array([size]))[0]
    assert ours.tolist() == [max(side, 1) for side in theirs]


def test_what_is_beside_the_image_has_the_mean_colour() -> None:
    """A wide image in a square: above and below; the smaller half of an odd rest first."""
    out = FilledCrop((9, 4), (1, 2, 3))({"image": noise(2, 3, 4, 6)})["image"]
    rows = (out == torch.tensor([1, 2, 3], dtype=torch.uint8)[:, None, None]).all(1).all(2)
    assert rows.tolist() == [[True] * 2 + [False] * 4 + [True] * 3] * 2
    assert torch.equal(out[:, :, 2:6], noise(2, 3, 4, 6)[:, :, :, 1:5])
    assert FilledCrop((9, 4), (1, 2, 3))({"image": noise(0, 3, 4, 6)})["image"].shape == (0, 3, 9, 4)
