"""Presets: the recipes they are named after, stage by stage, and what comes out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision.transforms.v2.functional as F  # noqa: N812 - torchvision's own name for it
from torch import Tensor

from shardstream.errors import OptionError
from shardstream.transforms import (
    Compose,
    CutMix,
    MixUp,
    MixUpOrCutMix,
    Normalize,
    RandAugment,
    RandomErasing,
    RandomHorizontalFlip,
    RandomResizedCrop,
    TrivialAugmentWide,
    presets,
    to_targets,
)
from shardstream.transforms.presets_tasks import EMOTIC_BODY, EMOTIC_CONTEXT

from .objects import object_batch
from .samples import Ragged, batch_of, noise, u64

STATISTICS = {"pixel_mean": [0.5] * 3, "pixel_std": [0.25] * 3, "histograms": {"label": {"0": 5, "1": 5, "2": 5}}}


def labelled(rows: int, *shape: int) -> dict[str, Any]:
    return batch_of(noise(rows, 3, *shape), label=torch.arange(rows) % 3)


def kinds(transform: Compose) -> list[str]:
    return [type(stage).__name__ for stage in transform]


def test_imagenets_recipes_are_torchvisions() -> None:
    """V1 and V2 of the ResNet-50 weights, with their numbers."""
    assert repr(presets.imagenet_train()) == repr(presets.train(224))
    crop, flip, policy, normalize, erase, mixing = presets.imagenet_train("v2", num_classes=10)
    assert isinstance(crop, RandomResizedCrop)
    assert crop.size == (176, 176)
    assert crop.interpolation == "bilinear"
    assert isinstance(flip, RandomHorizontalFlip)
    assert isinstance(policy, TrivialAugmentWide)
    assert policy.look.interpolation == "bilinear"
    assert isinstance(normalize, Normalize)
    assert isinstance(erase, RandomErasing)
    assert (erase.p, erase.scale, erase.ratio) == (0.1, (0.02, 0.33), (0.3, 3.3))
    assert isinstance(mixing, MixUpOrCutMix)
    assert (mixing.recipe.mixup, mixing.recipe.cutmix, mixing.recipe.cut_share) == (0.2, 1.0, 0.5)


def test_the_v2_recipe_gives_soft_labels_of_the_datasets_classes() -> None:
    """Counted from the histogram where their number is not given; images of any size in."""
    rows = [noise(3, 60, 80), noise(3, 50, 40), noise(3, 90, 90), noise(3, 30, 31)]
    batch = batch_of(Ragged(rows), label=torch.tensor([0, 1, 2, 1]))
    out = presets.imagenet_train("v2").bind(STATISTICS)(batch)
    assert out["image"].shape == (4, 3, 176, 176)
    assert out["image"].dtype == torch.float32
    assert out["label"].shape == (4, 3)
    torch.testing.assert_close(out["label"].sum(1), torch.ones(4))


@pytest.mark.parametrize("policy", [None, "randaugment", "autoaugment", "trivialaugment", "augmix", RandAugment(3)])
@pytest.mark.parametrize("mixing", [None, "mixup", "cutmix", "both", MixUp(0.3, 3)])
def test_cifar_trains_with_any_policy_and_mixing(policy: Any, mixing: Any) -> None:
    """Crop, flip, the policy, normalise, and mixing at the end."""
    transform = presets.cifar_train(policy=policy, mixing=mixing).bind(STATISTICS)
    out = transform(labelled(6, 32, 32))
    assert out["image"].shape == (6, 3, 32, 32)
    assert out["image"].dtype == torch.float32
    assert out["label"].shape == ((6,) if mixing is None else (6, 3))
    names = kinds(transform)
    assert names[:2] == ["RandomCrop", "RandomHorizontalFlip"]
    assert names.index("Normalize") == 2 + (policy is not None)
    assert len(names) == 3 + (policy is not None) + (mixing is not None)


def test_the_policy_of_cifar_is_cifars() -> None:
    """AutoAugment has one policy for ImageNet, another for CIFAR-10."""
    policy: Any = list(presets.cifar_train(policy="autoaugment"))[2]
    assert policy.policy == "cifar10"
    assert isinstance(list(presets.cifar_train(mixing="cutmix"))[-1], CutMix)


@pytest.mark.parametrize("recipe", ["hflip", "multiscale", "ssdlite", "lsj"])
def test_detection_trains_on_moved_objects_with_all_their_fields(recipe: str) -> None:
    """Floats 0..1, boxes inside their image, none without area; one tensor where the recipe has one size."""
    batch, _, targets = object_batch()
    flat = int(batch["labels"][0])  # labels are unique here; the first object loses its width
    batch["boxes"][0, 2] = batch["boxes"][0, 0]
    out = presets.detection_train(recipe, 64)(batch)
    assert flat not in out["labels"].tolist()
    images = out["image"]
    assert isinstance(images, Tensor) == (recipe == "lsj")
    for image, target in zip(images, to_targets(out), strict=True):
        assert image.dtype == torch.float32
        assert image.max() <= 1
        assert tuple(image.shape[-2:]) == target["boxes"].canvas_size
        height, width = image.shape[-2:]
        if recipe == "multiscale":
            assert min(height, width) in range(480, 801, 32) or max(height, width) == 1333
        boxes = target["boxes"].as_subclass(Tensor)
        assert (boxes[:, 2:] - boxes[:, :2] >= 1).all()
        assert (boxes >= 0).all()
        assert (boxes <= torch.tensor([width, height, width, height])).all()
        assert len(boxes) == len(target["labels"]) == len(target["masks"]) == len(target["keypoints"])
    if recipe in ("hflip", "multiscale"):
        assert sum(len(target["boxes"]) for target in targets) == len(out["boxes"]) + 1


def test_detection_evaluates_whole_images_with_all_objects() -> None:
    """As they are, or letterboxed; nothing is drawn, so no seed is needed."""
    batch, images, targets = object_batch()
    del batch["seed"]
    plain = presets.detection_eval()(batch)
    for out, image in zip(plain["image"], images, strict=True):
        torch.testing.assert_close(out, image / 255, rtol=0, atol=1e-7)
    boxed = presets.detection_eval(96, normalize="imagenet", dtype=torch.bfloat16)(batch)
    assert boxed["image"].shape == (4, 3, 96, 96)
    assert boxed["image"].dtype == torch.bfloat16
    assert len(boxed["boxes"]) == sum(len(target["boxes"]) for target in targets)


def test_emotic_squashes_picture_and_body_and_normalises_each_by_its_own() -> None:
    """Evaluation equals torchvision's resize and normalise of each, and the box is in pixels of the picture."""
    images, bodies = [noise(3, 60, 90), noise(3, 45, 40)], [noise(3, 30, 12), noise(3, 20, 33)]
    box = torch.tensor([[9.0, 6, 45, 60], [0, 0, 40, 45]])
    batch = batch_of(Ragged(images), body=Ragged(bodies), box=box)
    out = presets.emotic(train=False)(batch)
    for field, given, size, stats in (("image", images, 224, EMOTIC_CONTEXT), ("body", bodies, 128, EMOTIC_BODY)):
        for ours, image in zip(out[field], given, strict=True):
            resized = F.resize(image, [size, size])
            torch.testing.assert_close(ours, F.normalize(resized / 255, *map(list, stats)), rtol=0, atol=1e-5)
    scale = torch.tensor([[224 / 90, 224 / 60], [224 / 40, 224 / 45]]).repeat(1, 2)
    torch.testing.assert_close(out["box"], box * scale, rtol=0, atol=1e-3)


def test_emotic_trains_with_one_flip_and_one_jitter_for_picture_and_body() -> None:
    """A body that shows the whole of its picture comes out as the picture does."""
    images = noise(8, 3, 128, 128)
    batch = batch_of(images, body=images.clone(), box=torch.tensor([[0.0, 0, 128, 128]] * 8))
    stages = list(presets.emotic(size=128, body=128))[:-1]
    out = Compose(stages)(batch)
    assert torch.equal(out["image"], out["body"])
    assert 0 < out["flipped"].sum() < 8
    assert not torch.equal(out["image"], images)
    full = presets.emotic()(batch)
    assert full["image"].shape == (8, 3, 224, 224)
    assert full["body"].shape == (8, 3, 128, 128)


def test_questions_see_the_whole_image_as_it_was() -> None:
    """Squashed and normalised, never mirrored or cut; the plan is the whole image."""
    image = noise(3, 90, 120)
    out = presets.vqa(64)({"image": image[None]})["image"][0]
    resized = F.resize(image, [64, 64], F.InterpolationMode.BICUBIC)
    expected = F.normalize(resized / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-5)
    plan = presets.vqa().decode_plan(["k"], torch.tensor([[90, 120]]).numpy(), u64(torch.zeros(1, dtype=torch.int64)))
    assert plan is not None
    assert plan.crop_xyxy.tolist() == [[0, 0, 120, 90]]
    assert not plan.flip.any()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: presets.imagenet_train("v3"), "recipe is 'v3'; use 'v1' or 'v2'"),
        (lambda: presets.cifar_train(policy="fast"), "policy is 'fast'; use one of randaugment"),
        (lambda: presets.cifar_train(mixing="mosaic"), "mixing is 'mosaic'; use one of mixup"),
        (lambda: presets.detection_train("ssd"), "recipe is 'ssd'; use one of hflip, multiscale, ssdlite, lsj"),
    ],
)
def test_a_recipe_that_does_not_exist_is_refused(build: Any, message: str) -> None:
    """With those that do."""
    with pytest.raises(OptionError, match=message):
        build()
