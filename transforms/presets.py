"""Pipelines that most trainings start from."""

from __future__ import annotations

import torch

from .compose import Compose
from .geometry import RandomCrop, RandomHorizontalFlip, RandomResizedCrop
from .geometry_fixed import CenterCrop, Resize
from .normalize import Normalize, NormalizeBy
from .options import Size
from .processors import from_processor as from_processor


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


def cifar_train(
    size: Size = 32,
    padding: int = 4,
    hflip: float = 0.5,
    normalize: NormalizeBy = "dataset",
    dtype: torch.dtype = torch.float32,
) -> Compose:
    """Padded random crop, flip, normalise by the dataset's own statistics: the usual CIFAR recipe (He et al. 2015)."""
    return Compose([RandomCrop(size, padding), RandomHorizontalFlip(hflip), Normalize(normalize, dtype)])


def cifar_eval(normalize: NormalizeBy = "dataset", dtype: torch.dtype = torch.float32) -> Compose:
    """Images as they are, normalised by the dataset's own statistics. Draws nothing."""
    return Compose([Normalize(normalize, dtype)])
