"""The person view: picture and body cut from one decoding, moved together; emotions as the annotators gave them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F  # noqa: N812 - as torchvision calls it

import shardstream as ss
from shardstream import transforms as T  # noqa: N812
from shardstream.loaders.annotate import Annotator
from shardstream.loaders.config import StreamConfig
from shardstream.shard_writer.types import About

from ..toy_coco import pack_toy_coco
from ..toy_parts import HEIGHT, WIDTH, ToyPartsSource, toy_part_pixels
from ..toy_people import pack_toy_people, people_source
from .person_rows import BODY, COUNT, PEOPLE, RECORDS, U8, Planned, cut_by_pillow, hwc, persons


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    return pack_toy_people(tmp_path_factory.mktemp("people") / "out", COUNT)


def test_everything_is_as_the_annotators_gave_it(ds: ss.ShardDataset) -> None:
    """Categories as 26 zeros and ones, votes, ratings with NaN kept; boxes in the picture as it is."""
    unrated = 0
    for _, person, batch, row in persons(ds, shuffle=True, drop_last=False):
        assert np.flatnonzero(batch["categories"][row]).tolist() == person["categories"]
        assert batch["categories"][row].sum() == len(person["categories"])
        assert batch["votes"][row].tolist() == person["votes"]
        rating = np.array([np.nan if v is None else v for v in person["vad"]], dtype=np.float32)
        assert np.array_equal(batch["vad"][row].numpy(), rating, equal_nan=True)
        assert batch["box"][row].tolist() == person["bbox"]
        unrated += None in person["vad"]
    assert unrated > 3
    assert None in RECORDS[7]["persons"][2]["vad"][:1], "one of them was rated by nobody"


def test_rows_that_fill_a_batch_hold_nobody(ds: ss.ShardDataset) -> None:
    """The shapes and types of all others, on a rank without anybody too; NaN is no rating."""
    shapes = {"image": (7, 3, 32, 20), "body": (7, 3, *BODY), "categories": (7, 26), "votes": (7, 26), "vad": (7, 3)}
    shapes |= {"box": (7, 4), "person_id": (7,), "flipped": (7,), "crop": (7, 4)}
    first = ds.select([1])
    for rank in range(3):
        (batch,) = ss.Loader(
            first, view="person", batch_size=7, body_size=BODY, transform=Planned(), world=ss.World(rank, 3)
        )
        assert {name: tuple(batch[name].shape) for name in shapes} == shapes
        assert {name: batch[name].dtype for name in ("image", "body", "person_id", "flipped")} == {
            "image": torch.uint8, "body": torch.uint8, "person_id": torch.int64, "flipped": torch.bool
        }  # fmt: skip
        empty = ~batch["valid"]
        assert empty.sum() == (7 if rank < 2 else 6)
        for name in ("image", "body", "categories", "votes", "box", "flipped"):
            assert not batch[name][empty].any()
        assert batch["vad"][empty].isnan().all()
        assert (batch["person_id"][empty] == -1).all()


@pytest.mark.parametrize("flips", ["none", "all", "some"])
@pytest.mark.parametrize("crop", [True, False])
def test_picture_and_body_are_what_pillow_cuts_and_mirrors(ds: ss.ShardDataset, flips: str, crop: bool) -> None:
    """Both from the whole picture, and never flipped apart."""
    found = persons(ds, transform=Planned(flips, crop), shuffle=True, drop_last=False)
    for image, person, batch, row in found:
        pixels, mirrored = toy_part_pixels(image), bool(batch["flipped"][row])
        box = batch["crop"][row].int().tolist()
        assert np.array_equal(hwc(batch["body"][row]), cut_by_pillow(pixels, person["bbox"], BODY, mirrored=mirrored))
        assert np.array_equal(hwc(batch["image"][row]), cut_by_pillow(pixels, box, (32, 20), mirrored=mirrored))
    drawn = {bool(batch["flipped"][row]) for _, _, batch, row in found}
    assert drawn == {"none": {False}, "all": {True}, "some": {False, True}}[flips]


@pytest.mark.parametrize("flips", ["none", "some"])
def test_the_box_moves_as_torchvision_moves_it(ds: ss.ShardDataset, flips: str) -> None:
    """Through crop, resize and mirror; clamped, without area where the person is outside."""
    outside = 0
    for _, person, batch, row in persons(ds, transform=Planned(flips), shuffle=True, drop_last=False):
        left, top, right, bottom = (int(v) for v in batch["crop"][row])
        box = torch.tensor([person["bbox"]], dtype=torch.float64)
        given = tv_tensors.BoundingBoxes(box, format="XYXY", canvas_size=(HEIGHT, WIDTH))
        moved = F.resized_crop(given, top, left, bottom - top, right - left, [32, 20])
        moved = F.clamp_bounding_boxes(F.horizontal_flip(moved) if batch["flipped"][row] else moved)
        assert torch.allclose(batch["box"][row], moved[0].as_subclass(torch.Tensor).float(), atol=1e-4)
        x0, y0, x1, y1 = batch["box"][row].tolist()
        outside += not (x1 > x0 and y1 > y0)
    assert outside > 0


def test_boxes_of_all_objects_follow_a_planned_mirror_too(tmp_path: Path) -> None:
    """A plan that flips mirrors objects, keypoints and polygons as a flip after decoding does."""
    ds = pack_toy_coco(tmp_path / "out", 12)
    plain, flipped = (ss.Loader(ds, batch_size=12, transform=Planned(flips), masks=True) for flips in ("none", "all"))
    for one, other in zip(plain, flipped, strict=True):
        expected = T.RandomHorizontalFlip(1.0)(one)
        assert other["flipped"].all()
        assert len(one["boxes"]) > 20
        assert torch.equal(other["image"], expected["image"])
        for name in ("boxes", "keypoints", "polygon_xy"):
            assert torch.allclose(other[name], expected[name], atol=1e-5)


MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
PRESETS = {
    "train": ss.presets.train((32, 20)),
    "eval": ss.presets.eval(24, (24, 20)),
    "squash": T.Compose([T.Resize((32, 20)), T.RandomHorizontalFlip(), T.Normalize("imagenet")]),
    "padded": ss.presets.cifar_train(32, normalize=(MEAN.tolist(), STD.tolist())),
}


def grey_levels(image: torch.Tensor) -> U8:
    """What was normalised: (H, W, 3)."""
    return hwc(((image * STD[:, None, None] + MEAN[:, None, None]) * 255).round().to(torch.uint8))


@pytest.mark.parametrize("preset", list(PRESETS))
def test_presets_keep_picture_body_and_box_in_step(ds: ss.ShardDataset, preset: str) -> None:
    """Mirrored after decoding, by one draw for all three, and both normalised; the box still frames the person."""
    drawn = set()
    for image, person, batch, row in persons(ds, transform=PRESETS[preset], shuffle=True, drop_last=False, seed=2):
        flipped = bool(batch["flipped"][row])
        drawn.add(flipped)
        body = cut_by_pillow(toy_part_pixels(image), person["bbox"], BODY, mirrored=flipped)
        assert np.array_equal(grey_levels(batch["body"][row]), body)
        if preset in ("train", "squash"):
            left, top, right, bottom = (round(v) for v in batch["crop"][row].tolist())
            picture = cut_by_pillow(toy_part_pixels(image), [left, top, right, bottom], (32, 20), mirrored=flipped)
            assert np.array_equal(grey_levels(batch["image"][row]), picture)
            x0, y0, x1, y1 = person["bbox"]
            step = np.array([20 / (right - left), 32 / (bottom - top)] * 2)
            moved = ((np.array([x0, y0, x1, y1]) - [left, top, left, top]) * step).clip(0, [20, 32, 20, 32])
            moved = moved * [-1, 1, -1, 1] + [20, 0, 20, 0] if flipped else moved
            assert np.allclose(batch["box"][row], moved[[2, 1, 0, 3]] if flipped else moved, atol=1e-4)
    assert drawn == ({False} if preset == "eval" else {False, True})


def test_without_pictures_there_are_persons_still(tmp_path: Path) -> None:
    """No image and no body; everything else, boxes in the pixels that the annotations speak of."""
    ds = pack_toy_people(tmp_path / "out", COUNT, images=False)
    found = persons(ds)
    assert len(found) == len(PEOPLE)
    for _, person, batch, row in found:
        assert {"image", "body", "crop"}.isdisjoint(batch)
        assert batch["box"][row].tolist() == person["bbox"]
        assert batch["votes"][row].tolist() == person["votes"]
    assert ss.Loader(ds, batch_size=COUNT).__iter__().__next__()["persons"]


def test_the_number_of_categories_is_the_manifests(tmp_path: Path) -> None:
    """Not EMOTIC's 26; a set that does not name them is refused."""
    source = people_source({"val": RECORDS})
    about = source.meta
    five = [r | {"persons": [p | {"categories": [4], "votes": [0, 0, 0, 0, 3]} for p in r["persons"]]} for r in RECORDS]
    few = people_source({"val": five}).made
    named = ToyPartsSource(About(name="few", licence="CC0-1.0", classes={"person_labels": tuple("abcde")}), few)
    for batch in ss.Loader(named.pack(tmp_path / "few", "val"), view="person", batch_size=8):
        assert batch["categories"].shape == batch["votes"].shape == (8, 5)
    bare = named.pack(tmp_path / "bare", "val")
    bare.info = replace(bare.info, fields={"png": "image"})
    with pytest.raises(ss.OptionError, match=r"needs the samples' JSON, and split 'val' has only the fields png"):
        Annotator.of(bare, StreamConfig(view="person"))
    unnamed = replace(source, meta=replace(about, classes={"labels": about.classes["labels"]}))
    with pytest.raises(ss.OptionError, match=r"has none for 'person_labels', only for labels"):
        ss.Loader(unnamed.pack(tmp_path / "unnamed", "val"), view="person")


def test_what_would_part_body_and_picture_is_refused(ds: ss.ShardDataset) -> None:
    """Functions of one picture, pictures turned upright, and geometry that leaves the box behind."""
    for view in ("person", "person:first"):
        with pytest.raises(ss.OptionError, match=r"could turn it away from its body"):
            ss.Loader(ds, view=view, sample_transform=lambda image: image)
    with pytest.raises(ss.OptionError, match=r"could turn it away from its body"):
        ss.Loader(ds.with_transform(lambda rows: rows), view="person")
    assert next(iter(ss.Loader(ds, view="person:all", sample_transform=lambda _: torch.zeros(3))))["persons"]
    with pytest.raises(ss.OptionError, match=r"away from their boxes, which are in stored pixels"):
        ss.open(ds.store.url, exif="apply")
    for size in ((0, 8), (8,), (-1, 4)):
        with pytest.raises(ss.OptionError, match=r"body_size \(.*\) is not \(height, width\), each at least 1"):
            ss.Loader(ds, view="person", body_size=size)  # type: ignore[arg-type]
