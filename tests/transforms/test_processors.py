"""from_processor: Hugging Face's own image processors as the oracle, from folders on disk, offline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from shardstream.transforms import Compose, Normalize, PadBatch, RandomResizedCrop, presets
from shardstream.transforms.processors_defaults import CLASSES

from .pil_reference import apply_plan_pil
from .processor_configs import FIVE, HIDDEN, SIZES
from .samples import Ragged, batch_of, noise, seeds, u64

transformers = pytest.importorskip("transformers")


def folder(path: Path, config: Mapping[str, Any], name: str = "preprocessor_config.json") -> Path:
    path.mkdir(exist_ok=True)
    (path / name).write_text(json.dumps(config))
    return path


def processor(path: Path, backend: str = "torchvision") -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        return transformers.AutoImageProcessor.from_pretrained(str(path), backend=backend)


def close(ours: Tensor, theirs: Any) -> None:
    torch.testing.assert_close(ours, torch.as_tensor(theirs).float(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", [*FIVE, *HIDDEN])
def test_whole_images_come_out_as_transformers_makes_them(name: str, tmp_path: Path) -> None:
    """1e-5 of the torchvision backend on noise, at sizes where a floor and a round of the crop differ, alone and ragged."""
    path = folder(tmp_path, {**FIVE, **HIDDEN}[name])
    official, transform = processor(path), presets.from_processor(path)
    sizes = SIZES if name in FIVE else SIZES[1::2]
    images = [noise(3, *size, seed=row) for row, size in enumerate(sizes)]
    together = transform(batch_of(Ragged(images)))["image"]
    for row, image in enumerate(images):
        expected = official([image], return_tensors="pt")["pixel_values"]
        close(transform({"image": image[None]})["image"], expected)
        close(together[row], expected[0])


@settings(max_examples=15, deadline=None)
@given(size=st.tuples(st.integers(30, 700), st.integers(30, 700)), name=st.sampled_from(sorted(FIVE)))
@example(size=(375, 503), name="dinov2")
def test_any_size_comes_out_as_transformers_makes_it(size: tuple[int, int], name: str) -> None:
    """The five processors on sizes nobody chose."""
    official = _cached(name)
    image = noise(3, *size)
    close(
        presets.from_processor(official)({"image": image[None]})["image"],
        official([image], return_tensors="pt")["pixel_values"],
    )


_OFFICIAL: dict[str, Any] = {}


def _cached(name: str) -> Any:
    if name not in _OFFICIAL:
        kind = FIVE[name].get("image_processor_type") or FIVE[name]["feature_extractor_type"]
        known = {key: value for key, value in FIVE[name].items() if not key.endswith("_type")}
        _OFFICIAL[name] = getattr(transformers, kind.replace("FeatureExtractor", "ImageProcessor"))(**known)
    return _OFFICIAL[name]


@pytest.mark.parametrize("name", FIVE)
def test_what_the_loader_decodes_to_the_plan_is_the_pillow_backend(name: str, tmp_path: Path) -> None:
    """Decoded by Pillow as planned, then the rest of the transform: 1e-5 of transformers' backend="pil"."""
    path = folder(tmp_path, FIVE[name])
    official, transform = processor(path, "pil"), presets.from_processor(path)
    for row, size in enumerate(SIZES):
        image = Image.fromarray(noise(*size, 3, seed=row).numpy())
        plan = transform.decode_plan(["k"], np.array([size]), u64(seeds(1)))
        assert plan is not None
        pixels = apply_plan_pil(image, plan.crop_xyxy[0], plan.out_hw, False, plan.interpolation, plan.isolated)
        batch = batch_of(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None], crop=torch.zeros(1, 4))
        close(transform(batch)["image"], official([image], return_tensors="pt")["pixel_values"])


@pytest.mark.parametrize("kind", ["Detr", "Vilt"])
def test_images_of_different_sizes_are_padded_with_their_mask(kind: str) -> None:
    """DETR's 800 and 1333, ViLT's multiples of 32: pixels and pixel_mask of a ragged batch."""
    official = getattr(transformers, f"{kind}ImageProcessor")()
    images = [noise(3, *size, seed=row) for row, size in enumerate([(200, 640), (300, 310), (333, 90)])]
    expected = official(images, return_tensors="pt")
    out = presets.from_processor(official)(batch_of(Ragged(images)))
    close(out["image"], expected["pixel_values"])
    assert torch.equal(out["pixel_mask"], expected["pixel_mask"])


def test_a_padded_size_of_ones_own_is_kept() -> None:
    """pad_size: the batch's largest image does not decide."""
    official = transformers.DetrImageProcessor(
        size={"shortest_edge": 40, "longest_edge": 60}, pad_size={"height": 70, "width": 80}
    )
    image = noise(3, 50, 60)
    expected = official([image], return_tensors="pt")
    out = presets.from_processor(official)({"image": image[None]})
    close(out["image"], expected["pixel_values"])
    assert torch.equal(out["pixel_mask"], expected["pixel_mask"])
    empty = PadBatch()({"image": torch.empty((0, 3, 4, 4))})
    assert empty["image"].shape == (0, 3, 4, 4)


@pytest.mark.parametrize("kind", CLASSES)
def test_the_table_of_defaults_is_transformers_own(kind: str) -> None:
    """Every field of every class: a JSON that leaves it out means this."""
    official = getattr(transformers, f"{kind}ImageProcessor")()
    plain = presets.from_processor({"image_processor_type": f"{kind}ImageProcessor"})
    assert repr(plain) == repr(presets.from_processor(official))
    for name, value in CLASSES[kind].items():
        theirs = getattr(official, name, None)
        if name in ("image_mean", "image_std"):
            assert tuple(theirs) == value
        elif name not in ("size", "crop_size"):
            assert (theirs or False) == value, name


def test_nested_settings_win_over_a_file_of_their_own(tmp_path: Path) -> None:
    """processor_config.json's image_processor first, then preprocessor_config.json, as transformers reads them."""
    path = folder(tmp_path, FIVE["vit"])
    folder(path, {"processor_class": "CLIPProcessor"}, "processor_config.json")
    assert repr(presets.from_processor(path)) == repr(presets.from_processor(FIVE["vit"]))
    folder(path, {"image_processor": FIVE["clip"], "processor_class": "CLIPProcessor"}, "processor_config.json")
    nested = presets.from_processor(path)
    assert repr(nested) == repr(presets.from_processor(FIVE["clip"]))
    assert repr(nested) == repr(presets.from_processor(path / "processor_config.json"))
    image = noise(3, 300, 401)
    close(nested({"image": image[None]})["image"], processor(path)([image], return_tensors="pt")["pixel_values"])


def test_the_object_its_dict_and_its_files_are_the_same(tmp_path: Path) -> None:
    """An AutoImageProcessor of either backend, saved again by transformers itself."""
    path = folder(tmp_path, FIVE["dinov2"])
    texts = {repr(presets.from_processor(FIVE["dinov2"])), repr(presets.from_processor(path))}
    for backend in ("torchvision", "pil"):
        official = processor(path, backend)
        official.save_pretrained(tmp_path / backend)
        texts |= {repr(presets.from_processor(official)), repr(presets.from_processor(tmp_path / backend))}
        texts.add(repr(presets.from_processor(official.to_dict())))
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("config", "size"),
    [
        ({"input_size": [3, 224, 224], "crop_pct": 0.9}, (375, 500)),
        (
            {"input_size": [3, 288, 288], "crop_pct": 0.95, "crop_mode": "center", "interpolation": "bilinear"},
            (300, 401),
        ),
        ({"input_size": [3, 224, 224], "crop_pct": 1.0, "crop_mode": "squash"}, (375, 503)),
        ({"input_size": [3, 160, 200], "crop_pct": 0.95, "crop_mode": "squash"}, (375, 503)),
        ({"input_size": [3, 224, 224]}, (259, 300)),
    ],
)
def test_timm_checkpoints_evaluate_as_timm_does(config: dict[str, Any], size: tuple[int, int], tmp_path: Path) -> None:
    """timm's recipe in torchvision's words: resize to floor(size / crop_pct), its central crop, which rounds half to even."""
    from torchvision.transforms import v2
    from torchvision.transforms.v2 import InterpolationMode

    stats = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}
    path = folder(tmp_path, {"architecture": "x", "pretrained_cfg": {**config, **stats}}, "config.json")
    height, width = config["input_size"][1:]
    pct = config.get("crop_pct", 0.875)
    larger = [int(height // pct), int(width // pct)]
    how = InterpolationMode(config.get("interpolation", "bicubic"))
    expected = v2.Compose(
        [
            v2.Resize(larger if config.get("crop_mode") == "squash" else larger[0], how),
            v2.CenterCrop((height, width)),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(stats["mean"], stats["std"]),
        ]
    )
    image = noise(3, *size)
    close(presets.from_processor(path)({"image": image[None]})["image"][0], expected(image))


@pytest.mark.parametrize("name", FIVE)
def test_training_crops_to_the_same_size_and_normalises_alike(name: str) -> None:
    """RandomResizedCrop with the processor's filter, a flip, and the processor's numbers."""
    evaluate, train = presets.from_processor(FIVE[name]), presets.from_processor(FIVE[name], train=True)
    crop, _, normalize = train
    assert isinstance(crop, RandomResizedCrop)
    assert crop.size == (224, 224)
    assert crop.interpolation == ("bilinear" if name == "vit" else "bicubic")
    assert repr(normalize) == repr(list(evaluate)[-1])
    half = presets.from_processor(FIVE[name], train=True, dtype=torch.bfloat16)(batch_of(noise(2, 3, 50, 60)))
    assert half["image"].dtype == torch.bfloat16
    assert half["image"].shape == (2, 3, 224, 224)


def test_a_processor_that_only_resizes_leaves_bytes() -> None:
    """Neither rescaled nor normalised: what transformers returns is uint8 as well."""
    config = {"image_processor_type": "ViTImageProcessor", "do_rescale": False, "do_normalize": False, "size": 32}
    out = presets.from_processor(config)({"image": noise(1, 3, 50, 60)})["image"]
    assert out.dtype == torch.uint8
    untouched = presets.from_processor({**config, "do_resize": False, "do_normalize": True})
    assert [type(stage) for stage in untouched] == [Normalize]
    assert isinstance(untouched, Compose)
