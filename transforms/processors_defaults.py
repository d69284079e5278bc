"""What each image processor class of transformers does where its JSON says nothing (5.23; tests compare them)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import OptionError
from .normalize import IMAGENET_MEAN, IMAGENET_STD

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGENET = (IMAGENET_MEAN, IMAGENET_STD)
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
BILINEAR, BICUBIC = 2, 3  # Pillow's numbers, as the JSON has them
Size = int | Mapping[str, int]


def _class(
    size: Size, resample: int, stats: tuple[tuple[float, ...], ...], *, square: bool = True, **more: Any
) -> Mapping[str, Any]:
    """``square``: whether one number means both sides, or the shorter one."""
    return {
        "size": size,
        "resample": resample,
        "image_mean": stats[0],
        "image_std": stats[1],
        "default_to_square": square,
        "do_resize": True,
        "do_center_crop": False,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "do_pad": False,
        **more,
    }


_CUT: dict[str, Any] = {"do_center_crop": True, "crop_size": 224}
CLASSES: Mapping[str, Mapping[str, Any]] = {
    "Beit": _class(224, BICUBIC, HALF, crop_size=224),
    "Bit": _class(224, BICUBIC, CLIP, square=False, **_CUT),  # DINOv2 uses it
    "Blip": _class(384, BICUBIC, CLIP),
    "CLIP": _class(224, BICUBIC, CLIP, square=False, **_CUT),
    "ConvNext": _class(384, BICUBIC, HALF, square=False, crop_pct=224 / 256),
    "DeiT": _class(256, BICUBIC, HALF, **_CUT),
    "Detr": _class({"shortest_edge": 800, "longest_edge": 1333}, BILINEAR, IMAGENET, square=False, do_pad=True),
    "EfficientNet": _class(346, BICUBIC, HALF, crop_size=289, rescale_offset=False, include_top=True),
    "Levit": _class(224, BICUBIC, IMAGENET, square=False, **_CUT),
    "MobileNetV2": _class(256, BILINEAR, HALF, square=False, **_CUT),
    "PoolFormer": _class(224, BICUBIC, IMAGENET, square=False, crop_pct=0.9, **_CUT),
    "Pvt": _class(224, BICUBIC, IMAGENET),
    "Segformer": _class(512, BILINEAR, IMAGENET),
    "Siglip": _class({"height": 224, "width": 224}, BICUBIC, HALF, square=False),
    "ViT": _class(224, BILINEAR, HALF),
    "Vilt": _class(384, BICUBIC, HALF, square=False, do_pad=True, size_divisor=32),
}
BUDGET_KEYS = ("min_pixels", "max_pixels", "max_num_patches", "image_grid_pinpoints", "do_image_splitting", "max_tiles")
"""Settings of classes whose output has no fixed size: a pixel budget, tiles, patches."""
KNOWN_BUDGETS = (
    "Qwen2VL",
    "Qwen3VL",
    "Pixtral",
    "LlavaNext",
    "LlavaOnevision",
    "Idefics2",
    "Idefics3",
    "Siglip2",
    "Mllama",
)


def with_defaults(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The class's settings with those of the JSON over them; null counts as nothing said.

    Raises OptionError for a class that is not in the table, and for one with a pixel budget or tiles.
    """
    size = given.get("size")
    budget = [key for key in BUDGET_KEYS if given.get(key) is not None or (isinstance(size, Mapping) and key in size)]
    if kind in KNOWN_BUDGETS or (budget and kind not in CLASSES):
        reason = f" ({', '.join(budget)})" if budget else ""
        raise OptionError(
            f"from_processor: {kind}ImageProcessor cuts tiles or fits a pixel budget{reason}, so its output has no"
            " fixed size; use the processor itself with the loader's sample_transform="
        )
    if kind not in CLASSES:
        raise OptionError(
            f"from_processor: {kind}ImageProcessor is not known; known are {', '.join(sorted(CLASSES))}. Use the"
            " processor itself with the loader's sample_transform="
        )
    return {**CLASSES[kind], **{name: value for name, value in given.items() if value is not None}}
