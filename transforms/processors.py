"""``from_processor``: what a pretrained model's image processor does, as a batch transform."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..errors import OptionError
from .base import Transform
from .compose import Compose
from .geometry import RandomHorizontalFlip, RandomResizedCrop
from .geometry_padding import PadBatch
from .normalize import Normalize
from .processors_config import TIMM, read_processor
from .processors_defaults import with_defaults
from .processors_resize import crop_of, geometry, interpolation_of, size_of
from .processors_timm import timm_transform

Stats = tuple[tuple[float, ...], tuple[float, ...]]


def from_processor(source: Any, *, train: bool = False, dtype: torch.dtype = torch.float32) -> Compose:
    """The transform of a Hugging Face image processor or timm checkpoint; offline, without transformers.

    ``source``: a ``preprocessor_config.json``, ``processor_config.json`` or timm ``config.json``, the folder of one, its
    dict, or an image processor object. Equal to transformers' torchvision backend to 1e-5 on whole images on any
    device; where the loader decodes to the plan, to its Pillow backend. ``train=True`` puts RandomResizedCrop to the
    same size and a flip in place of resize and crop. Images come as RGB, so ``do_convert_rgb`` has nothing to do; an
    alpha channel was dropped by the decoder, where transformers puts it on white.

    Raises OptionError for classes with a pixel budget or tiles, for unknown ones, and for filters that no GPU has.
    """
    kind, given = read_processor(source)
    if kind == TIMM:
        return timm_transform(given, train=train, dtype=dtype)
    settings = with_defaults(kind, given)
    stats = _stats(kind, settings)
    last: list[Transform] = [] if stats is None else [Normalize(stats, dtype)]
    if train:
        how = interpolation_of(settings["resample"])
        return Compose([RandomResizedCrop(_target(kind, settings), interpolation=how), RandomHorizontalFlip(), *last])
    padding = [PadBatch(_pad_size(settings))] if settings["do_pad"] else []
    return Compose([*geometry(kind, settings), *last, *padding])


def _stats(kind: str, settings: Mapping[str, Any]) -> Stats | None:
    """Everything that happens to a value as one ``(x / 255 - mean) / std``; None where nothing happens.

    transformers folds rescaling into the mean and std as well. EfficientNet may subtract 1 after rescaling, and
    divides by the std a second time.
    """
    offset = 1.0 if kind == "EfficientNet" and settings["rescale_offset"] else 0.0
    mean, std = (_channels(settings[name]) for name in ("image_mean", "image_std"))
    scale, shift = [1.0] * len(mean), [0.0] * len(mean)
    if settings["do_rescale"]:
        scale, shift = [s * settings["rescale_factor"] for s in scale], [-offset] * len(mean)
    if settings["do_normalize"]:
        shift = [(b - m) / s for b, m, s in zip(shift, mean, std, strict=True)]
        scale = [a / s for a, s in zip(scale, std, strict=True)]
    if kind == "EfficientNet" and settings["include_top"]:
        shift = [b / s for b, s in zip(shift, std, strict=True)]
        scale = [a / s for a, s in zip(scale, std, strict=True)]
    if scale == [1.0] * len(mean) and not any(shift):
        return None
    # (x / 255 - m) / s  ==  x * scale + shift
    return tuple(-b / (255 * a) for a, b in zip(scale, shift, strict=True)), tuple(1 / (255 * a) for a in scale)


def _channels(value: Any) -> list[float]:
    return [float(value)] * 3 if isinstance(value, int | float) else [float(v) for v in value]


def _target(kind: str, settings: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width that training crops are resized to."""
    if settings["do_center_crop"]:
        return crop_of(kind, settings)
    size = size_of(settings["size"], square=settings["default_to_square"])
    if "height" in size:
        return size["height"], size["width"]
    if set(size) == {"shortest_edge"} and kind != "Vilt":
        return size["shortest_edge"], size["shortest_edge"]
    raise OptionError(
        f"from_processor: {kind}ImageProcessor with size {size} gives images of different sizes, which"
        " RandomResizedCrop cannot; for detection use presets.detection_train with this processor's mean and std"
    )


def _pad_size(settings: Mapping[str, Any]) -> tuple[int, int] | None:
    given = settings.get("pad_size")
    return None if given is None else (int(given["height"]), int(given["width"]))
