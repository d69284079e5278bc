"""Mixed labels equal torchvision's and timm's, smoothed or not, of one class or of many."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from shardstream.transforms import CutMix, MixedLabels, MixUp, MixUpOrCutMix
from shardstream.transforms.mixing_labels import mixed_rows

from .samples import batch_of, noise

LABELS = torch.tensor([3, 0, 9, 3, 5, 1])
MULTI = (torch.arange(60).reshape(6, 10) % 4 == 0).float()


def halves(mode: str = "elem") -> dict[str, object]:
    return batch_of(noise(6, 3, 8, 8).float(), label=LABELS)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("each", [False, True])
def test_labels_equal_timms_for_the_same_lam_and_partner(smoothing: float, multi: bool, each: bool) -> None:
    """Its mixup_target: class labels or rows of yes and no, one lam or one for each row, the partner flip(0)."""
    timm = pytest.importorskip("timm.data.mixup")
    labels = MixedLabels(smoothing=smoothing, multi_label=multi)
    target = MULTI if multi else LABELS
    lam = torch.linspace(0.1, 0.9, 6) if each else torch.full((6,), 0.3)
    ours = mixed_rows(labels.dense(target, 6, 10, "MixUp"), torch.arange(5, -1, -1), lam)
    theirs = timm.mixup_target(target, 10, lam[:, None], smoothing, multi_label=multi)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "target", [LABELS, MULTI, MULTI.long(), MULTI.bool(), MULTI.bfloat16()], ids=lambda t: str(t.dtype)
)
def test_labels_equal_torchvisions_for_the_same_lam_and_partner(target: torch.Tensor) -> None:
    """Its partner is the previous row; class numbers, or rows of any type."""
    ours = mixed_rows(MixedLabels().dense(target, 6, 10, "MixUp"), torch.arange(-1, 5) % 6, torch.full((6,), 0.3))
    theirs = v2.MixUp(num_classes=10)._mixup_label(target, lam=0.3)
    torch.testing.assert_close(ours, theirs.float(), rtol=0, atol=2e-3 if target.dtype == torch.bfloat16 else 1e-6)


def test_timms_boxes_have_our_area() -> None:
    """Its box for the same lam and centre, cut at the same rim: the same lam in the end, but for odd cuts' halves."""
    timm = pytest.importorskip("timm.data.mixup")
    from shardstream.transforms.mixing_draw import cut_boxes

    rng = np.random.default_rng(1)
    for lam in rng.random(50):
        np.random.seed(3)
        y0, y1, x0, x1 = timm.rand_bbox((3, 60, 80), lam)
        np.random.seed(3)
        centre_y, centre_x = np.random.randint(0, 60), np.random.randint(0, 80)
        ours = cut_boxes(np.array([lam]), np.array([[(centre_x + 0.5) / 80, (centre_y + 0.5) / 60]]), (60, 80))[0]
        assert np.abs(ours - [x0, y0, x1, y1]).max() <= 1


@pytest.mark.parametrize("kind", [MixUp, CutMix, MixUpOrCutMix])
def test_smoothed_class_labels_sum_to_one_and_fillers_to_none(kind: type[MixUp | CutMix | MixUpOrCutMix]) -> None:
    """Over any mode; a filler's label is an empty row, smoothing or not."""
    for mode in ("batch", "pair", "elem"):
        batch = halves()
        batch["label"] = torch.tensor([3, 0, 9, 3, 5, -100])
        batch["key"] = [*"abcde", ""]
        out = kind(num_classes=10, mode=mode, labels=MixedLabels(smoothing=0.2))(batch)["label"]
        torch.testing.assert_close(out.sum(1), torch.tensor([1.0] * 5 + [0.0]))
        assert out[:5].min() >= 0.02 - 1e-6


def test_int32_class_labels_are_whole_numbers_too() -> None:
    """torchvision raises; there is nothing unclear about them."""
    batch = halves()
    out = MixUp(num_classes=10)(batch)["label"]
    assert torch.equal(MixUp(num_classes=10)({**batch, "label": LABELS.int()})["label"], out)
