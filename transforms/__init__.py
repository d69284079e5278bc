"""Batch transforms: per-sample random, reproducible, on whatever device the batch is."""

from __future__ import annotations

from . import presets
from .affine_random import RandomAffine
from .base import RandomTransform, Transform
from .compose import Compose
from .geometry import RandomCrop, RandomHorizontalFlip, RandomResizedCrop, RandomVerticalFlip
from .geometry_detection import LargeScaleJitter, RandomShortestSize, RandomZoomOut
from .geometry_fixed import CenterCrop, Letterbox, Resize
from .geometry_objects import SanitizeBoxes
from .geometry_padding import PadBatch
from .geometry_person import ResizeBody
from .normalize import Normalize, ToFloat
from .plan import DecodePlan, DecodePlanner
from .targets import from_targets, to_targets

__all__ = [
    "CenterCrop",
    "Compose",
    "DecodePlan",
    "DecodePlanner",
    "LargeScaleJitter",
    "Letterbox",
    "Normalize",
    "PadBatch",
    "RandomAffine",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomShortestSize",
    "RandomTransform",
    "RandomVerticalFlip",
    "RandomZoomOut",
    "Resize",
    "ResizeBody",
    "SanitizeBoxes",
    "ToFloat",
    "Transform",
    "from_targets",
    "presets",
    "to_targets",
]
