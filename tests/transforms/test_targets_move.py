"""Boxes, masks and keypoints go where torchvision's functions take them, for every transform that moves pixels."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as F  # noqa: N812 - torchvision's own name for it
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import InterpolationMode

from shardstream.errors import OptionError
from shardstream.transforms import (
    CenterCrop,
    Compose,
    LargeScaleJitter,
    Letterbox,
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomShortestSize,
    RandomVerticalFlip,
    RandomZoomOut,
    Resize,
    SanitizeBoxes,
    Transform,
    from_targets,
    to_targets,
)
from shardstream.transforms.geometry_base import RandomGeometry

from .objects import SIZES, object_batch
from .samples import Ragged, noise, seeds, u64

SWAP = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
Reference = Callable[[Any, list[Any]], Any]
"""One image, tv_tensors boxes or masks, and one row of a transform's parameters -> what torchvision makes of it."""


def resized(x: Any, size: list[int]) -> Any:
    how = InterpolationMode.NEAREST_EXACT if isinstance(x, tv_tensors.Mask) else InterpolationMode.BILINEAR
    return F.resize(x, size, interpolation=how)


def affine(x: Any, p: list[float]) -> Any:
    return F.affine(x, p[0], [int(p[1]), int(p[2])], p[3], p[4:6], fill=0)


def window(x: Any, size: list[int], top: int, left: int, out: list[int]) -> Any:
    x = resized(x, size)
    height, width = F.get_size(x)
    x = F.pad(x, [0, 0, max(out[1] - width, 0), max(out[0] - height, 0)])
    return F.crop(x, top, left, *out)


RANDOM: dict[str, tuple[RandomGeometry, Reference]] = {
    "resized crop": (
        RandomResizedCrop((40, 30), scale=(0.2, 0.8)),
        lambda x, p: resized(F.crop(x, int(p[1]), int(p[0]), int(p[3] - p[1]), int(p[2] - p[0])), [40, 30]),
    ),
    "padded crop": (RandomCrop(32, padding=4), lambda x, p: F.crop(F.pad(x, [4]), p[0], p[1], 32, 32)),
    "mirror": (RandomHorizontalFlip(), lambda x, p: F.horizontal_flip(x) if p else x),
    "upside down": (RandomVerticalFlip(), lambda x, p: F.vertical_flip(x) if p else x),
    "affine": (RandomAffine(40, (0.2, 0.2), (0.7, 1.3), (-15, 15, -10, 10)), affine),
    "shortest size": (RandomShortestSize([30, 45], 64), lambda x, p: resized(x, p)),
    "zoom out": (
        RandomZoomOut(p=0.7),
        lambda x, p: F.pad(x, [p[3], p[2], p[1] - p[3] - F.get_size(x)[1], p[0] - p[2] - F.get_size(x)[0]]),
    ),
    "large-scale jitter": (LargeScaleJitter((48, 56)), lambda x, p: window(x, p[:2], p[2], p[3], [48, 56])),
}
FIXED: dict[str, tuple[Transform, Callable[[Any], Any]]] = {
    "resize": (Resize((33, 44)), lambda x: resized(x, [33, 44])),
    "shorter side": (Resize(24), lambda x: F.resize(x, 24, interpolation=InterpolationMode.NEAREST_EXACT)),
    "bounded side": (Resize(24, max_size=40), lambda x: F.resize(x, 24, max_size=40, interpolation=nearest(x))),
    "centre": (CenterCrop((36, 64)), lambda x: F.center_crop(padded(x, 36, 64), [36, 64])),
}


def padded(x: Any, height: int, width: int) -> Any:
    """Padded as center_crop pads an image; by itself it moves the boxes of an odd padding one pixel too far."""
    room = max(height - F.get_size(x)[0], 0), max(width - F.get_size(x)[1], 0)
    return F.pad(x, [room[1] // 2, room[0] // 2, room[1] - room[1] // 2, room[0] - room[0] // 2])


ANY: list[Transform] = [*(pair[0] for pair in RANDOM.values()), Letterbox((50, 70), fill=0), Resize((20, 90))]


def nearest(x: Any) -> InterpolationMode:
    return InterpolationMode.NEAREST_EXACT if isinstance(x, tv_tensors.Mask) else InterpolationMode.BILINEAR


def same(ours: dict[str, Any], boxes: Tensor, masks: Tensor, mask_share: float = 0.0) -> None:
    clamped = F.clamp_bounding_boxes(boxes)
    assert list(ours["boxes"].canvas_size) == F.get_size(masks)
    torch.testing.assert_close(ours["boxes"].as_subclass(Tensor), clamped.as_subclass(Tensor), rtol=0, atol=1e-3)
    assert (ours["masks"] != masks).float().mean().nan_to_num() <= mask_share


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("ragged", [True, False])
def test_random_geometry_moves_boxes_and_masks_as_torchvision_does(name: str, ragged: bool) -> None:
    """Given each row's drawn parameters: boxes to 1e-3 of a pixel, masks pixel for pixel, in a batch or ragged."""
    transform, reference = RANDOM[name]
    batch, images, targets = object_batch(SIZES if ragged else [(60, 80)] * 6)
    sizes = np.array([image.shape[-2:] for image in images])
    params = transform.draw(sizes, u64(batch["seed"])).tolist()
    for row, ours in enumerate(to_targets(transform(batch))):
        boxes, masks = (reference(targets[row][field], params[row]) for field in ("boxes", "masks"))
        same(ours, boxes, masks, mask_share=5e-3 if name == "affine" else 0.0)
        assert torch.equal(ours["labels"], targets[row]["labels"])


@pytest.mark.parametrize("name", FIXED)
def test_fixed_geometry_moves_boxes_and_masks_as_torchvision_does(name: str) -> None:
    """Sizes of every shape, smaller than the crop as well."""
    transform, reference = FIXED[name]
    batch, _, targets = object_batch()
    for ours, target in zip(to_targets(transform(batch)), targets, strict=True):
        same(ours, reference(target["boxes"]), reference(target["masks"]))


@pytest.mark.parametrize("transform", ANY, ids=lambda t: type(t).__name__)
def test_an_object_painted_into_the_image_is_found_where_its_box_went(transform: Transform) -> None:
    """The pixels themselves as the oracle: the white rectangle's bounds are the box, to a pixel and a half."""
    batch, images, targets = object_batch()
    painted = [torch.zeros_like(image) for image in images]
    for image, target in zip(painted, targets, strict=True):
        for x0, y0, x1, y1 in target["boxes"].int().tolist()[:1]:
            image[:, y0:y1, x0:x1] = 255
    out = transform({**batch, "image": Ragged(painted)})
    turned = isinstance(transform, RandomAffine)
    for image, target in zip(out["image"], to_targets(out), strict=True):
        if not len(target["boxes"]):
            continue
        x0, y0, x1, y1 = target["boxes"][0].tolist()
        lit = (image[0] > 100).nonzero()
        if min(x1 - x0, y1 - y0) < 2:
            continue
        assert len(lit)
        found = [lit[:, 1].min(), lit[:, 0].min(), lit[:, 1].max() + 1, lit[:, 0].max() + 1]
        # a turned rectangle cut by the edge fills less than the box around all of it
        assert all(a - 1.5 <= b for a, b in zip((x0, y0), found[:2], strict=True))
        assert all(b <= a + 1.5 for a, b in zip((x1, y1), found[2:], strict=True))
        if not turned:
            assert max(abs(float(f) - b) for f, b in zip(found, (x0, y0, x1, y1), strict=True)) <= 1.5


@pytest.mark.parametrize("name", ["padded crop", "mirror", "upside down", "affine", "zoom out"])
def test_keypoints_land_on_the_pixels_they_were_on(name: str) -> None:
    """One lit pixel per keypoint, moved with nearest: the keypoint's new place is lit, and what left is unlabelled."""
    transform, _ = RANDOM[name]
    batch, images, _ = object_batch([(60, 80)] * 6)
    mirrored = name in ("mirror", "upside down")
    params = transform.draw(np.array([(60, 80)] * 6), u64(batch["seed"]))
    ends = batch["box_offsets"].tolist()
    out, labelled = transform(batch), 0
    for row, (first, last) in enumerate(itertools.pairwise(ends)):
        for before, after in zip(batch["keypoints"][first:last], out["keypoints"][first:last], strict=True):
            before = before[SWAP] if mirrored and params[row] else before
            for (x, y, _), (u, v, seen) in zip(before.int().tolist(), after.tolist(), strict=True):
                if not seen:
                    assert (u, v) == (0, 0)
                    continue
                labelled += 1
                colour = out["image"][row][:, round(v), round(u)]
                if name == "affine":
                    near = images[row][:, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].flatten(1).T
                    assert (near == colour).all(1).any() or not colour.any()  # or the fill, where it is at the rim
                else:
                    assert torch.equal(colour, images[row][:, y, x])
    assert labelled > 50


def test_num_keypoints_counts_what_is_left_and_keeps_not_annotated() -> None:
    """-1 says that an object has no keypoint annotation at all."""
    batch, _, _ = object_batch([(60, 80)] * 4)
    given = torch.full((len(batch["boxes"]),), 17)
    given[0] = -1
    out = RandomCrop(32, padding=4)({**batch, "num_keypoints": given})
    seen = (out["keypoints"][..., 2] > 0).sum(1)
    assert out["num_keypoints"][0] == -1
    assert torch.equal(out["num_keypoints"][1:], seen[1:])
    assert seen.min() < 17


def test_to_source_leads_every_pixel_back_through_any_chain() -> None:
    """A box without area, moved by the chain, is where the inverse of ``to_source`` says."""
    chain = Compose(
        [
            Resize((60, 80)),
            RandomAffine(20, scale=(0.8, 1.1)),
            RandomHorizontalFlip(),
            Letterbox(90),
            RandomVerticalFlip(),
        ]
    )
    batch, images, _ = object_batch()
    spot = torch.tensor([22.0, 19, 22, 19])
    out = chain({**batch, "box": spot.repeat(len(images), 1)})
    assert {(int(image.shape[-2]), int(image.shape[-1])) for image in out["image"]} == {(90, 90)}
    for row in range(len(images)):
        matrix = torch.cat([out["to_source"][row], torch.tensor([[0.0, 0, 1]], dtype=torch.float64)])
        there = torch.linalg.inv(matrix) @ torch.tensor([22.0, 19, 1], dtype=torch.float64)
        torch.testing.assert_close(out["box"][row].double(), there[[0, 1, 0, 1]], rtol=0, atol=1e-4)


def test_targets_of_torchvision_come_back_as_they_were() -> None:
    """In and out without a move: every field, every type."""
    batch, _, targets = object_batch()
    for ours, target in zip(to_targets(batch), targets, strict=True):
        assert set(ours) == set(target)
        for name, value in target.items():
            assert type(ours[name]) is type(value)
            assert torch.equal(ours[name], value)


def test_torchvisions_keypoints_count_as_visible_and_other_formats_become_corners() -> None:
    """tv_tensors.KeyPoints (N, 17, 2), boxes as centre and size."""
    image, points = noise(3, 20, 30), torch.rand(2, 17, 2) * 18 + 1
    target = {
        "boxes": tv_tensors.BoundingBoxes([[10, 8, 5, 4], [6, 7, 2, 2]], format="CXCYWH", canvas_size=(20, 30)),
        "keypoints": tv_tensors.KeyPoints(points, canvas_size=(20, 30)),
    }
    batch = from_targets([image], [target], seeds(1))
    assert batch["boxes"].tolist() == [[7.5, 6, 12.5, 10], [5, 6, 7, 8]]
    assert (batch["keypoints"][..., 2] == 2).all()
    out = RandomHorizontalFlip(1.0)(batch)
    assert torch.allclose(out["keypoints"][..., 0], 29 - points[:, SWAP, 0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": torch.zeros(1)}, "target 1 has"),
        ({"boxes": torch.zeros(3, 4), "ids": torch.zeros(2)}, r"target 0: 'ids' has 2 rows; give a tensor of 3"),
        ({"boxes": torch.zeros(1, 4), "masks": torch.zeros(1, 4, 4)}, r"masks are \(4, 4\), the image \(8, 8\)"),
        (
            {"boxes": torch.tensor([[0.0, 2, 9.5, 6]])},
            r"the box \[0.0, 2.0, 9.5, 6.0\] .* leaves the image, which is 8 x 8",
        ),
        ({"boxes": torch.tensor([[0.0, 0, 4, 4], [-1.5, 2, 4, 6]])}, r"the box \[-1.5, 2.0, 4.0, 6.0\]"),
        ({"boxes": torch.full((1, 4), torch.nan)}, "the box .nan, nan, nan, nan."),
        (
            {"boxes": tv_tensors.BoundingBoxes([[1, 1, 4, 4]], format="XYXY", canvas_size=(8, 16))},
            r"target 0: boxes are for a canvas of \(8, 16\), the image is \(8, 8\)",
        ),
        (
            {"boxes": tv_tensors.BoundingBoxes([[6, 6, 8, 2]], format="CXCYWH", canvas_size=(8, 8))},
            r"the box \[2.0, 5.0, 10.0, 7.0\]",
        ),
    ],
)
def test_targets_that_contradict_themselves_are_refused(change: dict[str, Any], message: str) -> None:
    """Other keys in another image, other numbers of rows, masks of another size, boxes beyond the image."""
    plain = {"boxes": torch.zeros(1, 4)}
    first = {**plain, **change} if "labels" not in change else plain
    images = [noise(3, 8, 8), noise(3, 8, 8)]
    with pytest.raises(OptionError, match=message):
        from_targets(images, [first, {**plain, **change}], seeds(2))


def test_boxes_may_leave_the_image_by_the_fraction_of_a_pixel_that_annotators_do() -> None:
    """COCO's own boxes do; wide images take wide boxes, which high ones do not."""
    boxes = torch.tensor([[-0.4, 0, 30.7, 20.9]])
    assert torch.equal(from_targets([noise(3, 20, 30)], [{"boxes": boxes}], seeds(1))["boxes"], boxes)
    with pytest.raises(OptionError, match="30 x 20"):
        from_targets([noise(3, 30, 20)], [{"boxes": boxes}], seeds(1))


def test_sanitized_objects_are_torchvisions_with_all_their_fields() -> None:
    """The same objects stay, and labels, ids, keypoints and masks are still theirs."""
    transform = Compose([RandomResizedCrop(40, scale=(0.05, 0.3)), SanitizeBoxes(min_size=5)])
    batch, _, _ = object_batch([(60, 80)] * 8)
    before, after = to_targets(transform.stages[0](batch)), to_targets(transform(batch))
    dropped = 0
    for plain, ours in zip(before, after, strict=True):
        kept = F.sanitize_bounding_boxes(plain["boxes"], min_size=5)[1]
        dropped += int((~kept).sum())
        for name, value in plain.items():
            assert torch.equal(ours[name], value[kept])
    assert dropped > 3
