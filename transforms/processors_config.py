"""A Hugging Face image processor's settings: found, read and named, offline and without transformers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import OptionError

Settings = Mapping[str, Any]
TIMM = "timm"
FILES = ("processor_config.json", "preprocessor_config.json", "config.json")
"""Where a folder keeps them, the first that has any wins: nested in the first, the second as a whole, timm's in the last."""


def read_processor(source: Any) -> tuple[str, Settings]:
    """(class name without its ending, settings), or ("timm", pretrained_cfg).

    ``source``: a folder, a JSON file, its dict, or an object with ``to_dict`` (an image processor, or a processor that
    has one). Raises OptionError where there is none, naming what was looked at.
    """
    if isinstance(source, str | os.PathLike):
        return _of_path(Path(source))
    found = _of_dict(source) if isinstance(source, Mapping) else _of_object(source)
    if found is None:
        raise OptionError(
            f"from_processor: {_shown(source)} holds no image processor; give a preprocessor_config.json, its folder or"
            " dict, an AutoImageProcessor, or a timm config.json with pretrained_cfg"
        )
    return found


def _of_path(path: Path) -> tuple[str, Settings]:
    files = [path / name for name in FILES] if path.is_dir() else [path]
    for file in files:
        if file.is_file():
            try:
                found = _of_dict(json.loads(file.read_text(encoding="utf-8")))
            except json.JSONDecodeError as error:
                raise OptionError(f"from_processor: {file} is no JSON: {error}") from error
            if found is not None:
                return found
    looked = ", ".join(str(file) for file in files)
    raise OptionError(
        f"from_processor: no image processor in {looked}; nothing is downloaded: give a local file or folder, for"
        " example what huggingface-cli download leaves"
    )


def _of_dict(given: Settings) -> tuple[str, Settings] | None:
    if isinstance(given.get("image_processor"), Mapping):
        given = given["image_processor"]
    if isinstance(given.get("pretrained_cfg"), Mapping):
        return TIMM, given["pretrained_cfg"]
    if "input_size" in given and "mean" in given:
        return TIMM, given
    kind = given.get("image_processor_type") or given.get("feature_extractor_type")
    return None if kind is None else (_plain(kind), given)


def _of_object(source: Any) -> tuple[str, Settings] | None:
    inner = getattr(source, "image_processor", source)
    if not callable(getattr(inner, "to_dict", None)):
        return None
    settings = dict(inner.to_dict())
    return _of_dict(settings) or (_plain(type(inner).__name__), settings)


def _plain(kind: str) -> str:
    """ViTImageProcessorFast, ViTImageProcessorPil and ViTFeatureExtractor are all ``ViT``."""
    for ending in ("Fast", "Pil"):
        kind = kind.removesuffix(ending)
    return kind.removesuffix("ImageProcessor").removesuffix("FeatureExtractor")


def _shown(source: Any) -> str:
    return f"a dict with {sorted(source)}" if isinstance(source, Mapping) else f"a {type(source).__name__}"
