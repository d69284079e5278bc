"""Every wrong option and batch is refused where it happens, with both values and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from shardstream.errors import OptionError
from shardstream.transforms import (
    CenterCrop,
    Compose,
    DecodePlan,
    Normalize,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    Resize,
    ToFloat,
    presets,
)

from .samples import batch_of, noise, seeds, u64

CROP = RandomResizedCrop(8)
GOOD = batch_of(noise(2, 3, 20, 20))

OPTIONS: dict[str, tuple[Callable[[], object], str]] = {
    "size 0": (lambda: CenterCrop(0), "size is 0"),
    "size of three": (lambda: RandomCrop((1, 2, 3)), "size is"),
    "size float": (lambda: Resize(2.5), "size is 2.5"),
    "scale turned round": (lambda: RandomResizedCrop(8, scale=(1.0, 0.1)), "scale is"),
    "ratio zero": (lambda: RandomResizedCrop(8, ratio=(0, 1)), "ratio is"),
    "interpolation": (lambda: Resize(8, "lanczos"), "'lanczos'; use one of bilinear"),
    "probability": (lambda: RandomHorizontalFlip(1.5), "p is 1.5"),
    "padding": (lambda: RandomCrop(8, padding=-1), "padding is -1"),
    "dtype": (lambda: ToFloat(torch.int8), "torch.int8"),
    "not a module": (lambda: Compose([len]), "torch.nn.Modules"),
    "size without pixels": (lambda: CROP.decode_plan(["k"], np.array([[0, 5]]), u64(seeds(1))), "every image needs a"),
    "plan shapes": (lambda: DecodePlan(np.zeros((2, 4)), (1, 1), np.zeros(3, bool), "nearest", True), "crop_xyxy"),
}

BATCHES: dict[str, tuple[torch.nn.Module, dict[str, Any], str]] = {
    "no image": (CROP, {"seed": seeds(2)}, "no 'image' field"),
    "no seed": (CROP, {"image": noise(2, 3, 20, 20)}, "no 'seed' field"),
    "no seed in a preset": (presets.train(8), {"image": noise(2, 3, 20, 20)}, "no 'seed' field"),
    "one seed for two": (CROP, {**GOOD, "seed": seeds(1)}, r"\(1,\) for 2 images"),
    "float seed": (RandomHorizontalFlip(), {**GOOD, "seed": torch.rand(2)}, "torch.float32"),
    "no batch dimension": (CROP, {**GOOD, "image": noise(3, 20, 20)}, r"image\[None\]"),
    "a number": (CROP, {**GOOD, "image": 3}, "is a int"),
    "arrays": (CROP, {**GOOD, "image": [np.zeros((3, 4, 4))] * 2}, "ndarray"),
    "rows of 1 and 3 channels": (CROP, {**GOOD, "image": [noise(3, 9, 9), noise(1, 9, 9)]}, "row 1 has shape"),
    "floats to resize": (Resize(8), {**GOOD, "image": torch.rand(2, 3, 20, 20)}, "before Normalize"),
    "floats to crop": (CROP, {**GOOD, "image": torch.rand(2, 3, 20, 20)}, "not torch.uint8"),
    "normalised twice": (Compose([Normalize(), Normalize()]), GOOD, "not torch.uint8"),
    "grey": (Normalize(), {**GOOD, "image": noise(2, 1, 20, 20)}, r"1 channel\(s\), 3 are needed"),
    "grey ragged": (Normalize(), {**GOOD, "image": [noise(1, 9, 9), noise(1, 8, 8)]}, r"1 channel\(s\)"),
    "smaller than the crop": (RandomCrop(32, padding=4), GOOD, r"row 0 is \(20, 20\)"),
    "decoded to another plan": (CROP, {**GOOD, "crop": torch.zeros(2, 4)}, r"\(20, 20\), not to \(8, 8\)"),
    "ragged and planned": (CenterCrop(8), {**GOOD, "image": [noise(3, 9, 9)] * 2, "crop": torch.zeros(2, 4)}, "ragged"),
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


def test_evaluation_needs_no_seed() -> None:
    """It draws nothing."""
    out = presets.eval(12, 8)({"image": noise(2, 3, 20, 24)})["image"]
    assert out.shape == (2, 3, 8, 8)


def test_an_empty_batch_passes() -> None:
    """A rank may have nothing left."""
    empty = batch_of(noise(0, 3, 20, 20)) | {"seed": torch.empty(0, dtype=torch.int64)}
    for transform in (presets.train(8), presets.cifar_train(20, normalize="imagenet"), presets.eval(12, 8)):
        assert len(transform(empty)["image"]) == 0
