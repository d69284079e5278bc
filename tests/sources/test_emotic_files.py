"""Where EMOTIC's files may lie, which form is read, and what the CSV form may look like."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

import shardstream as ss
from shardstream.shard_writer.sources import SourceOptions, open_source

from ..helpers import tree
from .emotic_files import add_pictures, image, mat_bytes, person, row, write_csv, write_mat
from .test_emotic import opened, samples

IMAGES = [image("a.jpg", person()), image("b.jpg", person((1, 1, 9, 9)), folder="framesdb/images")]


def placed(root: Path, mat: str, pictures: str) -> Path:
    """Annotations and pictures of ``IMAGES`` in these folders."""
    (root / mat).parent.mkdir(parents=True, exist_ok=True)
    (root / mat).write_bytes(mat_bytes(train=IMAGES))
    add_pictures(root / pictures, IMAGES)
    return root


@pytest.mark.parametrize(
    ("mat", "pictures"),
    [
        ("Annotations/Annotations.mat", "emotic"),
        ("Annotations.mat", ""),
        ("annotations/CVPR17_Annotations.mat", "emotic"),
        ("PAMI/annotations.mat", "PAMI/emotic"),
    ],
)
def test_every_layout_of_the_download_gives_the_same_bytes(tmp_path: Path, mat: str, pictures: str) -> None:
    """Pictures are found below any folder, by their own folder and name."""
    ss.write("emotic", placed(tmp_path / "plain", "Annotations.mat", "emotic"), out=tmp_path / "plain-out")
    ss.write("emotic", placed(tmp_path / "other", mat, pictures), out=tmp_path / "out")
    plain = {name: data for name, data in tree(tmp_path / "plain-out").items() if name != "dataset.json"}
    assert {name: data for name, data in tree(tmp_path / "out").items() if name != "dataset.json"} == plain


def test_pictures_may_lie_elsewhere_or_in_a_zip(tmp_path: Path) -> None:
    """``images=``, and the downloaded emotic.zip as it is."""
    together = samples(write_mat(tmp_path / "together", train=IMAGES), "train")
    write_mat(tmp_path / "apart", train=[])
    (tmp_path / "apart/Annotations.mat").write_bytes(mat_bytes(train=IMAGES))
    add_pictures(tmp_path / "pictures", IMAGES)
    assert samples(tmp_path / "apart", "train", images=str(tmp_path / "pictures")) == together
    with zipfile.ZipFile(tmp_path / "apart/emotic.zip", "w") as archive:
        for file in (tmp_path / "pictures").rglob("*.jpg"):
            archive.write(file, f"emotic/{file.relative_to(tmp_path / 'pictures')}")
    assert samples(tmp_path / "apart", "train") == together


def test_the_mat_is_read_where_csv_files_lie_beside_it(tmp_path: Path) -> None:
    """The published converter writes them there; their folder alone gives the CSV form."""
    folder = write_mat(tmp_path, train=IMAGES)
    write_csv(tmp_path / "emotic_pre", train=[row(image("a.jpg", person((3, 3, 9, 9))))])
    source = opened(folder)
    assert len(source.split("train").records()) == 2
    note = "emotic_pre/train.csv: not read, since Annotations.mat is there and knows more"
    assert note in source.about().notes
    assert {"val: not in Annotations.mat", "test: not in Annotations.mat"} <= set(source.about().notes)
    assert list(source.about().identity) == ["Annotations.mat", "images of train"]
    assert list(samples(tmp_path / "emotic_pre", "train", images=str(folder))) == ["mscoco/images/a"]


def test_rows_of_one_image_need_not_be_adjacent(tmp_path: Path) -> None:
    """Images by first appearance, persons in the order of the rows."""
    rows = [
        row(image("a.jpg", person((2, 3, 12, 18))), 0),
        row(image("b.jpg", person((1, 1, 4, 4))), 1),
        row(image("a.jpg", person((5, 5, 9, 9))), 2),
    ]
    found = samples(write_csv(tmp_path, val=rows), "val")
    assert list(found) == ["mscoco/images/a", "mscoco/images/b"]
    assert [p["bbox"] for p in found["mscoco/images/a"].annotations["persons"]] == [[1, 2, 12, 18], [4, 4, 9, 9]]
    assert [p["person"] for p in found["mscoco/images/a"].annotations["persons"]] == [0, 1]


def test_one_file_name_in_two_folders_and_two_splits_is_four_images(tmp_path: Path) -> None:
    """Keyed by the name alone, their persons would be joined."""
    here, there = image("a.jpg", person()), image("a.jpg", person((5, 5, 9, 9)), folder="ade20k/images")
    folder = write_mat(tmp_path, train=[here, there], val=[here, there])
    for split in ("train", "val"):
        found = samples(folder, split)
        assert list(found) == ["mscoco/images/a", "ade20k/images/a"]
        assert [len(s.annotations["persons"]) for s in found.values()] == [1, 1]
        assert len({s.image for s in found.values()}) == 2
    note = "2 images stand in train and in val, kept in both, such as mscoco/images/a.jpg"
    assert note in opened(folder).about().notes


def test_names_with_dots_and_other_extensions_become_keys(tmp_path: Path) -> None:
    """Unique and without dots; a PNG called jpg keeps its bytes."""
    names = ("x.y.jpg", "x_y.jpg", "x.y.png")
    folder = write_mat(tmp_path, train=[image(name, person()) for name in names])
    found = samples(folder, "train")
    assert [s.annotations["file_name"] for s in found.values()] == list(names)
    assert len(found) == 3
    assert not [key for key in found if "." in key]
    for sample in found.values():
        assert sample.image == (folder / "mscoco/images" / sample.annotations["file_name"]).read_bytes()


def test_a_csv_of_a_header_alone_is_no_split(tmp_path: Path) -> None:
    """As in the real csv_with_images; a note says so."""
    folder = write_csv(tmp_path, train=[row(IMAGES[0])], test=[])
    assert opened(folder).splits() == ("train",)
    assert "test: left out, it holds no image" in opened(folder).about().notes
    with pytest.raises(ss.SourceError, match=r"test\.csv: no split holds an image"):
        opened(write_csv(tmp_path / "empty", test=[])).splits()


def test_nan_and_fractions_are_read_from_a_csv(tmp_path: Path) -> None:
    """A converter that does not leave NaN out prints ``nan``; a BOM and blank lines come from spreadsheets."""
    rows = [
        row(IMAGES[0], BBox="[2.5, 3, 12.0, 18]", Continuous_Labels="[6, nan, 7.5]", Categorical_Labels="[]", Gender="")
    ]
    folder = write_csv(tmp_path, train=rows)
    data = (folder / "train.csv").read_bytes()
    (folder / "train.csv").write_bytes(b"\xef\xbb\xbf" + data + b"\r\n")
    (sample,) = samples(folder, "train").values()
    made = sample.annotations["persons"][0]
    assert (made["body_bbox"], made["bbox"]) == ([2.5, 3.0, 12.0, 18.0], [1, 2, 12, 18])
    assert (made["vad"], made["categories"], made["gender"]) == ([6.0, None, 7.5], [], None)


def test_a_split_is_packed_where_pictures_of_another_are_missing(tmp_path: Path) -> None:
    """Only what is packed must be there."""
    folder = write_csv(tmp_path, train=[row(IMAGES[0])], val=[row(IMAGES[1])])
    (folder / "framesdb/images/b.jpg").unlink()
    ss.write("emotic", folder, out=tmp_path / "out", split="train")
    assert len(ss.open(tmp_path / "out")) == 1
    with pytest.raises(ss.SourceError, match=r"1 of the 1 images of val are not there: framesdb/images/b\.jpg"):
        ss.write("emotic", folder, out=tmp_path / "both")


def test_options_that_contradict_or_do_not_apply_are_refused(tmp_path: Path) -> None:
    """Ignored, they would be lost silently."""
    given: dict[str, Any] = {"images": "/x", "no_images": True}
    with pytest.raises(ss.OptionError, match="images='/x' and no_images=True contradict each other"):
        opened(tmp_path, **given)
    with pytest.raises(ss.OptionError, match="encode='png' does not apply"):
        opened(tmp_path, encode="png")
    with pytest.raises(ss.OptionError, match="emotic needs an address"):
        open_source("emotic")
    with pytest.raises(ss.OptionError, match="coco: images is an option of emotic, not of coco"):
        open_source("coco", "/x", SourceOptions(images="/x"))
