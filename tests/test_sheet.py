"""The contact sheet shows what a preset feeds, with the boxes where they went."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import shardstream as ss
from shardstream.cli import main
from shardstream.cli.drawing.palette import PALETTE
from shardstream.cli.sheet import PRESETS, Tile, _marks, _picture, draw_sheet, sample_tiles, to_look_at
from shardstream.cli.sheet_items import item_caption
from shardstream.transforms import Compose, Normalize, RandomCrop, RandomErasing

from .toy_coco import pack_toy_coco

OBJECTS = ("none", "train", "eval", "detection_train", "detection_lsj", "detection_eval", "vqa")
CLASSES = ("train", "cifar_train", "cifar_randaugment", "imagenet_v1", "imagenet_v2", "emotic")


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    return pack_toy_coco(tmp_path_factory.mktemp("sheet") / "coco", 12)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images of CIFAR's size in three class folders."""
    root = tmp_path_factory.mktemp("sheet")
    for number in range(12):
        folder = root / "in" / "abc"[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    ss.write("folder", root / "in", out=root / "out")
    return root / "out"


@pytest.fixture
def toy(packed: Path) -> ss.ShardDataset:
    return ss.open(packed)


@pytest.mark.parametrize("preset", OBJECTS)
def test_every_preset_draws_a_set_with_objects(coco: ss.ShardDataset, preset: str) -> None:
    """As many tiles as asked for, with boxes on those that have objects."""
    tiles = sample_tiles(coco, 8, preset=preset)
    assert len(tiles) == 8
    assert any(tile.boxes for tile in tiles)
    assert np.asarray(draw_sheet(tiles)).std() > 20


@pytest.mark.parametrize("preset", CLASSES)
def test_every_preset_draws_a_set_with_classes(toy: ss.ShardDataset, preset: str) -> None:
    """Normalised by nothing, so that it can be looked at; what comes after Normalize is there."""
    tiles = sample_tiles(toy, 8, preset=preset)
    assert len(tiles) == 8
    assert np.asarray(draw_sheet(tiles)).std() > 20
    assert any("+" in tile.caption for tile in tiles) == (preset == "imagenet_v2")


def test_the_command_knows_every_preset(packed: Path, tmp_path: Path) -> None:
    """By name, and a wrong name is a wrong command line."""
    assert {*OBJECTS, *CLASSES} <= {"none", *PRESETS}
    out = tmp_path / "aug.png"
    assert main(["sheet", str(packed), "--preset", "imagenet_v2", "--count", "6", "--out", str(out)]) == 0
    with Image.open(out) as page:
        assert np.asarray(page).std() > 20
    with pytest.raises(SystemExit):
        main(["sheet", str(packed), "--preset", "imagenet_v3", "--out", str(out)])


def test_a_box_is_drawn_where_it_is_in_its_classs_colour() -> None:
    """Left, top, right and bottom lines on the tile's own scale, nothing of it inside or outside."""
    grey = Image.new("RGB", (100, 50), (128, 128, 128))
    page = np.asarray(draw_sheet([Tile(grey, "", [((20.0, 10.0, 60.0, 40.0), PALETTE[1])])], width=206))
    lit = (page == PALETTE[1]).all(-1)
    rows, columns = np.flatnonzero(lit.any(1)), np.flatnonzero(lit.any(0))
    top = 6 + (200 - 100) // 2  # the margin, and the tile of 200 x 100 in the middle of its cell
    assert (columns[0], columns[-1]) == (6 + 40, 6 + 119)
    assert (rows[0], rows[-1]) == (top + 20, top + 79)
    assert not lit[rows[0] + 2 : rows[-1] - 1, columns[0] + 2 : columns[-1] - 1].any()


def test_floats_are_shown_as_the_bytes_they_were() -> None:
    """0..1 and back is exact; what is erased after Normalize is black here."""
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(2, 3, 1, 1)
    transform = to_look_at(Compose([RandomCrop(16, 0), Normalize("dataset"), RandomErasing(1.0)], fuse=False))
    assert transform.fuse is False
    batch = transform({"image": images, "seed": torch.tensor([1, 2])})
    shown = torch.from_numpy(np.array(_picture(batch, 0))).permute(2, 0, 1)
    assert ((shown == images[0]) | (shown == 0)).all()
    assert (shown != images[0]).any()


def test_a_person_is_shown_beside_the_picture_with_its_box() -> None:
    """The body crop at the right, as high as the picture."""
    batch: dict[str, Any] = {
        "image": torch.zeros((1, 3, 40, 60), dtype=torch.uint8),
        "body": torch.full((1, 3, 20, 10), 255, dtype=torch.uint8),
        "box": torch.tensor([[1.0, 2, 30, 40]]),
    }
    picture = np.asarray(_picture(batch, 0))
    assert picture.shape == (40, 80, 3)
    assert not picture[:, :60].any()
    assert picture[:, 60:].min() == 255
    assert [box for box, _ in _marks(batch, 0)] == [(1.0, 2.0, 30.0, 40.0)]


def test_a_mixed_image_names_both_classes_with_their_shares(toy: ss.ShardDataset) -> None:
    """Largest first; a class without a share is not named, a fill label is the key."""
    batch = {"key": ["a/b", "c"], "label": torch.tensor([[0.25, 0.75, 0], [1.0, 0, 0]])}
    assert item_caption(toy, batch, 0) == f"{toy.classes[1]} 0.75 + {toy.classes[0]} 0.25"
    assert item_caption(toy, batch, 1) == f"{toy.classes[0]} 1.00"
    assert item_caption(toy, {"key": ["a/b"], "label": torch.tensor([-100])}, 0) == "b"
