"""RandAugment, TrivialAugmentWide, AutoAugment and AugMix: torchvision's pixels, operation by operation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import InterpolationMode

from shardstream.transforms import AugMix, AutoAugment, RandAugment, TrivialAugmentWide
from shardstream.transforms.policy_ops import Look, play
from shardstream.transforms.policy_space import NAMES

from .samples import Ragged, batch_of, noise, photo, seeds, tensor, u64, worst

STRENGTHS: dict[str, list[float]] = {
    "ShearX": [0.09, -0.3, 0.99, -0.66],
    "ShearY": [0.09, -0.3, 0.99, -0.66],
    "TranslateX": [30.45, -32, 7.9, -0.9],
    "TranslateY": [30.45, -32, 7.9, -0.9],
    "Rotate": [9, -30, 135, -77],
    "Brightness": [0.27, -0.9, 0.99, 0.0],
    "Color": [0.27, -0.9, 0.99, 0.0],
    "Contrast": [0.27, -0.9, 0.99, 0.0],
    "Sharpness": [0.27, -0.9, 0.99, 0.0],
    "Posterize": [4, 7, 2, 0],
    "Solarize": [1.0, 0.7, 0.0, 0.5],
}
MOVES = ("ShearX", "ShearY", "Rotate")
COLOURS_OFF_BY_ONE = ("Color", "Contrast")


def torchvisions(image: Tensor, steps: list[list[float]], how: str, fill: int | None = None) -> Tensor:
    """The steps through torchvision's own dispatcher, one image."""
    policy = v2.RandAugment(interpolation=InterpolationMode(how), fill=fill)
    for code, magnitude in steps:
        image = policy._apply_image_or_video_transform(
            image, NAMES[int(code)], magnitude, InterpolationMode(how), policy._fill
        )
    return image


@pytest.mark.parametrize("how", ["nearest", "bilinear"])
@pytest.mark.parametrize("fill", [None, 130])
@pytest.mark.parametrize("name", NAMES)
def test_each_operation_is_torchvisions(name: str, how: str, fill: int | None) -> None:
    """Four magnitudes on noise and on a photograph, not square: colours to a level, nearest but for ties."""
    images = torch.cat([noise(4, 3, 60, 71), tensor(photo(60, 71))[None].repeat(4, 1, 1, 1)])
    steps = [[[NAMES.index(name), magnitude]] for magnitude in STRENGTHS.get(name, [0.0] * 4) * 2]
    ours = play(images, np.array(steps, dtype=np.float64), Look(how, fill))
    theirs = torch.stack([torchvisions(image, step, how, fill) for image, step in zip(images, steps, strict=True)])
    if name in MOVES and how == "nearest":
        assert (ours != theirs).float().mean() < 1e-3
    else:
        assert worst(ours, theirs) <= (1 if name in (*MOVES, *COLOURS_OFF_BY_ONE) else 0)


@pytest.mark.parametrize(
    "policy",
    [RandAugment(3, 13), TrivialAugmentWide(), AutoAugment("imagenet"), AutoAugment("cifar10"), AutoAugment("svhn")],
    ids=lambda p: getattr(p, "policy", type(p).__name__),
)
@pytest.mark.parametrize("ragged", [False, True])
def test_every_row_is_torchvisions_for_its_own_operations(
    policy: RandAugment | TrivialAugmentWide | AutoAugment, ragged: bool
) -> None:
    """Rows that share an operation are grouped; each still gets its own steps in its own order."""
    images = noise(48, 3, 40, 36) if not ragged else [noise(3, 40 + row, 36, seed=row) for row in range(48)]
    batch = batch_of(Ragged(list(images)) if ragged else images)
    steps = policy.draw(batch["orig_size"].numpy(), u64(batch["seed"])).tolist()
    assert len({tuple(code for code, _ in row) for row in steps}) > 8
    differing = []
    for row, out in enumerate(policy(batch)["image"]):
        off = (out.int() - torchvisions(images[row], steps[row], "nearest").int()).abs()
        differing.append(float((off > 2).float().mean()))
    assert float(np.mean(differing)) < 2e-3  # ties of the noise's neighbours, sometimes stretched by a second step
    assert np.median(differing) == 0


@pytest.mark.parametrize("all_ops", [True, False])
def test_augmix_is_torchvisions_for_the_same_weights_and_operations(
    all_ops: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own code, told what to draw: weights by its hook for tests, operations in the order of the chains."""
    policy = AugMix(severity=5, all_ops=all_ops)
    images = noise(12, 3, 30, 34)
    batch = batch_of(images)
    params = policy.draw(batch["orig_size"].numpy(), u64(batch["seed"]))
    out = policy(batch)["image"]
    theirs = torch.stack([_torchvisions_augmix(images[row], p, all_ops, monkeypatch) for row, p in enumerate(params)])
    off = (out.int() - theirs.int()).abs()
    assert (off > 1).float().mean() < 0.01  # a level of a bilinear step, stretched by a later equalize
    assert off.float().mean() < 0.1


def _torchvisions_augmix(image: Tensor, params: np.ndarray, all_ops: bool, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """v2.AugMix with chains of depth 3, whose Identity steps are ours beyond a chain's end."""
    weights, steps = params[:4], iter(params[4:].reshape(-1, 2).tolist())
    reference = v2.AugMix(chain_depth=3, all_ops=all_ops)
    own = iter([[weights[0], 1 - weights[0]], (weights[1:] / (1 - weights[0])).tolist()])
    apply: Callable[..., Tensor] = reference._apply_image_or_video_transform

    def step(image: Tensor, *_: object, interpolation: object, fill: object) -> Tensor:
        code, magnitude = next(steps)
        return apply(image, NAMES[int(code)], magnitude, interpolation, fill)

    monkeypatch.setattr(reference, "_sample_dirichlet", lambda _: torch.tensor([next(own)], dtype=torch.float32))
    monkeypatch.setattr(reference, "_apply_image_or_video_transform", step)
    mixed: Tensor = reference(image)
    return mixed


def test_no_operation_and_the_identity_change_nothing() -> None:
    """num_ops 0, and rows that drew Identity twice."""
    batch = batch_of(noise(256, 3, 8, 9))
    assert torch.equal(RandAugment(0)(batch)["image"], batch["image"])
    policy = RandAugment(1)
    still = policy.draw(batch["orig_size"].numpy(), u64(batch["seed"]))[:, 0, 0] == NAMES.index("Identity")
    assert still.any()
    assert torch.equal(policy(batch)["image"][still], batch["image"][still])


def test_grey_images_pass_and_colour_leaves_them() -> None:
    """One channel, as torchvision: MNIST trains with RandAugment too."""
    batch = batch_of(noise(64, 1, 12, 12))
    policy = TrivialAugmentWide()
    steps = policy.draw(batch["orig_size"].numpy(), u64(batch["seed"])).tolist()
    for row, out in enumerate(policy(batch)["image"]):
        assert (out != torchvisions(batch["image"][row], steps[row], "nearest")).float().mean() < 0.05


def test_drawn_operations_keep_their_golden_values() -> None:
    """A checkpoint resumed with a newer library sees the same operations."""
    seed, sizes = np.array([1, 2, 2**64 - 1], dtype=np.uint64), np.full((3, 2), 224)
    golden = {
        RandAugment(): [
            ["Equalize 0.000", "Solarize 0.700"],
            ["Solarize 0.700", "Posterize 7.000"],
            ["Sharpness -0.270", "ShearX -0.090"],
        ],
        TrivialAugmentWide(): [["TranslateX -14.933"], ["TranslateY 6.400"], ["Identity 0.000"]],
        AutoAugment(): [
            ["Sharpness -0.700", "Invert 0.000"],
            ["Identity 0.000", "Equalize 0.000"],
            ["Identity 0.000", "Invert 0.000"],
        ],
    }
    for policy, steps in golden.items():
        drawn = policy.draw(sizes, seed)
        assert [[f"{NAMES[int(code)]} {abs_zero(m):.3f}" for code, m in row] for row in drawn] == steps
    mix = AugMix().draw(sizes, seed)
    assert np.round(mix[0, :10], 3).tolist() == [0.356, 0.443, 0.172, 0.029, 2, 0, 10, 3, 10, 3]
    assert all(math.isclose(row.sum(), 1) for row in mix[:, :4])


def abs_zero(value: float) -> float:
    return value or 0.0  # -0.0 prints a sign


def test_a_longer_batch_holds_more_operations_than_a_policy_per_batch_would() -> None:
    """Operations are drawn for each sample: kornia's automatic policies draw them once for a batch."""
    steps = RandAugment(2).draw(np.full((64, 2), 32), u64(seeds(64)))
    assert len(np.unique(steps[:, 0, 0])) > 10
