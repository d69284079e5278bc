"""``shardstream show``: what is drawn lies where the annotations say, and any sample can be found and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as official

import shardstream as ss
from shardstream.cli import main
from shardstream.cli.drawing.canvas import Canvas
from shardstream.cli.drawing.figure import figure
from shardstream.cli.drawing.frames import free_place
from shardstream.cli.drawing.objects import LIMBS, draw_objects
from shardstream.cli.drawing.palette import class_colours
from shardstream.cli.show import find_row

from .toy import pack_toy
from .toy_coco import pack_toy_coco

GREY = 128


def item(**changes: Any) -> dict[str, Any]:
    """A grey picture of 320x240 with one object and nothing else."""
    one = {
        "id": 1, "category_id": 3, "label": 1, "bbox": [40, 60, 120, 100], "area": 6000.0, "iscrowd": 0,
        "polygons": [[40, 60, 160, 60, 160, 160]], "rle": None, "keypoints": [], "num_keypoints": None,
    }  # fmt: skip
    return {"image": Image.new("RGB", (320, 240), (GREY,) * 3), "key": "k", "objects": [one | changes]}


def drawn(sample: dict[str, Any]) -> np.ndarray:
    """The canvas, 4 pixels to a pixel."""
    canvas = Canvas(sample["image"])
    draw_objects(canvas, sample)
    return np.asarray(canvas.picture).astype(int)


@pytest.mark.parametrize("form", ["polygons", "rle"])
def test_a_mask_is_filled_where_the_official_mask_is(form: str) -> None:
    """The class's colour is mixed into the inside, outside nothing changes; over 95 % agreement."""
    sample = item()
    one = sample["objects"][0]
    truth = official.decode(official.frPyObjects(one["polygons"], 240, 320))[:, :, 0].astype(bool)
    if form == "rle":
        rle: Any = official.encode(np.asfortranarray(truth.astype(np.uint8)))
        one |= {"polygons": [], "rle": {"size": [240, 320], "counts": [], "compressed": rle["counts"].decode()}}
    picture = drawn(sample)
    colour = np.array(class_colours([1])[1])
    expected = GREY + 0.42 * (colour - GREY)
    assert np.abs(picture[400, 560] - expected).max() <= 2
    inside = (picture[2::4, 2::4] != GREY).any(2)
    clear = np.ones((240, 320), dtype=bool)
    clear[50:64] = clear[156:170] = False  # tag, box lines
    clear[:, 36:44] = clear[:, 156:164] = False
    both, either = (inside & truth)[clear].sum(), (inside | truth)[clear].sum()
    assert both / either > 0.95
    assert (picture[700:] == GREY).all()
    assert (picture[:, 800:] == GREY).all()


def test_limbs_join_labelled_points_only() -> None:
    """A point that is not labelled draws nothing, though it lies at (0, 0)."""
    points = np.zeros((17, 3))
    points[5], points[7] = (100, 100, 2), (200, 200, 2)
    picture = drawn(item(polygons=[], bbox=[0, 0, 0, 0], keypoints=points.ravel().tolist(), num_keypoints=2))
    assert (7 - 2, 7) in LIMBS
    assert not (picture[150 * 4 + 2, 150 * 4 + 2] == GREY).all()
    assert (picture[300:390, 60:380] == GREY).all()
    changed = (picture != GREY).any(2)
    assert not changed[850:].any()


def test_crowds_are_dashed_and_said_to_be_crowds(tmp_path: Path) -> None:
    """A box line with gaps, and hatching."""
    rle = {"size": [240, 320], "counts": [80 * 240, 40 * 240, 200 * 240], "compressed": None}
    solid, dashed = drawn(item(polygons=[])), drawn(item(polygons=[], iscrowd=1))
    line = slice(60 * 4 - 2, 60 * 4 + 2), slice(170 * 0 + 100 * 4, 160 * 4)
    assert (solid[line] == GREY).sum() < (dashed[line] == GREY).sum()
    hatched = drawn(item(polygons=[], rle=rle, iscrowd=1))[100 * 4 : 110 * 4, 90 * 4 : 100 * 4]
    assert len(np.unique(hatched.reshape(-1, 3), axis=0)) > 1


@settings(max_examples=200, deadline=None)
@given(
    st.tuples(st.floats(-500, 2000), st.floats(-500, 2000), st.floats(-500, 2000)),
    st.tuples(st.floats(5, 600), st.just(28.0)),
    st.lists(st.tuples(st.floats(0, 1200), st.floats(0, 900)), max_size=5),
)
def test_a_tag_never_leaves_the_canvas(box: Any, size: Any, others: Any) -> None:
    """Wherever its box lies; and it avoids the others where there is room."""
    taken = [(x, y, x + 60, y + 28) for x, y in others]
    x0, y0, x1, y1 = free_place((1280, 960), box, size, taken)
    assert 0 <= x0 <= x1 < 1280
    assert 0 <= y0 <= y1 < 960


def test_tags_of_objects_at_one_place_do_not_cover_each_other() -> None:
    """Four at the same corner."""
    taken: list[Any] = []
    for _ in range(4):
        taken.append(free_place((1280, 960), (100, 100, 400), (80, 28), taken))
    assert len({place[1] for place in taken}) == 4


def test_a_sample_is_found_by_key_and_by_row(tmp_path: Path) -> None:
    """A key of digits is a key first."""
    ds = pack_toy_coco(tmp_path / "out", 12)
    keys = ds.index["key"].to_pylist()
    assert find_row(ds, "000005") == keys.index("000005")
    assert find_row(ds, "3") == 3
    assert find_row(ds, "12") is None
    assert find_row(ds, "nothing") is None


def test_every_sample_of_any_dataset_can_be_drawn(tmp_path: Path) -> None:
    """Objects, captions, nothing at all, text that the font lacks."""
    ds = pack_toy_coco(tmp_path / "out", 8)
    for sample in ds:
        assert figure(sample, "title").width >= 1280
    strange = {**item(), "captions": [{"id": 1, "caption": "猫 \ud800 \x00\n" + "w" * 500}], "objects": []}
    assert figure(strange, "猫" * 300).height > 1000
    tiny = figure({"image": Image.new("L", (8, 8), 200), "key": "d", "label": 3, "label_name": "three"}, "digit")
    assert tiny.width > 1000


def test_the_command_draws_a_file_and_says_what(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By key into the current folder, by row into a file; an unknown sample names its neighbours."""
    monkeypatch.chdir(tmp_path)
    pack_toy_coco(tmp_path / "out", 8)
    assert main(["show", "out", "000005"]) == 0
    assert "objects" not in capsys.readouterr().err
    with Image.open(tmp_path / "000005.png") as picture:
        assert picture.size[0] > 1000
    assert main(["show", "out", "2", "--out", "two.png"]) == 0
    assert "two.png" in capsys.readouterr().out
    with Image.open(tmp_path / "two.png") as picture:
        assert picture.format == "PNG"
    assert main(["show", "out", "00005"]) == 1
    assert "is no key and no row of train2017" in capsys.readouterr().err
    pack_toy(tmp_path / "toy", 5)
    assert main(["show", "toy", "4", "--out", "toy.png"]) == 0
    assert "train row 4" in capsys.readouterr().out


def test_a_real_crowded_picture_is_drawn(real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Persons, a crowd and captions of COCO."""
    ss.write("coco", real_data / "coco/COCO-MINI", out=tmp_path / "out", split="val2017")
    assert main(["show", str(tmp_path / "out"), "000000217285", "--out", str(tmp_path / "a.png")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "14 person, 9 chair, 1 baseball bat, 1 baseball glove; 5 captions" in said
