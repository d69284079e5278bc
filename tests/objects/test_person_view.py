"""The person view: picture and body cut from one decoding, moved together; emotions as the annotators gave them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F  # noqa: N812 - as torchvision calls it

import shardstream as ss
from shardstream import transforms as T  # noqa: N812
from shardstream.loaders import decode
from shardstream.loaders.annotate import Annotator
from shardstream.loaders.config import Decode, StreamConfig
from shardstream.loaders.scoring import EmoticResults, score_emotic
from shardstream.shard_writer.types import About, Record, Sample
from shardstream.transforms import DecodePlan

from ..toy_coco import pack_toy_coco
from ..toy_parts import HEIGHT, WIDTH, ToyPartsSource, ToyPartsSplit, toy_part_pixels
from ..toy_people import pack_toy_people, people_key, people_source, toy_people_record
from .part_views import rows_of

COUNT = 30
RECORDS = [toy_people_record(i) for i in range(COUNT)]
PEOPLE = {(people_key(r), p["person"]): (i, p) for i, r in enumerate(RECORDS) for p in r["persons"]}
BODY = (24, 16)  # height, width
U8 = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Planned:
    """A crop drawn by RandomResizedCrop, or the whole squashed, and mirrored rows, all planned before decoding."""

    flips: str = "some"
    crop: bool = True

    def decode_plan(self, keys: list[str], sizes: U8, seeds: U8) -> DecodePlan:
        planner = T.RandomResizedCrop((32, 20), scale=(0.3, 1.0)) if self.crop else T.Resize((32, 20))
        plan = planner.decode_plan(keys, sizes, seeds)
        assert plan is not None
        flip = {"none": seeds > seeds, "all": seeds == seeds, "some": seeds % 3 == 0}[self.flips]
        return replace(plan, flip=flip)

    def __call__(self, batch: ss.Batch) -> ss.Batch:
        return batch


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    return pack_toy_people(tmp_path_factory.mktemp("people") / "out", COUNT)


def persons(ds: ss.ShardDataset, **options: Any) -> list[tuple[int, dict[str, Any], ss.Batch, int]]:
    """(image, person of the record, batch, row) of everyone."""
    batches = ss.Loader(ds, **{"view": "person", "batch_size": 7, "body_size": BODY, **options})
    return [(*PEOPLE[batch["key"][row], int(batch["person_id"][row])], batch, row) for batch, row in rows_of(batches)]


def hwc(image: torch.Tensor) -> U8:
    return image.permute(1, 2, 0).numpy()


def cut_by_pillow(pixels: U8, box: list[int], hw: tuple[int, int], *, mirrored: bool) -> U8:
    """A box cut out, resized by Pillow, and mirrored."""
    part = np.asarray(
        Image.fromarray(pixels).crop((box[0], box[1], box[2], box[3])).resize(hw[::-1], Image.Resampling.BILINEAR)
    )
    return part[:, ::-1] if mirrored else part


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


@dataclass(frozen=True)
class SizedSplit(ToyPartsSplit):
    """Picture i is enlarged 1 + i % 3 times, as JPEG."""

    def read(self, record: Record) -> Sample:
        made, buffer = super().read(record), io.BytesIO()
        picture = Image.fromarray(toy_part_pixels(record.where))
        picture.resize((WIDTH * (1 + record.where % 3), HEIGHT * (1 + record.where % 3))).save(
            buffer, "jpeg", quality=90
        )
        return replace(made, image=buffer.getvalue())


@pytest.fixture(scope="module")
def sized(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    source = people_source({"val": RECORDS})
    one = source.made["val"]
    split = SizedSplit(replace(one.info, image_field="jpg"), one.keys, one.annotations, one.columns_of)
    return replace(source, made={"val": split}).pack(tmp_path_factory.mktemp("sized") / "out", "val")


def test_pictures_without_a_plan_keep_their_sizes_and_bodies_are_all_of_one(sized: ss.ShardDataset) -> None:
    """Ragged contexts; the box is that of the record."""
    ragged = 0
    for image, person, batch, row in persons(sized, decode="exact"):
        ragged += not isinstance(batch["image"], torch.Tensor)
        whole = np.asarray(sized.read(*sized.locate(int(batch["index"][row])))["image"])
        assert whole.shape == (HEIGHT * (1 + image % 3), WIDTH * (1 + image % 3), 3)
        assert np.array_equal(hwc(batch["image"][row]), whole)
        assert np.array_equal(hwc(batch["body"][row]), cut_by_pillow(whole, person["bbox"], BODY, mirrored=False))
        assert batch["box"][row].tolist() == person["bbox"]
    assert ragged > 20


@pytest.mark.parametrize("how", ["fast", "exact"])
@pytest.mark.parametrize("transform", [None, Planned(), Planned(crop=False), T.CenterCrop(16)])
def test_pixels_do_not_depend_on_who_else_is_in_the_batch(sized: ss.ShardDataset, how: Any, transform: Any) -> None:
    """One decoding for all persons of an image gives bit for bit what one for each gives; contexts as in any view."""
    alone, together, images = (
        ss.Loader(sized, batch_size=size, body_size=BODY, view=view, transform=transform, decode=how)
        for view, size in (("person", 1), ("person", len(PEOPLE)), ("image", 1))
    )
    (batch,) = together
    contexts = {int(one["seed"][0]): one["image"][0] for one in images}  # an image's first person has its seed
    for row, one in enumerate(alone):
        assert torch.equal(one["image"][0], batch["image"][row])
        assert torch.equal(one["body"][0], batch["body"][row])
        assert one["key"][0] == batch["key"][row]
        context = contexts.pop(int(one["seed"][0]), None)
        assert context is None or torch.equal(context, one["image"][0])
    assert len(contexts) == sum(not record["persons"] for record in RECORDS)


def test_every_picture_is_decoded_once_a_batch(ds: ss.ShardDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Context and body from one decoding, and those of all persons who stand together."""
    decoded: list[str] = []
    real = decode.decode_image

    def counted(data: bytes, where: str, orientation: int = 1) -> Image.Image:
        decoded.append(where)
        return real(data, where, orientation)

    monkeypatch.setattr(decode, "decode_image", counted)
    for size in (1, 8):
        for batch in ss.Loader(ds, view="person", batch_size=size, transform=Planned()):
            assert len(decoded) == len(set(decoded)) == len({key for key in batch["key"] if key})
            decoded.clear()


def test_records_are_parsed_once_a_batch(ds: ss.ShardDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands in them."""
    parsed: list[tuple[int, int]] = []
    real = ss.ShardDataset.record

    def counted(self: ss.ShardDataset, shard: int, row: int) -> dict[str, Any]:
        parsed.append((shard, row))
        return real(self, shard, row)

    monkeypatch.setattr(ss.ShardDataset, "record", counted)
    (batch,) = ss.Loader(ds, view="person", batch_size=60)
    assert len(parsed) == len(set(parsed)) == len(set(batch["key"]) - {""})


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


def test_real_bodies_are_pillows_and_everyone_is_scored(real_data: Path, tmp_path: Path) -> None:
    """EMOTIC's photos: equal with ``exact``, within a grey level, in rare values two, with ``fast``.

    What the batches of two ranks say of 125 people, given back as a prediction, is without error.
    """
    emotic = real_data / "emotic"
    ss.write("emotic", emotic / "csv_with_images", out=tmp_path / "out", images=str(emotic / "emotic"))
    ds = ss.open(tmp_path / "out", "train")
    expected = {person: cut_by_pillow(*given, (128, 128), mirrored=False) for person, given in photos(ds, emotic)}
    results = EmoticResults(ds)
    ways: tuple[Decode, ...] = ("exact", "fast")
    for rank, how in enumerate(ways):
        transform, world = T.Compose([T.Resize(96), T.CenterCrop(80)]), ss.World(rank, 2)
        for batch in ss.Loader(ds, view="person", batch_size=16, transform=transform, decode=how, world=world):
            results.add(batch, batch["categories"], torch.nan_to_num(batch["vad"], 5.0))
            for _, row in rows_of([batch]):
                body = hwc(batch["body"][row]).astype(int)
                apart = np.abs(body - expected[batch["key"][row], int(batch["person_id"][row])])
                assert apart.max() <= (0 if how == "exact" else 2)
                assert (apart > 1).mean() < 1e-4
    scored = score_emotic(ds, results)
    assert (scored.persons, scored.mean_ap, scored.mean_vad_mae) == (125, 1.0, 0.0)


def photos(ds: ss.ShardDataset, emotic: Path) -> Iterator[tuple[tuple[str, int], tuple[U8, list[int]]]]:
    """Each person's picture as Pillow reads the original file, and box."""
    for place, key in enumerate(ds.index["key"].to_pylist()):
        record = ds.record(*ds.locate(place))
        with Image.open(emotic / "emotic" / record["folder"] / record["file_name"]) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        for person in record["persons"]:
            yield (key, person["person"]), (pixels, person["bbox"])
