"""Batch transforms: per-sample random, reproducible, on whatever device the batch is."""

from __future__ import annotations

from . import presets
from .affine_random import RandomAffine
from .base import RandomTransform, Transform
from .colour import (
    RandomAdjustSharpness,
    RandomAutocontrast,
    RandomEqualize,
    RandomGrayscale,
    RandomInvert,
    RandomPosterize,
    RandomSolarize,
)
from .colour_blur import GaussianBlur
from .colour_jitter import ColorJitter
from .compose import Compose
from .erase import RandomErasing
from .geometry import RandomCrop, RandomHorizontalFlip, RandomResizedCrop, RandomVerticalFlip
from .geometry_detection import LargeScaleJitter, RandomShortestSize, RandomZoomOut
from .geometry_fixed import CenterCrop, Letterbox, Resize
from .geometry_iou import RandomIoUCrop
from .geometry_objects import SanitizeBoxes
from .geometry_padding import PadBatch
from .geometry_person import ResizeBody
from .mixing import CutMix, MixUp, MixUpOrCutMix
from .mixing_labels import MixedLabels
from .normalize import Normalize, ToFloat
from .plan import DecodePlan, DecodePlanner
from .policy import AutoAugment, RandAugment, TrivialAugmentWide
from .policy_mix import AugMix
from .targets import from_targets, to_targets

__all__ = [
    "AugMix",
    "AutoAugment",
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "CutMix",
    "DecodePlan",
    "DecodePlanner",
    "GaussianBlur",
    "LargeScaleJitter",
    "Letterbox",
    "MixUp",
    "MixUpOrCutMix",
    "MixedLabels",
    "Normalize",
    "PadBatch",
    "RandAugment",
    "RandomAdjustSharpness",
    "RandomAffine",
    "RandomAutocontrast",
    "RandomCrop",
    "RandomEqualize",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomInvert",
    "RandomIoUCrop",
    "RandomPosterize",
    "RandomResizedCrop",
    "RandomShortestSize",
    "RandomSolarize",
    "RandomTransform",
    "RandomVerticalFlip",
    "RandomZoomOut",
    "Resize",
    "ResizeBody",
    "SanitizeBoxes",
    "ToFloat",
    "Transform",
    "TrivialAugmentWide",
    "from_targets",
    "presets",
    "to_targets",
]
