"""Batch transforms: per-sample random, reproducible, on whatever device the batch is."""

from __future__ import annotations

from . import presets
from .base import RandomTransform, Transform
from .compose import Compose
from .geometry import CenterCrop, RandomCrop, RandomHorizontalFlip, RandomResizedCrop, Resize
from .normalize import Normalize, ToFloat
from .plan import DecodePlan, DecodePlanner

__all__ = [
    "CenterCrop",
    "Compose",
    "DecodePlan",
    "DecodePlanner",
    "Normalize",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomTransform",
    "Resize",
    "ToFloat",
    "Transform",
    "presets",
]
