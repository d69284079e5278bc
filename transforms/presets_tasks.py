"""Presets of tasks with more than an image and a label: detection, EMOTIC's persons, questions about images."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ..errors import OptionError
from .base import Transform
from .colour_jitter import ColorJitter
from .compose import Compose
from .geometry import RandomHorizontalFlip
from .geometry_detection import LargeScaleJitter, RandomShortestSize
from .geometry_fixed import Letterbox, Resize
from .geometry_iou import RandomIoUCrop
from .geometry_objects import SanitizeBoxes
from .geometry_person import ResizeBody
from .normalize import Normalize, NormalizeBy, ToFloat
from .options import Size, as_hw

EMOTIC_CONTEXT = ((0.4690646, 0.4407227, 0.40508908), (0.2514227, 0.24312855, 0.24266963))
EMOTIC_BODY = ((0.43832874, 0.3964344, 0.3706214), (0.24784276, 0.23621225, 0.2323653))
"""Mean and std of pictures and of body crops, as the PyTorch code that is usually compared with has them."""
SHORT_SIDES = tuple(range(480, 801, 32))


def detection_train(
    recipe: str = "multiscale",
    size: Size = 1024,
    normalize: NormalizeBy | None = None,
    dtype: torch.dtype = torch.float32,
) -> Compose:
    """Torchvision's detection references; boxes, masks and keypoints move along, objects cut away are left out.

    "hflip": a flip. "multiscale": shorter side one of 480, 512 ... 800, the longer at most 1333, flip (DETR's, without
    its crops). "ssdlite": RandomIoUCrop, flip. "lsj": large-scale jitter, 0.1 to 2 times what fits into ``size``, flip;
    one tensor (B, 3, *size), the others a list of images. torchvision's models resize and normalise by themselves, so
    floats are 0..1 unless ``normalize`` says more.
    """
    scales: Mapping[str, list[Transform]] = {
        "hflip": [],
        "multiscale": [RandomShortestSize(SHORT_SIDES, 1333)],
        "ssdlite": [RandomIoUCrop()],
        "lsj": [LargeScaleJitter(size)],
    }
    if recipe not in scales:
        raise OptionError(f"detection_train: recipe is {recipe!r}; use one of {', '.join(scales)}")
    return Compose([*scales[recipe], RandomHorizontalFlip(), SanitizeBoxes(), _floats(normalize, dtype)])


def detection_eval(
    size: Size | None = None, normalize: NormalizeBy | None = None, dtype: torch.dtype = torch.float32
) -> Compose:
    """Images as they are, or letterboxed to one ``size``; objects all kept. Draws nothing.

    ``to_source`` leads predictions back to original pixels; ``ss.scoring.CocoResults`` uses it.
    """
    return Compose([*([] if size is None else [Letterbox(size)]), _floats(normalize, dtype)])


def _floats(normalize: NormalizeBy | None, dtype: torch.dtype) -> Transform:
    return ToFloat(dtype) if normalize is None else Normalize(normalize, dtype)


def emotic(train: bool = True, size: Size = 224, body: Size = 128, dtype: torch.dtype = torch.float32) -> Compose:
    """EMOTIC's two inputs: the whole picture squashed to ``size``, the person squashed to ``body``, each normalised.

    Training adds a flip and ColorJitter(0.4, 0.4, 0.4), drawn once for a person's picture, body crop and box: the code
    that is usually compared with draws them apart, so that a body may look the other way than in its picture.
    """
    stages: list[Transform] = [Resize(as_hw(size, "emotic")), ResizeBody(body)]
    if train:
        stages += [RandomHorizontalFlip(), ColorJitter(0.4, 0.4, 0.4)]
    return Compose([*stages, Normalize(EMOTIC_CONTEXT, dtype, body=EMOTIC_BODY)])


def vqa(
    size: Size = 224,
    normalize: NormalizeBy = "imagenet",
    interpolation: str = "bicubic",
    dtype: torch.dtype = torch.float32,
) -> Compose:
    """Questions about images, training and evaluation alike: the whole image squashed to ``size``, normalised.

    No crop, since a question may be about the edge; no flip, since questions say left and right; no change of colour,
    since they ask for it. Draws nothing.
    """
    return Compose([Resize(as_hw(size, "vqa"), interpolation), Normalize(normalize, dtype)])
