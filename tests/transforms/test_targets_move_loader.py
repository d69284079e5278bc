"""A loader's objects through geometry that no decoder does: segmentations follow, and predictions find their way back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as F  # noqa: N812 - torchvision's own name for it
from pycocotools import mask as official
from torchvision import tv_tensors

import shardstream as ss
from shardstream import transforms as T  # noqa: N812

from ..toy_coco import HEIGHT, WIDTH, pack_toy_coco, toy_record
from .samples import u64


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    return pack_toy_coco(tmp_path_factory.mktemp("moved") / "out", 24)


def loaded(ds: ss.ShardDataset, transform: Any) -> ss.Batch:
    return next(iter(ss.Loader(ds, batch_size=24, masks=True, transform=transform)))


def masks_of(key: str) -> Any:
    objects = toy_record(int(key))["objects"]
    given = [item["polygons"] or item["rle"] for item in objects]
    drawn = [official.decode(official.frPyObjects(g, HEIGHT, WIDTH)).reshape(HEIGHT, WIDTH) for g in given]
    return tv_tensors.Mask(np.stack(drawn) if drawn else np.zeros((0, HEIGHT, WIDTH), dtype=np.uint8))


def agree(ours: torch.Tensor, expected: torch.Tensor, key: str) -> None:
    """Run lengths pixel for pixel, redrawn polygons but for their rim."""
    for mask, reference, item in zip(ours, expected, toy_record(int(key))["objects"], strict=True):
        rim = 0 if item["rle"] else 4 * int(reference.any(0).sum() + reference.any(1).sum()) + 8
        assert int((mask != reference).sum()) <= rim


def test_masks_follow_a_padded_crop_and_an_affine_warp(ds: ss.ShardDataset) -> None:
    """Full-size images, geometry on the batch: torchvision crops and warps the same masks."""
    crop, warp = T.RandomCrop((32, 50), padding=4), T.RandomAffine(30, (0.1, 0.1), (0.8, 1.2), 10)
    for transform in (crop, warp):
        batch = loaded(ds, T.Compose([transform]))
        params = transform.draw(np.tile([HEIGHT, WIDTH], (24, 1)), u64(batch["seed"])).tolist()
        for key, target, p in zip(batch["key"], batch.targets(masks=True), params, strict=True):
            if transform is crop:
                expected = F.crop(F.pad(masks_of(key), [4]), p[0], p[1], 32, 50)
                agree(target["masks"], expected, key)
            else:
                expected = F.affine(masks_of(key), p[0], [int(p[1]), int(p[2])], p[3], p[4:], fill=0)
                for mask, reference, item in zip(
                    target["masks"], expected, toy_record(int(key))["objects"], strict=True
                ):
                    assert int((mask != reference).sum()) <= (4 if item["rle"] else reference.sum() * 0.5 + 40)


def test_a_planned_crop_and_the_moves_after_it_count_together(ds: ss.ShardDataset) -> None:
    """Cut while decoding, then mirrored, letterboxed and cropped on the batch: masks and boxes see all of it."""
    crop, flip = T.RandomResizedCrop(30, scale=(0.3, 1.0)), T.RandomHorizontalFlip(1.0)
    batch = loaded(ds, T.Compose([crop, flip, T.Letterbox((40, 60)), T.CenterCrop(36)]))
    plan = crop.draw(np.tile([HEIGHT, WIDTH], (24, 1)), u64(batch["seed"])).astype(int).tolist()
    assert batch["crop"].tolist() == plan
    for key, target, (x0, y0, x1, y1) in zip(batch["key"], batch.targets(masks=True), plan, strict=True):
        whole = masks_of(key)
        mask = F.resize(F.crop(whole, y0, x0, y1 - y0, x1 - x0), [30, 30], F.InterpolationMode.NEAREST_EXACT)
        mask = F.resize(F.horizontal_flip(mask), [40, 40], F.InterpolationMode.NEAREST_EXACT)
        mask = F.center_crop(F.pad(mask, [10, 0]), [36, 36])
        for ours, reference, item in zip(target["masks"], mask, toy_record(int(key))["objects"], strict=True):
            # torchvision samples twice and we once: an edge may fall on the neighbouring pixel
            edge = 4 * int(reference.any(0).sum() + reference.any(1).sum()) + 8
            assert int((ours != reference).sum()) <= edge, item["id"]


@pytest.mark.parametrize(
    "transform",
    [T.Letterbox(90), T.RandomCrop((80, 100), padding=30), T.RandomZoomOut(p=1.0), T.Resize(30, max_size=50)],
    ids=lambda t: type(t).__name__,
)
def test_predictions_come_back_to_original_pixels(ds: ss.ShardDataset, transform: T.Transform) -> None:
    """The moved ground truth as a prediction, mirrored too: official results in original coordinates."""
    batch = loaded(ds, T.Compose([transform, T.RandomHorizontalFlip(0.5), T.RandomVerticalFlip(0.5)]))
    targets = batch.targets(masks=True)
    predictions = [{**target, "scores": torch.ones(len(target["boxes"]))} for target in targets]
    boxes, masks = ss.scoring.CocoResults(ds), ss.scoring.CocoResults(ds)
    boxes.add_boxes(batch, predictions)
    masks.add_masks(batch, predictions)
    for key in batch["key"]:
        record = toy_record(int(key))
        for item, box, mask in zip(
            record["objects"], boxes.by_image[record["image_id"]], masks.by_image[record["image_id"]], strict=True
        ):
            x, y, w, h = item["bbox"]
            assert np.allclose(box["bbox"], [x, y, min(w, WIDTH - x), min(h, HEIGHT - y)], atol=1e-3)
            back = official.decode(mask["segmentation"])
            if item["rle"] and not isinstance(transform, T.Resize):  # halved, a mask loses every other pixel
                given = official.decode(official.frPyObjects(item["rle"], HEIGHT, WIDTH))
                assert np.array_equal(back, given)


def test_objects_cut_away_leave_with_every_field_a_loader_gives(ds: ss.ShardDataset) -> None:
    """Labels, ids, crowd flags, areas, keypoints, polygons and run lengths of those that stay are theirs."""
    crop = T.RandomCrop((24, 30), padding=0)
    plain = loaded(ds, T.Compose([crop])).targets(masks=True)
    batch = loaded(ds, T.Compose([crop, T.SanitizeBoxes(min_size=3)]))
    dropped = 0
    for before, after in zip(plain, batch.targets(masks=True), strict=True):
        kept = F.sanitize_bounding_boxes(before["boxes"], min_size=3)[1]
        dropped += int((~kept).sum())
        assert set(before) == set(after)
        for name, value in before.items():
            same = value if name == "image_id" else value[kept]
            assert torch.equal(torch.as_tensor(after[name]), torch.as_tensor(same)), name
    assert 5 < dropped < len(batch["boxes"]) + dropped
    sizes = {name: len(batch[name]) for name in ("labels", "category_id", "ann_id", "iscrowd", "area", "num_keypoints")}
    assert set(sizes.values()) == {len(batch["boxes"])}
    assert batch["box_offsets"][-1] == len(batch["boxes"]) == len(batch["object_polygons"]) - 1
    assert batch["rle_offsets"][-1] == len(batch["rle_counts"])


def test_a_field_with_another_number_of_rows_is_refused(ds: ss.ShardDataset) -> None:
    """It would be cut wrongly, and nobody would notice."""
    batch = loaded(ds, None)
    batch["labels"] = batch["labels"][:-1]
    with pytest.raises(ss.OptionError, match="'labels' has"):
        T.SanitizeBoxes()(batch)


def test_keypoints_of_another_kind_are_not_mirrored_wrongly() -> None:
    """Which of five points are left and right is not known."""
    batch = {
        "image": torch.zeros((1, 3, 8, 8), dtype=torch.uint8),
        "seed": torch.zeros(1, dtype=torch.int64),
        "boxes": torch.zeros((1, 4)),
        "box_offsets": torch.tensor([0, 1]),
        "keypoints": torch.ones((1, 5, 3)),
    }
    with pytest.raises(ss.OptionError, match="keypoints have 5 points"):
        T.RandomHorizontalFlip(1.0)(batch)
    assert T.RandomCrop(8)(batch)["keypoints"].shape == (1, 5, 3)
