"""from_processor refuses what it cannot honour: classes, sizes, filters and files; transformers is not needed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from shardstream.errors import OptionError
from shardstream.transforms import presets

REFUSED: Mapping[str, tuple[Any, str]] = {
    "a pixel budget": ({"image_processor_type": "Qwen2VLImageProcessor", "min_pixels": 3136}, "pixel budget"),
    "tiles": ({"image_processor_type": "LlavaNextImageProcessorFast", "image_grid_pinpoints": [[1, 2]]}, "cuts tiles"),
    "a budget by its size": (
        {"image_processor_type": "NewImageProcessor", "size": {"min_pixels": 1, "max_pixels": 2}},
        r"pixel budget \(min_pixels, max_pixels\)",
    ),
    "an unknown class": (
        {"image_processor_type": "SamImageProcessor"},
        "SamImageProcessor is not known; known are Beit",
    ),
    "no class": ({"size": 224}, r"a dict with \['size'\] holds no image processor"),
    "lanczos": ({"image_processor_type": "ViTImageProcessor", "resample": 1}, "resample is 1; supported are 0"),
    "an odd size": ({"image_processor_type": "ViTImageProcessor", "size": {"longest_edge": 9}}, "with size"),
    "DETR's shorter edge alone": (
        {"image_processor_type": "DetrImageProcessor", "size": {"shortest_edge": 9}},
        "with size",
    ),
    "a crop of no size": ({"image_processor_type": "SegformerImageProcessor", "do_center_crop": True}, "crop_size"),
    "no such file": ("/no/such/folder", "nothing is downloaded"),
    "a number": (3, "a int holds no image processor"),
    "a crop that timm has not": (
        {"input_size": [3, 8, 8], "mean": [0.5] * 3, "crop_mode": "five"},
        "crop_mode is 'five'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_honoured_is_refused_by_name(name: str) -> None:
    """The message says which class or setting, and what to do instead."""
    source, message = REFUSED[name]
    with pytest.raises(OptionError, match=message):
        presets.from_processor(source)


def test_a_file_that_is_no_json_and_a_training_without_a_size_are_refused(tmp_path: Path) -> None:
    """Each with its own words."""
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(OptionError, match=r"preprocessor_config\.json is no JSON"):
        presets.from_processor(tmp_path)
    with pytest.raises(OptionError, match=r"presets\.detection_train"):
        presets.from_processor({"image_processor_type": "DetrImageProcessor"}, train=True)
