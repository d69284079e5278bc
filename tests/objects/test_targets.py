"""Objects in batches: as in the records, moved with their pixels, and as torchvision's detectors take them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as official
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F  # noqa: N812 - as torchvision calls it

import shardstream as ss
from shardstream import transforms as T  # noqa: N812

from ..toy_coco import HEIGHT, WIDTH, pack_toy_coco, toy_record

COUNT = 24


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    return pack_toy_coco(tmp_path_factory.mktemp("targets") / "out", COUNT)


def rows(ds: ss.ShardDataset, **options: Any) -> list[tuple[dict[str, Any], dict[str, Any], ss.Batch, int]]:
    """(record, target, batch, row) of every image."""
    masks = {"masks": options.get("masks", False)}
    return [
        (toy_record(int(key)), target, batch, row)
        for batch in ss.Loader(ds, batch_size=5, **options)
        for row, (key, target) in enumerate(zip(batch["key"], batch.targets(**masks), strict=True))
        if key
    ]


def test_a_batch_holds_every_annotation_of_its_images(ds: ss.ShardDataset) -> None:
    """Values and offsets; filled rows hold nothing."""
    seen = 0
    for batch in ss.Loader(ds, batch_size=5):
        ends = batch["box_offsets"].tolist()
        assert len(ends) == 6
        assert ends[-1] == len(batch["boxes"]) == len(batch["labels"])
        for row, key in enumerate(batch["key"]):
            part = slice(ends[row], ends[row + 1])
            if not key:
                assert ends[row] == ends[row + 1]
                assert batch["image_id"][row] == -1
                assert batch["captions"][row] == []
                continue
            record, seen = toy_record(int(key)), seen + 1
            objects = record["objects"]
            assert batch["image_id"][row] == record["image_id"]
            assert batch["captions"][row] == [c["caption"] for c in record["captions"]]
            assert batch["caption_ids"][row] == [c["id"] for c in record["captions"]]
            xywh = np.array([item["bbox"] for item in objects]).reshape(-1, 4)
            xyxy = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1).astype(np.float32)
            assert np.array_equal(batch["boxes"][part].numpy(), xyxy)
            for field, name in (
                ("labels", "label"),
                ("category_id", "category_id"),
                ("ann_id", "id"),
                ("iscrowd", "iscrowd"),
            ):
                assert batch[field][part].tolist() == [item[name] for item in objects]
            assert np.allclose(batch["area"][part], [item["area"] for item in objects], rtol=1e-6)
            points = np.array([item["keypoints"] or [0] * 51 for item in objects], dtype=np.float32).reshape(-1, 17, 3)
            assert np.array_equal(batch["keypoints"][part].numpy(), points)
            assert batch["num_keypoints"][part].tolist() == [
                -1 if item["num_keypoints"] is None else item["num_keypoints"] for item in objects
            ]
    assert seen == COUNT


def test_targets_are_what_torchvision_takes(ds: ss.ShardDataset) -> None:
    """tv_tensors, (0, 4) where there is nothing, official masks, three label conventions."""
    for record, target, batch, row in rows(ds, masks=True):
        objects = record["objects"]
        assert isinstance(target["boxes"], tv_tensors.BoundingBoxes)
        assert target["boxes"].canvas_size == (HEIGHT, WIDTH)
        assert target["boxes"].format == tv_tensors.BoundingBoxFormat.XYXY
        assert target["boxes"].shape == (len(objects), 4)
        assert target["masks"].shape == (len(objects), HEIGHT, WIDTH)
        assert isinstance(target["masks"], tv_tensors.Mask)
        assert target["image_id"] == record["image_id"]
        for label, mask, item in zip(target["labels"], target["masks"], objects, strict=True):
            assert label == item["category_id"]
            segmentation = item["polygons"] or [item["rle"]]
            given = segmentation if item["polygons"] else item["rle"]
            expected = official.decode(official.frPyObjects(given, HEIGHT, WIDTH)).reshape(HEIGHT, WIDTH, -1).max(2)
            assert np.array_equal(mask.numpy(), expected)
        contiguous = batch.targets(labels="contiguous")[row]["labels"].tolist()
        assert contiguous == [item["label"] for item in objects]
        assert batch.targets(labels="contiguous+1")[row]["labels"].tolist() == [label + 1 for label in contiguous]


def test_training_targets_leave_out_crowds_and_boxes_without_area(ds: ss.ShardDataset) -> None:
    """A crowd is no example of one object; a box of no width stops a detector."""
    for batch in ss.Loader(ds, batch_size=24):
        batch["boxes"][0, 2] = batch["boxes"][0, 0]
        flat = int(batch["ann_id"][0])
        crowds = set(batch["ann_id"][batch["iscrowd"] == 1].tolist())
        kept = {int(i) for target in batch.targets(training=True) for i in target["ann_id"]}
        everything = {int(i) for target in batch.targets() for i in target["ann_id"]}
        assert everything - kept == crowds | {flat}


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_boxes_and_masks_move_as_torchvision_moves_them(ds: ss.ShardDataset, flip: float) -> None:
    """RandomResizedCrop and mirror; torchvision crops, resizes and flips the same boxes and masks."""
    transform = T.Compose([T.RandomResizedCrop(32, scale=(0.3, 1.0)), T.RandomHorizontalFlip(flip)])
    moved = partly = 0
    for record, target, batch, row in rows(ds, transform=transform, masks=True, shuffle=True, drop_last=False):
        left, top, right, bottom = (int(v) for v in batch["crop"][row])
        assert bool(batch["flipped"][row]) == bool(flip)
        xywh = torch.tensor([item["bbox"] for item in record["objects"]], dtype=torch.float64).reshape(-1, 4)
        boxes = tv_tensors.BoundingBoxes(xywh, format="XYWH", canvas_size=(HEIGHT, WIDTH))
        boxes = F.convert_bounding_box_format(boxes, new_format="XYXY")
        boxes = F.resized_crop(boxes, top, left, bottom - top, right - left, [32, 32])
        boxes = F.clamp_bounding_boxes(F.horizontal_flip(boxes) if flip else boxes)
        assert torch.allclose(
            target["boxes"].as_subclass(torch.Tensor), boxes.float().as_subclass(torch.Tensor), atol=1e-4
        )
        for mask, item in zip(target["masks"], record["objects"], strict=True):
            given = item["polygons"] or item["rle"]
            whole = official.decode(official.frPyObjects(given, HEIGHT, WIDTH)).reshape(1, HEIGHT, WIDTH)
            cropped = torch.from_numpy(whole[:, top:bottom, left:right].copy())
            expected = F.resize(cropped, [32, 32], InterpolationMode.NEAREST_EXACT)[0]
            expected = F.horizontal_flip(expected) if flip else expected
            moved += 1
            if item["rle"]:
                assert np.array_equal(mask.numpy(), expected.numpy())
            else:  # redrawn from moved corners, sharper than a resized mask: at most the rim differs
                partly += 1
                rim = 4 * (expected.numpy().any(0).sum() + expected.numpy().any(1).sum()) + 8
                assert (mask.numpy() != expected.numpy()).sum() <= rim
    assert moved > partly > 10


def test_keypoints_move_with_their_pixels(ds: ss.ShardDataset) -> None:
    """A pixel index goes where its pixel's centre goes; mirrored, left becomes right; outside, not labelled."""
    transform = T.Compose([T.RandomResizedCrop(30, scale=(0.3, 1.0)), T.RandomHorizontalFlip(0.5)])
    swap = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
    flips = set()
    for record, target, batch, row in rows(ds, transform=transform, shuffle=True, drop_last=False):
        left, top, right, bottom = batch["crop"][row].tolist()
        flipped = bool(batch["flipped"][row])
        for points, item in zip(target["keypoints"].numpy(), record["objects"], strict=True):
            if not item["keypoints"]:
                assert not points.any()
                continue
            flips.add(flipped)
            given = np.array(item["keypoints"], dtype=np.float64).reshape(17, 3)
            x = (given[:, 0] + 0.5 - left) * 30 / (right - left) - 0.5
            y = (given[:, 1] + 0.5 - top) * 30 / (bottom - top) - 0.5
            inside = (x >= -0.5) & (x < 29.5) & (y >= -0.5) & (y < 29.5)
            expected = np.where(inside[:, None], np.stack([29 - x if flipped else x, y, given[:, 2]], 1), 0)
            assert np.allclose(points, expected[swap] if flipped else expected, atol=1e-4)
    assert flips == {True, False}


def test_a_mirror_applied_twice_changes_nothing(ds: ss.ShardDataset) -> None:
    """On whole images, without a crop planned before."""
    twice = T.Compose([T.RandomHorizontalFlip(1.0), T.RandomHorizontalFlip(1.0)])
    once = T.Compose([T.RandomHorizontalFlip(1.0)])
    for plain, back, flipped in zip(
        *(ss.Loader(ds, batch_size=6, masks=True, **o) for o in ({}, {"transform": twice}, {"transform": once})),
        strict=True,
    ):
        for name in ("boxes", "keypoints", "polygon_xy"):
            assert torch.allclose(plain[name], back[name], atol=1e-5)
            assert len(plain[name]) == 0 or not torch.allclose(plain[name], flipped[name])
        assert torch.equal(plain["image"], back["image"])
        for a, b in zip(plain.targets(masks=True), flipped.targets(masks=True), strict=True):
            wrong = (a["masks"].flip(-1) != b["masks"]).sum()  # a polygon's rim may round to the other side
            assert wrong <= 0.15 * a["masks"].sum() + 4


def test_pixels_never_move_without_their_boxes(ds: ss.ShardDataset) -> None:
    """A resized image of a user's own function has no targets."""
    batch = next(iter(ss.Loader(ds, batch_size=4, sample_transform=lambda _: torch.zeros(3, 10, 10))))
    with pytest.raises(ss.OptionError, match=r"the image is \(10, 10\) \(h, w\), its boxes are in original pixels"):
        batch.targets()
    with pytest.raises(ss.OptionError, match=r"give the loader masks=True"):
        next(iter(ss.Loader(ds, batch_size=4))).targets(masks=True)
    with pytest.raises(ss.OptionError, match=r"has no boxes"):
        next(iter(ss.Loader(ds, batch_size=4, view="caption"))).targets()
    with pytest.raises(ss.OptionError, match=r"labels='raw' is not one of"):
        next(iter(ss.Loader(ds, batch_size=4))).targets(labels="raw")  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["fasterrcnn_mobilenet_v3_large_320_fpn", "maskrcnn_resnet50_fpn"])
def test_torchvision_detectors_train_on_our_targets(ds: ss.ShardDataset, model: str) -> None:
    """A few steps; every loss finite, and the total goes down on one batch."""
    from torchvision.models import detection

    torch.manual_seed(0)
    small: dict[str, Any] = (
        {"min_size": 64, "max_size": 96} if model.startswith("mask") else {"min_size": 96, "max_size": 96}
    )
    network = getattr(detection, model)(weights=None, weights_backbone=None, num_classes=91, **small).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.005)
    batch = next(iter(ss.Loader(ds, batch_size=3, masks=True, shuffle=True, seed=1)))
    images = [image.float() / 255 for image in batch["image"]]
    totals = []
    for _ in range(3):
        losses = network(images, batch.targets(masks=model.startswith("mask"), training=True))
        total = sum(losses.values())
        assert all(torch.isfinite(loss) for loss in losses.values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert totals[-1] < totals[0]
