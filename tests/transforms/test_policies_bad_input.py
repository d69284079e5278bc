"""Colours, policies, erasing and mixing: a wrong option or batch is refused where it happens, with what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from shardstream.errors import OptionError
from shardstream.transforms import (
    AugMix,
    AutoAugment,
    ColorJitter,
    Compose,
    CutMix,
    GaussianBlur,
    MixedLabels,
    MixUp,
    MixUpOrCutMix,
    Normalize,
    RandAugment,
    RandomAdjustSharpness,
    RandomErasing,
    RandomGrayscale,
    RandomInvert,
    RandomPosterize,
    RandomSolarize,
    TrivialAugmentWide,
)

from .samples import batch_of, noise, seeds

OPTIONS: dict[str, tuple[Callable[[], object], str]] = {
    "probability": (lambda: RandomInvert(1.5), "RandomInvert: p is 1.5"),
    "bits": (lambda: RandomPosterize(9), "bits is 9; give a whole number from 0 to 8"),
    "bits broken": (lambda: RandomPosterize(2.5), "bits is 2.5"),  # type: ignore[arg-type]
    "threshold": (lambda: RandomSolarize(256), "threshold is 256"),
    "sharpness": (lambda: RandomAdjustSharpness(-1), "sharpness_factor is -1"),
    "sharpness not a number": (lambda: RandomAdjustSharpness(float("nan")), "sharpness_factor is nan"),
    "brightness below 0": (lambda: ColorJitter(-0.1), r"brightness is -0\.1"),
    "contrast turned round": (lambda: ColorJitter(contrast=(2, 1)), r"contrast is \(2, 1\)"),
    "hue too far": (lambda: ColorJitter(hue=0.6), "hue is 0.6; give a number in 0..0.5"),
    "three numbers": (lambda: ColorJitter(saturation=(1, 2, 3)), r"saturation is \(1, 2, 3\)"),
    "even kernel": (lambda: GaussianBlur(4), "kernel_size is 4; give odd numbers"),
    "sigma 0": (lambda: GaussianBlur(3, 0.0), "sigma is"),
    "operations below 0": (lambda: RandAugment(-1), "num_ops is -1"),
    "magnitude beyond its bins": (lambda: RandAugment(2, 31), "magnitude 31 of 31 bins"),
    "one bin": (lambda: TrivialAugmentWide(1), "num_magnitude_bins is 1"),
    "unknown policy": (lambda: AutoAugment("coco"), "policy is 'coco'; use one of imagenet, cifar10, svhn"),
    "severity": (lambda: AugMix(11), "severity is 11"),
    "alpha of AugMix": (lambda: AugMix(alpha=0), "alpha 0"),
    "bicubic policy": (lambda: RandAugment(interpolation="bicubic"), "'bicubic', fill None; use nearest or bilinear"),
    "fill": (lambda: AutoAugment(fill=300), "fill 300"),
    "erasing more than all": (lambda: RandomErasing(scale=(0.5, 1.2)), r"scale is \(0.5, 1.2\)"),
    "erasing with a word": (lambda: RandomErasing(value="mean"), "value 'mean'; give .* or 'random'"),
    "mode": (lambda: MixUp(mode="half"), "mode is 'half'; use one of batch, pair, elem"),
    "alpha 0": (lambda: MixUp(0.0), "alpha is 0.0; give a number above 0"),
    "cutmix alpha": (lambda: MixUpOrCutMix(1.0, -1.0), "alpha is -1.0"),
    "no classes": (lambda: CutMix(num_classes=0), "num_classes is 0"),
    "smoothing": (lambda: MixedLabels(smoothing=2), "p is 2"),
    "share": (lambda: MixUpOrCutMix(cutmix_share=1.1), "p is 1.1"),
}

BYTES = batch_of(noise(4, 3, 12, 12), label=torch.arange(4))
FLOATS = {**BYTES, "image": BYTES["image"].float()}
BOXES = {**BYTES, "boxes": torch.zeros(0, 4), "box_offsets": torch.zeros(5, dtype=torch.int64)}
MIX = MixUp(num_classes=4)
UINT8 = [RandomInvert(), ColorJitter(0.4), GaussianBlur(3), RandAugment(), AugMix(), RandomGrayscale()]


def without(batch: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in batch.items() if name != field}


BATCHES: dict[str, tuple[torch.nn.Module, dict[str, Any], str]] = {
    **{f"floats for {type(t).__name__}": (t, FLOATS, "put .* before Normalize and ToFloat") for t in UINT8},
    "after Normalize": (Compose([Normalize(), TrivialAugmentWide()]), BYTES, "put TrivialAugmentWide before Normalize"),
    "grey for saturation": (ColorJitter(0, 0, 0.4), {**BYTES, "image": noise(4, 1, 9, 9)}, r"1 channel\(s\), 3 are"),
    "grey for hue": (ColorJitter(hue=0.1), {**BYTES, "image": noise(4, 1, 9, 9)}, "decode the images as RGB"),
    "grey for grey": (RandomGrayscale(), {**BYTES, "image": noise(4, 1, 9, 9)}, "decode the images as RGB"),
    "four channels": (RandAugment(), {**BYTES, "image": noise(4, 4, 9, 9)}, "has 4 channels; 1 .grey. or 3"),
    "five ragged": (AugMix(), {**BYTES, "image": [noise(5, 9, 9)] * 4}, "has 5 channels"),
    "blur wider than the image": (GaussianBlur(25), BYTES, r"\(12, 12\) \(h, w\) cannot be mirrored for .* 25 x 25"),
    "no seed": (ColorJitter(0.4), without(BYTES, "seed"), "no 'seed' field"),
    "boxes left behind": (RandAugment(), BOXES, "RandAugment: the batch has 'boxes', and here only the image's pixels"),
    "masks left behind": (TrivialAugmentWide(), {**BYTES, "masks": []}, "the batch has 'masks'"),
    "keypoints left behind": (
        AutoAugment(),
        {**BYTES, "keypoints": torch.zeros(0, 17, 3)},
        "the batch has 'keypoints'",
    ),
    "a body left behind": (AugMix(), {**BYTES, "body": BYTES["image"]}, "the batch has 'body'"),
    "fewer bodies": (ColorJitter(0.4), {**BYTES, "body": BYTES["image"][:2]}, "'body' has 2 rows, 'image' 4"),
    "a body not erased": (RandomErasing(), {**FLOATS, "body": FLOATS["image"]}, "would keep what is erased"),
    "noise in bytes": (RandomErasing(1.0, value="random"), BYTES, "torch.uint8; put it after Normalize"),
    "values for other channels": (RandomErasing(1.0, value=(0, 1)), FLOATS, r"2 numbers, 'image' 3 channel"),
    "labels missing": (MIX, without(FLOATS, "label"), "no 'label' field"),
    "keys missing": (MIX, without(FLOATS, "key"), "no 'key' field"),
    "no seed to mix": (MIX, without(FLOATS, "seed"), "no 'seed' field"),
    "bytes to average": (MIX, BYTES, "torch.uint8; averages need floats: put it after Normalize"),
    "sizes to mix": (MIX, {**FLOATS, "image": [torch.rand(3, 8, 8), *[torch.rand(3, 9, 9)] * 3]}, "several sizes"),
    "unknown number of classes": (MixUp(), FLOATS, "need num_classes; give it, or bind"),
    "float class labels": (MIX, {**FLOATS, "label": torch.rand(4)}, r"torch.float32 \(4,\); class labels are whole"),
    "bool class labels": (MIX, {**FLOATS, "label": torch.ones(4, dtype=torch.bool)}, "torch.bool"),
    "label out of range": (MixUp(num_classes=3), FLOATS, "a label is 3, num_classes 3"),
    "other columns": (MIX, {**FLOATS, "label": torch.rand(4, 5)}, "5 columns, num_classes is 4"),
    "three dimensions": (MIX, {**FLOATS, "label": torch.rand(4, 1, 4)}, r"\(4, 1, 4\) for 4 images"),
    "labels of other rows": (MIX, {**FLOATS, "label": torch.arange(3)}, r"\(3,\) for 4 images"),
    "a list of labels": (MIX, {**FLOATS, "label": [0, 1, 2, 3]}, "is list for 4 images"),
    "multi-label of numbers": (MixUp(num_classes=4, labels=MixedLabels(multi_label=True)), FLOATS, "multi_label needs"),
    "boxes mixed": (MIX, {**FLOATS, **without(BOXES, "image")}, "'boxes', which would belong to a part"),
    "questions mixed": (CutMix(num_classes=4), {**BYTES, "question": ["?"] * 4}, "'question', which would belong"),
    "vad forgotten": (MIX, {**FLOATS, "vad": torch.rand(4, 3)}, r"'vad', .*MixedLabels\(also=...\)"),
    "captions averaged": (
        MixUp(num_classes=4, labels=MixedLabels(also=("caption",))),
        {**FLOATS, "caption": []},
        "floats",
    ),
    "a body cut": (CutMix(num_classes=4), {**FLOATS, "body": FLOATS["image"]}, "'body', which would belong"),
    "no also field": (MixUp(num_classes=4, labels=MixedLabels(also=("vad",))), FLOATS, "no 'vad' field"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_that_cannot_be_honoured_is_refused_when_written(name: str) -> None:
    """Not on the first batch, an hour later."""
    build, message = OPTIONS[name]
    with pytest.raises(OptionError, match=message):
        build()


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_that_cannot_be_transformed_is_refused(name: str) -> None:
    """The message names the transform's need and what the batch has."""
    transform, batch, message = BATCHES[name]
    with pytest.raises(OptionError, match=message):
        transform(batch)


def test_mixing_an_empty_batch_gives_empty_labels() -> None:
    """A rank may have nothing left."""
    empty = batch_of(torch.zeros(0, 3, 8, 8), label=torch.zeros(0, dtype=torch.int64))
    empty["seed"] = seeds(0)
    for mixing in (MIX, CutMix(num_classes=4, mode="pair"), MixUpOrCutMix(num_classes=4, mode="elem")):
        assert mixing(empty)["label"].shape == (0, 4)
