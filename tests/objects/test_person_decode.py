"""One decoding for the picture, all its bodies and all rows that show it, and the same pixels as one for each."""

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

import shardstream as ss
from shardstream import transforms as T  # noqa: N812
from shardstream.loaders.config import Decode
from shardstream.loaders.scoring import EmoticResults, score_emotic
from shardstream.shard_writer.types import Record, Sample

from ..toy_parts import HEIGHT, WIDTH, ToyPartsSplit, toy_part_pixels
from ..toy_people import pack_toy_people, people_source
from .part_views import decoded_pictures, rows_of
from .person_rows import BODY, COUNT, PEOPLE, RECORDS, U8, Planned, cut_by_pillow, hwc, persons


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    return pack_toy_people(tmp_path_factory.mktemp("people") / "out", COUNT)


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
    decoded = decoded_pictures(monkeypatch)
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
