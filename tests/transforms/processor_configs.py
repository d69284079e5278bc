"""Settings of image processors, as their JSON files have them, that the tests of from_processor share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
SQUARE = {"height": 224, "width": 224}
FIVE: Mapping[str, dict[str, Any]] = {
    "vit": {"feature_extractor_type": "ViTFeatureExtractor", "size": 224, "do_normalize": True, **HALF},
    "clip": {
        "feature_extractor_type": "CLIPFeatureExtractor",
        "size": 224,
        "crop_size": 224,
        "do_center_crop": True,
        "resample": 3,
        **CLIP,
    },
    "convnext": {
        "feature_extractor_type": "ConvNextFeatureExtractor",
        "size": 224,
        "crop_pct": 0.875,
        "resample": 3,
        **IMAGENET,
    },
    "dinov2": {
        "image_processor_type": "BitImageProcessor",
        "size": {"shortest_edge": 256},
        "crop_size": SQUARE,
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_rescale": True,
        "rescale_factor": 0.00392156862745098,
        "resample": 3,
        **IMAGENET,
    },
    "deit": {
        "feature_extractor_type": "DeiTFeatureExtractor",
        "size": 256,
        "crop_size": 224,
        "do_center_crop": True,
        "resample": 3,
        **IMAGENET,
    },
}
"""The processors of vit-base-patch16-224, clip-vit-base-patch32, convnext-tiny-224, dinov2-base and deit-base."""
HIDDEN: Mapping[str, dict[str, Any]] = {
    "LeViT's 256 / 224": {"image_processor_type": "LevitImageProcessor"},
    "EfficientNet": {"image_processor_type": "EfficientNetImageProcessor", "do_center_crop": True},
    "EfficientNet with offset": {
        "image_processor_type": "EfficientNetImageProcessor",
        "rescale_offset": True,
        "rescale_factor": 1 / 127.5,
        "include_top": False,
    },
    "EfficientNet unnormalised": {"image_processor_type": "EfficientNetImageProcessor", "do_normalize": False},
    "PoolFormer": {"image_processor_type": "PoolFormerImageProcessor", "crop_pct": 0.95},
    "PoolFormer in rows": {"image_processor_type": "PoolFormerImageProcessor", "size": {"height": 200, "width": 210}},
    "ConvNeXt at 384": {"image_processor_type": "ConvNextImageProcessor", **IMAGENET},
    "SigLIP": {"image_processor_type": "SiglipImageProcessor", "size": {"height": 256, "width": 256}},
    "BLIP": {"image_processor_type": "BlipImageProcessor"},
    "MobileNetV2": {"image_processor_type": "MobileNetV2ImageProcessor"},
    "PVT": {"image_processor_type": "PvtImageProcessorFast"},
    "BEiT": {"image_processor_type": "BeitImageProcessor", "do_center_crop": True},
    "SegFormer": {"image_processor_type": "SegformerImageProcessor", "size": 128},
    "nothing but a factor": {"image_processor_type": "ViTImageProcessor", "do_normalize": False, "size": [100, 120]},
    "statistics of bytes": {
        "image_processor_type": "ViTImageProcessor",
        "do_rescale": False,
        "image_mean": [120, 110, 100],
        "image_std": [60, 61, 62],
    },
    "crops larger than the image": {"image_processor_type": "CLIPImageProcessor", "crop_size": 321},
    "both edges": {"image_processor_type": "ViTImageProcessor", "size": {"shortest_edge": 90, "longest_edge": 120}},
    "a frame": {"image_processor_type": "ViTImageProcessor", "size": {"max_height": 90, "max_width": 120}},
}
SIZES = [(375, 500), (375, 503), (503, 375), (259, 300), (224, 224), (100, 151), (640, 257)]
