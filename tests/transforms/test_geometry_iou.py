"""RandomIoUCrop: torchvision's windows, and the pixels and objects that it leaves for the same window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torchvision import tv_tensors
from torchvision.ops import box_iou
from torchvision.transforms import v2

from shardstream.errors import OptionError
from shardstream.transforms import RandomIoUCrop, from_targets, to_targets

from .objects import object_batch
from .samples import batch_of, ks_distance, noise, seeds, u64

DRAWS = 600
SIZE = (60, 90)
BOXES = np.array([[5.0, 8, 30, 40], [50, 20, 88, 55], [40, 2, 52, 12]])


def windows_of(crop: RandomIoUCrop, boxes: np.ndarray[Any, Any], count: int, base: int = 7) -> tuple[Any, Any]:
    """Windows (count, 4) and which boxes are inside (count, M) of so many images alike."""
    sizes, offsets = np.tile(SIZE, (count, 1)), np.arange(count + 1) * len(boxes)
    windows, inside = crop.draw(sizes, u64(seeds(count, base)), np.tile(boxes, (count, 1)), offsets)
    return windows, inside.reshape(count, len(boxes))


def test_windows_come_as_often_as_torchvisions() -> None:
    """600 draws each: how many images stay whole, and the corner, area and ratio of the windows."""
    ours, _ = windows_of(RandomIoUCrop(), BOXES, DRAWS)
    given = tv_tensors.BoundingBoxes(torch.tensor(BOXES), format="XYXY", canvas_size=SIZE)
    image, reference = tv_tensors.Image(torch.empty(3, *SIZE)), v2.RandomIoUCrop()
    torch.manual_seed(3)
    made = [reference.make_params([image, given]) for _ in range(DRAWS)]
    cut = np.array([[p["left"], p["top"], p["left"] + p["width"], p["top"] + p["height"]] for p in made if p])
    mine = ours[(ours != [0, 0, SIZE[1], SIZE[0]]).any(1)]
    share = len(cut) / DRAWS
    assert abs(len(mine) / DRAWS - share) < 4 * (2 * share * (1 - share) / DRAWS) ** 0.5
    limit = 1.95 * (1 / len(mine) + 1 / len(cut)) ** 0.5
    for part in (lambda w: w[:, 0], lambda w: w[:, 1], lambda w: (w[:, 2] - w[:, 0]) * (w[:, 3] - w[:, 1])):
        assert ks_distance(part(mine), part(cut)) < limit
    assert ks_distance(*((w[:, 2] - w[:, 0]) / (w[:, 3] - w[:, 1]) for w in (mine, cut))) < limit


@pytest.mark.parametrize("least", [0.0, 0.3, 0.7])
def test_every_window_is_in_shape_and_overlaps_an_object_inside_it(least: float) -> None:
    """By torchvision's box_iou, for one option alone."""
    windows, inside = windows_of(RandomIoUCrop(options=[least]), BOXES, 300)
    width, height = (windows[:, 2:] - windows[:, :2]).T
    overlap = box_iou(torch.tensor(windows).double(), torch.tensor(BOXES)).numpy()
    centre = (BOXES[:, :2] + BOXES[:, 2:]) / 2
    expected = ((windows[:, None, :2] < centre) & (centre < windows[:, None, 2:])).all(-1)
    assert np.array_equal(inside, expected)
    assert (np.where(inside, overlap, -1).max(1) >= least).all()
    assert (windows[:, :2] >= 0).all()
    assert (windows[:, 2:] <= SIZE[::-1]).all()
    assert ((width / height >= 0.5) & (width / height <= 2)).all()
    assert width.min() >= 0.3 * SIZE[1] - 1
    assert len({tuple(window) for window in windows.tolist()}) > 200


@pytest.mark.parametrize("ragged", [True, False])
def test_pixels_and_objects_are_torchvisions_for_the_same_window(ragged: bool) -> None:
    """Its crop of image, boxes and masks; what it zeroes for SanitizeBoundingBoxes to find has left here, every field."""
    batch, images, targets = object_batch(None if ragged else [(60, 80)] * 6)
    crop = RandomIoUCrop()
    sizes = np.array([image.shape[-2:] for image in images])
    windows, inside = crop.draw(
        sizes, u64(batch["seed"]), batch["boxes"].double().numpy(), batch["box_offsets"].numpy()
    )
    out, first, dropped = crop(batch), 0, 0
    for row, (ours, target) in enumerate(zip(to_targets(out), targets, strict=True)):
        count = len(target["boxes"])
        keep = torch.from_numpy(inside[first : first + count])
        first, dropped = first + count, dropped + int((~keep).sum())
        x0, y0, x1, y1 = windows[row].tolist()
        params = {"top": y0, "left": x0, "height": y1 - y0, "width": x1 - x0, "is_within_crop_area": keep}
        reference = v2.RandomIoUCrop()
        assert torch.equal(out["image"][row], reference.transform(tv_tensors.Image(images[row]), params))
        boxes = reference.transform(target["boxes"], params)
        assert ours["boxes"].canvas_size == boxes.canvas_size
        assert torch.equal(ours["boxes"], boxes[keep])
        assert torch.equal(ours["masks"], reference.transform(target["masks"], params)[keep])
        assert torch.equal(ours["labels"], target["labels"][keep])
        assert len(ours["keypoints"]) == len(ours["iscrowd"]) == int(keep.sum())
    assert dropped > 0


def test_without_objects_or_with_an_option_of_one_the_image_stays_whole() -> None:
    """And where no window suits: a box that no window of the shape can hold to nine tenths."""
    whole = [0, 0, SIZE[1], SIZE[0]]
    assert windows_of(RandomIoUCrop(), np.zeros((0, 4)), 20)[0].tolist() == [whole] * 20
    assert windows_of(RandomIoUCrop(options=[1.0]), BOXES, 20)[0].tolist() == [whole] * 20
    tiny = np.array([[3.0, 3, 5, 5]])
    windows, inside = windows_of(RandomIoUCrop(options=[0.9]), tiny, 3)
    assert windows.tolist() == [whole] * 3
    assert inside.all()


def test_a_row_is_cropped_alike_in_any_company() -> None:
    """Its window depends on its boxes, size and seed alone."""
    batch, images, targets = object_batch()
    together = RandomIoUCrop()(batch)
    for row, (image, target) in enumerate(zip(images, targets, strict=True)):
        alone = RandomIoUCrop()(from_targets([image], [target], seeds(len(images))[[row]]))
        assert torch.equal(alone["image"][0], together["image"][row])


def test_a_batch_without_boxes_and_impossible_options_are_refused() -> None:
    """A crop around nothing would be a RandomResizedCrop."""
    with pytest.raises(OptionError, match="no 'boxes' to crop around"):
        RandomIoUCrop()(batch_of(noise(2, 3, 20, 20)))
    for options in ({"scale": (0.5, 1.2)}, {"options": ()}, {"options": [-0.1]}, {"trials": 0}, {"ratio": (2, 1)}):
        with pytest.raises(OptionError, match="RandomIoUCrop: "):
            RandomIoUCrop(**options)


def test_drawn_windows_keep_their_golden_values() -> None:
    """A checkpoint resumed with a newer library sees the same windows."""
    assert windows_of(RandomIoUCrop(), BOXES, 5)[0].tolist() == [
        [0, 0, 90, 60],
        [6, 8, 33, 36],
        [0, 1, 72, 58],
        [37, 7, 88, 57],
        [49, 14, 80, 51],
    ]
