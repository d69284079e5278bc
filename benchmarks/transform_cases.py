"""The pairs that ``transforms.py`` times: ours on a batch, torchvision v2's on one image, kornia's on a batch."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from shardstream import transforms as T  # noqa: N812 - as torchvision's examples name theirs
from shardstream.transforms import presets

Pixels = Callable[[Tensor], Tensor]
BILINEAR = v2.InterpolationMode.BILINEAR
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def normalized(images: Tensor) -> Tensor:
    """What comes after Normalize: the input of erasing and mixing."""
    batch = T.Normalize()({"image": images})
    made: Tensor = batch["image"]
    return made


def _same(images: Tensor) -> Tensor:
    return images


@dataclass(frozen=True, slots=True)
class Case:
    """One comparison: the same work on the same pixels."""

    name: str
    ours: nn.Module
    torchvision: Callable[..., Any]
    prepare: Pixels = _same
    """From the uint8 batch to what both sides get; not timed."""
    whole_batch: bool = False
    """torchvision's takes the batch and its labels, not one image."""
    ragged: bool = False
    """Results differ in size: nothing is stacked."""


def _to_float(*leading: nn.Module) -> v2.Compose:
    return v2.Compose([*leading, v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])


def cases(size: int) -> tuple[Case, ...]:
    """All comparisons, for images of ``size``."""
    return (*_colours(), *_policies(), *_geometry(size), *_detection(size), *_presets(size))


def _colours() -> tuple[Case, ...]:
    return (
        Case("grayscale p=0.1", T.RandomGrayscale(), v2.RandomGrayscale()),
        Case("grayscale", T.RandomGrayscale(1.0), v2.RandomGrayscale(1.0)),
        Case("invert p=0.5", T.RandomInvert(), v2.RandomInvert()),
        Case("invert", T.RandomInvert(1.0), v2.RandomInvert(1.0)),
        Case("posterize p=0.5", T.RandomPosterize(4), v2.RandomPosterize(4)),
        Case("posterize", T.RandomPosterize(4, 1.0), v2.RandomPosterize(4, 1.0)),
        Case("solarize", T.RandomSolarize(128, 1.0), v2.RandomSolarize(128, 1.0)),
        Case("equalize", T.RandomEqualize(1.0), v2.RandomEqualize(1.0)),
        Case("autocontrast", T.RandomAutocontrast(1.0), v2.RandomAutocontrast(1.0)),
        Case("sharpness", T.RandomAdjustSharpness(1.5, 1.0), v2.RandomAdjustSharpness(1.5, 1.0)),
        Case("brightness", T.ColorJitter(0.4), v2.ColorJitter(0.4)),
        Case("contrast", T.ColorJitter(0, 0.4), v2.ColorJitter(0, 0.4)),
        Case("saturation", T.ColorJitter(0, 0, 0.4), v2.ColorJitter(0, 0, 0.4)),
        Case("hue", T.ColorJitter(hue=0.1), v2.ColorJitter(hue=0.1)),
        Case("jitter .4 .4 .4", T.ColorJitter(0.4, 0.4, 0.4), v2.ColorJitter(0.4, 0.4, 0.4)),
        Case("jitter .4 .4 .4 .1", T.ColorJitter(0.4, 0.4, 0.4, 0.1), v2.ColorJitter(0.4, 0.4, 0.4, 0.1)),
        Case("blur 3", T.GaussianBlur(3), v2.GaussianBlur(3)),
        Case("blur 9", T.GaussianBlur(9), v2.GaussianBlur(9)),
        Case("blur 23", T.GaussianBlur(23), v2.GaussianBlur(23)),
    )


def _policies() -> tuple[Case, ...]:
    return (
        Case("RandAugment", T.RandAugment(), v2.RandAugment()),
        Case("RandAugment bilinear", T.RandAugment(interpolation="bilinear"), v2.RandAugment(interpolation=BILINEAR)),
        Case("TrivialAugmentWide", T.TrivialAugmentWide(), v2.TrivialAugmentWide()),
        Case(
            "TrivialAugmentWide bilinear",
            T.TrivialAugmentWide(interpolation="bilinear"),
            v2.TrivialAugmentWide(interpolation=BILINEAR),
        ),
        Case("AutoAugment", T.AutoAugment(), v2.AutoAugment()),
        Case("AugMix", T.AugMix(), v2.AugMix()),
        Case("erasing p=0.25", T.RandomErasing(0.25), v2.RandomErasing(0.25), normalized),
        Case("erasing", T.RandomErasing(1.0), v2.RandomErasing(1.0), normalized),
        Case("erasing random", T.RandomErasing(1.0, value="random"), v2.RandomErasing(1.0, value="random"), normalized),
        Case("MixUp", T.MixUp(0.2, 10), v2.MixUp(alpha=0.2, num_classes=10), normalized, whole_batch=True),
        Case("MixUp elem", T.MixUp(0.2, 10, "elem"), v2.MixUp(alpha=0.2, num_classes=10), normalized, whole_batch=True),
        Case("CutMix", T.CutMix(1.0, 10), v2.CutMix(num_classes=10), normalized, whole_batch=True),
        Case("CutMix elem", T.CutMix(1.0, 10, "elem"), v2.CutMix(num_classes=10), normalized, whole_batch=True),
    )


def _geometry(size: int) -> tuple[Case, ...]:
    return (
        Case("flip", T.RandomHorizontalFlip(), v2.RandomHorizontalFlip()),
        Case("crop, padding 4", T.RandomCrop(size, 4), v2.RandomCrop(size, 4)),
        Case("resized crop", T.RandomResizedCrop(size), v2.RandomResizedCrop(size)),
        Case("affine", T.RandomAffine(30, (0.1, 0.1)), v2.RandomAffine(30, (0.1, 0.1))),
        Case(
            "affine bilinear",
            T.RandomAffine(30, (0.1, 0.1), interpolation="bilinear"),
            v2.RandomAffine(30, (0.1, 0.1), interpolation=BILINEAR),
        ),
        Case("vertical flip", T.RandomVerticalFlip(), v2.RandomVerticalFlip()),
        Case("resize", T.Resize((size * 6 // 7,) * 2), v2.Resize((size * 6 // 7,) * 2)),
        Case("center crop", T.CenterCrop(size * 6 // 7), v2.CenterCrop(size * 6 // 7)),
        Case("normalize", T.Normalize(), _to_float()),
    )


def _detection(size: int) -> tuple[Case, ...]:
    sides = range(size, size * 3 // 2, 16)
    window = v2.RandomCrop(size, pad_if_needed=True)
    return (
        Case("zoom out", T.RandomZoomOut(), v2.RandomZoomOut(), ragged=True),
        Case("shortest size", T.RandomShortestSize(sides), v2.RandomShortestSize(list(sides)), ragged=True),
        Case("large-scale jitter", T.LargeScaleJitter(size), v2.Compose([v2.ScaleJitter((size, size)), window])),
    )


def _presets(size: int) -> tuple[Case, ...]:
    """Whole recipes; "preset imagenet v2" has its own size, 176."""
    train, flip = _to_float(v2.RandomResizedCrop(size), v2.RandomHorizontalFlip()), v2.RandomHorizontalFlip()
    larger, smaller = size * 8 // 7, size * 6 // 7
    v2_crop = v2.RandomResizedCrop(176), flip, v2.TrivialAugmentWide(interpolation=BILINEAR)
    imagenet = v2.Compose([_to_float(*v2_crop), v2.RandomErasing(0.1)])
    cifar = _to_float(v2.RandomCrop(size, 4), flip, v2.RandAugment())
    window = v2.RandomCrop(size, pad_if_needed=True)
    detection = v2.Compose([v2.ScaleJitter((size, size)), window, flip, v2.ToDtype(torch.float32, scale=True)])
    squash = v2.Resize((smaller, smaller), v2.InterpolationMode.BICUBIC)
    mixup = v2.MixUp(alpha=1.0, num_classes=10)
    either = v2.RandomChoice([v2.MixUp(alpha=0.2, num_classes=10), v2.CutMix(num_classes=10)])
    return (
        Case("preset train", presets.train(size), train),
        Case("preset eval", presets.eval(larger, size), _to_float(v2.Resize(larger), v2.CenterCrop(size))),
        Case("preset imagenet v2", presets.imagenet_train("v2", 10), _then(imagenet, either), whole_batch=True),
        Case(
            "preset cifar, RandAugment, MixUp",
            presets.cifar_train(size, normalize="imagenet", policy="randaugment", mixing=T.MixUp(1.0, 10)),
            _then(cifar, mixup),
            whole_batch=True,
        ),
        Case("preset vqa", presets.vqa(smaller), _to_float(squash)),
        Case("preset detection lsj", presets.detection_train("lsj", size), detection),
    )


def _then(one: v2.Transform, mixing: v2.Transform) -> Callable[[Tensor, Tensor], Any]:
    """The recipe of torchvision for one image, in a loop, then its mixing of the batch."""
    return lambda images, labels: mixing(torch.stack([one(image) for image in images]), labels)


KORNIA: dict[str, Callable[[Any, int], nn.Module]] = {
    "grayscale": lambda k, _: k.RandomGrayscale(p=1.0),
    "invert": lambda k, _: k.RandomInvert(p=1.0),
    "posterize": lambda k, _: k.RandomPosterize(4, p=1.0),
    "solarize": lambda k, _: k.RandomSolarize(0.0, 0.0, p=1.0),
    "equalize": lambda k, _: k.RandomEqualize(p=1.0),
    "autocontrast": lambda k, _: k.RandomAutoContrast(p=1.0),
    "sharpness": lambda k, _: k.RandomSharpness(1.5, p=1.0),
    "brightness": lambda k, _: k.ColorJitter(0.4, p=1.0),
    "contrast": lambda k, _: k.ColorJitter(0.0, 0.4, p=1.0),
    "saturation": lambda k, _: k.ColorJitter(0.0, 0.0, 0.4, p=1.0),
    "hue": lambda k, _: k.ColorJitter(0.0, 0.0, 0.0, 0.1, p=1.0),
    "jitter .4 .4 .4": lambda k, _: k.ColorJitter(0.4, 0.4, 0.4, p=1.0),
    "jitter .4 .4 .4 .1": lambda k, _: k.ColorJitter(0.4, 0.4, 0.4, 0.1, p=1.0),
    "blur 9": lambda k, _: k.RandomGaussianBlur((9, 9), (0.1, 2.0), p=1.0),
    "RandAugment": lambda k, _: k.auto.RandAugment(2, 9),
    "TrivialAugmentWide": lambda k, _: k.auto.TrivialAugment(),
    "AutoAugment": lambda k, _: k.auto.AutoAugment("imagenet"),
    "erasing": lambda k, _: k.RandomErasing(p=1.0),
    "flip": lambda k, _: k.RandomHorizontalFlip(p=0.5),
    "resized crop": lambda k, size: k.RandomResizedCrop((size, size)),
    "affine bilinear": lambda k, _: k.RandomAffine(30, (0.1, 0.1), p=1.0),
    "preset train": lambda k, size: k.AugmentationSequential(
        k.RandomResizedCrop((size, size)),
        k.RandomHorizontalFlip(p=0.5),
        k.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
        data_keys=["input"],
    ),
}
"""Per sample, as ours, but for its policies, which draw operations once for a batch."""


def kornia_module(name: str, size: int) -> nn.Module | None:
    """The module of kornia for a case; None where it has none or is not installed."""
    if name not in KORNIA or importlib.util.find_spec("kornia") is None:
        return None
    return KORNIA[name](importlib.import_module("kornia.augmentation"), size)
