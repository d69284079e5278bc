"""What policies draw: torchvision's spaces, tables, frequencies and magnitudes. Parameters only, no pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from shardstream.transforms import AugMix, AutoAugment, RandAugment, TrivialAugmentWide, distributions
from shardstream.transforms.policy import Policy
from shardstream.transforms.policy_space import AUTO, MIX, MIX_PLAIN, NAMES, RAND, WIDE, Space, magnitudes
from shardstream.transforms.policy_tables import POLICIES

from .samples import ks_distance, seeds, u64

DRAWS = 10_000
SIZE = (97, 61)
PAIRS: dict[str, tuple[Policy, v2.Transform]] = {
    "RandAugment": (RandAugment(2, 9), v2.RandAugment(2, 9)),
    "TrivialAugmentWide": (TrivialAugmentWide(), v2.TrivialAugmentWide()),
    "imagenet": (AutoAugment("imagenet"), v2.AutoAugment(v2.AutoAugmentPolicy.IMAGENET)),
    "cifar10": (AutoAugment("cifar10"), v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)),
    "svhn": (AutoAugment("svhn"), v2.AutoAugment(v2.AutoAugmentPolicy.SVHN)),
    "AugMix": (AugMix(mixture_width=1), v2.AugMix(mixture_width=1)),
}


@pytest.mark.parametrize(
    ("space", "reference", "bins"),
    [
        (RAND, v2.RandAugment._AUGMENTATION_SPACE, 31),
        (RAND, v2.RandAugment._AUGMENTATION_SPACE, 10),
        (WIDE, v2.TrivialAugmentWide._AUGMENTATION_SPACE, 31),
        (AUTO, v2.AutoAugment._AUGMENTATION_SPACE, 10),
        (MIX, v2.AugMix._AUGMENTATION_SPACE, 10),
        (MIX_PLAIN, v2.AugMix._PARTIAL_AUGMENTATION_SPACE, 10),
    ],
)
def test_spaces_are_torchvisions_to_the_last_bit(
    space: Space, reference: dict[str, tuple[Callable[..., torch.Tensor | None], bool]], bins: int
) -> None:
    """Names, signs, and the magnitude of every bin at many sizes: one bit too few would lose a pixel of a shift."""
    assert sorted(op.name for op in space) == sorted(reference)
    for number, op in enumerate(space):
        ladder, signed = reference[op.name]
        assert op.signed == signed
        for height, width in ((224, 200), (32, 32), (331, 17), (1, 999)):
            sizes = np.tile([height, width], (bins, 1))
            ours = magnitudes(space, np.full(bins, number), np.arange(bins), bins, np.zeros(bins, bool), sizes)
            theirs = ladder(bins, height, width)
            assert np.array_equal(ours, np.zeros(bins) if theirs is None else theirs.double().numpy()), op.name


@pytest.mark.parametrize("name", ["imagenet", "cifar10", "svhn"])
def test_the_tables_are_torchvisions(name: str) -> None:
    """25 pairs each, in its order."""
    theirs = v2.AutoAugment(v2.AutoAugmentPolicy(name))._policies
    assert [[(op, p, bin_ or 0) for op, p, bin_ in pair] for pair in theirs] == [list(pair) for pair in POLICIES[name]]


def torchvisions(policy: v2.Transform, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """Every operation and magnitude of DRAWS calls."""
    seen: list[tuple[str, float]] = []

    def note(image: torch.Tensor, name: str, magnitude: float, **_: object) -> torch.Tensor:
        seen.append((name, magnitude))
        return image

    monkeypatch.setattr(policy, "_apply_image_or_video_transform", note)
    monkeypatch.setattr("torchvision.transforms.v2._auto_augment.get_size", lambda _: list(SIZE))
    image = torch.zeros(1, 1, 1, dtype=torch.uint8)
    torch.manual_seed(5)
    for _ in range(DRAWS):
        policy(image)
    return seen


@pytest.mark.parametrize("name", PAIRS)
def test_operations_and_magnitudes_come_as_often_as_torchvisions(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """10,000 draws each: chi-square of two samples over (operation, magnitude), below its mean plus 4 deviations."""
    ours, theirs = PAIRS[name]
    reference = Counter((op, round(magnitude, 3) or 0.0) for op, magnitude in torchvisions(theirs, monkeypatch))
    drawn = ours.draw(np.tile(SIZE, (DRAWS, 1)), u64(seeds(DRAWS)))
    steps = (drawn[:, 2:] if name == "AugMix" else drawn).reshape(-1, 2).tolist()
    counts = Counter((NAMES[int(code)], round(magnitude, 3) or 0.0) for code, magnitude in steps)
    if name not in ("RandAugment", "TrivialAugmentWide"):  # there Identity is what is not done, which torchvision skips
        counts.pop(("Identity", 0.0))
    assert set(counts) == set(reference)
    sums = np.array([[counts[key], reference[key]] for key in reference], dtype=float)
    share = sums.sum(0) / sums.sum()
    mean = sums.sum(1, keepdims=True) * share
    freedom = len(sums) - 1
    assert ((sums - mean) ** 2 / mean).sum() < freedom + 4 * (2 * freedom) ** 0.5
    assert abs(sums[:, 0].sum() / sums[:, 1].sum() - 1) < 0.03  # and as many in all


@pytest.mark.parametrize("alpha", [0.1, 0.2, 1.0, 8.0])
def test_beta_and_dirichlet_are_numpys(alpha: float) -> None:
    """20,000 of each against another generator's, KS distance below the 0.1 % critical value."""
    rng = np.random.default_rng(11)
    count, limit = 20_000, 1.95 * (2 / 20_000) ** 0.5
    betas = distributions.beta(alpha, rng.random((count, 2, distributions.UNIFORMS)))
    assert ks_distance(betas, rng.beta(alpha, alpha, count)) < limit
    weights = distributions.dirichlet(alpha, rng.random((count, 3, distributions.UNIFORMS)))
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-12)
    theirs = rng.dirichlet([alpha] * 3, count)
    assert max(ks_distance(weights[:, i], theirs[:, i]) for i in range(3)) < limit


def test_augmix_chains_have_one_to_three_operations_or_the_depth_asked_for() -> None:
    """A third of the chains each; a fixed depth, also beyond three, in every chain."""
    sizes, seed = np.tile(SIZE, (3_000, 1)), u64(seeds(3_000))
    steps = AugMix().draw(sizes, seed)[:, 4:].reshape(-1, 3, 2)[..., 0]
    depths = np.bincount((steps > 0).sum(1), minlength=4)
    assert depths[0] == 0
    assert np.abs(depths[1:] / 9_000 - 1 / 3).max() < 0.02
    assert (np.diff((steps > 0).astype(int), axis=1) <= 0).all()  # Identity stands only at a chain's end
    deep = AugMix(chain_depth=5, mixture_width=2).draw(sizes[:10], seed[:10])
    assert (deep[:, 3:].reshape(10, 2, 5, 2)[..., 0] > 0).all()
