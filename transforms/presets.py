"""Pipelines that most trainings start from. Tasks with more than an image and a label are in ``presets_tasks``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from ..errors import OptionError
from .base import Transform
from .compose import Compose
from .erase import RandomErasing
from .geometry import RandomCrop, RandomHorizontalFlip, RandomResizedCrop
from .geometry_fixed import CenterCrop, Resize
from .mixing import CutMix, MixUp, MixUpOrCutMix
from .normalize import Normalize, NormalizeBy
from .options import Size
from .policy import AutoAugment, RandAugment, TrivialAugmentWide
from .policy_mix import AugMix
from .presets_tasks import detection_eval, detection_train, emotic, vqa
from .processors import from_processor

__all__ = [
    "cifar_eval",
    "cifar_train",
    "detection_eval",
    "detection_train",
    "emotic",
    "eval",
    "from_processor",
    "imagenet_train",
    "train",
    "vqa",
]


def train(
    size: Size = 224,
    normalize: NormalizeBy = "imagenet",
    hflip: float = 0.5,
    interpolation: str = "bilinear",
    dtype: torch.dtype = torch.float32,
) -> Compose:
    """RandomResizedCrop, flip, normalise: torchvision's classification reference (its V1 weights)."""
    crop = RandomResizedCrop(size, interpolation=interpolation)
    return Compose([crop, RandomHorizontalFlip(hflip), Normalize(normalize, dtype)])


def eval(  # noqa: A001 - users write presets.eval(256, 224)
    resize: Size = 256,
    crop: Size = 224,
    normalize: NormalizeBy = "imagenet",
    interpolation: str = "bilinear",
    dtype: torch.dtype = torch.float32,
) -> Compose:
    """Shorter side to ``resize``, central ``crop``, normalise. Draws nothing. Some weights want others: 232 for V2."""
    return Compose([Resize(resize, interpolation), CenterCrop(crop), Normalize(normalize, dtype)])


def imagenet_train(
    recipe: str = "v1",
    num_classes: int | None = None,
    normalize: NormalizeBy = "imagenet",
    dtype: torch.dtype = torch.float32,
) -> Compose:
    """What torchvision's ResNet-50 weights were trained with.

    "v1" (76.13 %): ``train(224)``. "v2" (80.86 %): crops of 176, TrivialAugmentWide, erasing at 0.1, and each batch
    MixUp(0.2) or CutMix(1.0), which need labels and make them soft; evaluate with ``eval(232, 224)``. To it belong
    label smoothing 0.1 in the loss, four copies of each image a step apart (repeated augmentation), and an average
    of the weights. ``num_classes`` is counted from the dataset where it is not given.
    """
    if recipe not in ("v1", "v2"):
        raise OptionError(f"imagenet_train: recipe is {recipe!r}; use 'v1' or 'v2'")
    if recipe == "v1":
        return train(224, normalize, dtype=dtype)
    return Compose(
        [
            RandomResizedCrop(176),
            RandomHorizontalFlip(),
            TrivialAugmentWide(interpolation="bilinear"),
            Normalize(normalize, dtype),
            RandomErasing(0.1),
            MixUpOrCutMix(0.2, 1.0, num_classes),
        ]
    )


def cifar_train(
    size: Size = 32,
    padding: int = 4,
    hflip: float = 0.5,
    normalize: NormalizeBy = "dataset",
    dtype: torch.dtype = torch.float32,
    *,
    policy: str | Transform | None = None,
    mixing: str | Transform | None = None,
) -> Compose:
    """Padded random crop, flip, normalise by the dataset's own statistics: the usual CIFAR recipe (He et al. 2015).

    ``policy``: "randaugment", "autoaugment" (CIFAR-10's), "trivialaugment", "augmix", or one of your own, between flip
    and normalise. ``mixing``: "mixup", "cutmix", "both" (each batch one of them), or your own, at the end; labels are
    soft then, their number counted from the dataset.
    """
    last = [] if mixing is None else [_named(mixing, MIXING, "mixing")]
    chosen = [] if policy is None else [_named(policy, POLICIES, "policy")]
    crop = RandomCrop(size, padding)
    return Compose([crop, RandomHorizontalFlip(hflip), *chosen, Normalize(normalize, dtype), *last])


def cifar_eval(normalize: NormalizeBy = "dataset", dtype: torch.dtype = torch.float32) -> Compose:
    """Images as they are, normalised by the dataset's own statistics. Draws nothing."""
    return Compose([Normalize(normalize, dtype)])


POLICIES: Mapping[str, Callable[[], Transform]] = {
    "randaugment": RandAugment,
    "autoaugment": lambda: AutoAugment("cifar10"),
    "trivialaugment": TrivialAugmentWide,
    "augmix": AugMix,
}
MIXING: Mapping[str, Callable[[], Transform]] = {"mixup": MixUp, "cutmix": CutMix, "both": MixUpOrCutMix}


def _named(given: str | Transform, known: Mapping[str, Callable[[], Transform]], what: str) -> Transform:
    if isinstance(given, Transform):
        return given
    if given not in known:
        raise OptionError(f"cifar_train: {what} is {given!r}; use one of {', '.join(known)}, or a transform")
    return known[given]()
