"""EMOTIC files that are damaged, of another dataset or contradict themselves: a clear error, nothing written."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

import shardstream as ss

from .coco_files import picture
from .emotic_files import SIZE, Wrapping, cells, csv_bytes, image, mat_bytes, person, row, structs, write_csv, write_mat
from .test_emotic import opened, samples

GOOD = image("a.jpg", person())


def refused(folder: Path, message: str) -> None:
    """``write`` raises SourceError with this message and leaves nothing behind."""
    with pytest.raises(ss.SourceError, match=message):
        ss.write("emotic", folder, out=folder / "out")
    assert not (folder / "out").exists() or not list((folder / "out").rglob("*.json"))


def mat(folder: Path, variables: dict[str, Any]) -> Path:
    savemat(folder / "Annotations.mat", variables)
    return folder


OTHER_MATS: list[tuple[str, Callable[[], dict[str, Any]], str]] = [
    (
        "synsets",
        lambda: {"synsets": structs([{"WNID": "n1"}])},
        r"Annotations\.mat holds synsets; EMOTIC's .* another d",
    ),
    ("numbers", lambda: {"train": np.eye(3)}, r"train is ndarray of float64, not structs"),
    ("text", lambda: {"train": "abc"}, r"train is ndarray of <U3, not structs"),
    (
        "other structs",
        lambda: {"train": structs([{"filename": "a.jpg", "joints": 3.0}])},
        r"train, element 1 has no field folder, image_size, person, but filename, joints: not EMOTIC's",
    ),
    (
        "no categories",
        lambda: {"train": structs([{**element(), "person": structs([{"body_bbox": np.ones(4)}])}])},
        r"train, mscoco/images/a\.jpg, person 0 has no field annotations_categories, annotations_continuous",
    ),
    (
        "a size without names",
        lambda: {"train": structs([{**element(), "image_size": np.array([[30, 20]])}])},
        r"image_size is ndarray of int64, not structs",
    ),
    (
        "two names",
        lambda: {"train": structs([{**element(), "filename": cells(["a.jpg", "b.jpg"])}])},
        r"element 1: filename holds 2 texts, expected one",
    ),
    (
        "an absolute folder",
        lambda: {"train": structs([{**element(), "folder": "/etc"}])},
        r"folder '/etc' and file 'a\.jpg' are no path below the image root",
    ),
    (
        "a folder above",
        lambda: {"train": structs([{**element(), "folder": "../x"}])},
        r"folder '\.\./x' and file 'a\.jpg' are no path below the image root",
    ),
    (
        "a name without extension",
        lambda: {"train": structs([{**element(), "filename": "a"}])},
        r"file 'a' are no path below",
    ),
    (
        "half a pixel",
        lambda: {"train": structs([{**element(), "image_size": structs([{"n_col": 30.5, "n_row": 20.0}])}])},
        r"a\.jpg: n_col is 30\.5 pixels; it must be a whole number from 1 on",
    ),
]


def element() -> dict[str, Any]:
    return Wrapping().image(GOOD)


@pytest.mark.parametrize(("made", "message"), [case[1:] for case in OTHER_MATS], ids=[case[0] for case in OTHER_MATS])
def test_a_mat_of_another_dataset_is_named(tmp_path: Path, made: Callable[[], dict[str, Any]], message: str) -> None:
    """With the file, the image and the field."""
    refused(mat(tmp_path, made()), message)


BAD_PERSONS: list[tuple[str, dict[str, Any], str]] = [
    (
        "an unknown category",
        person((1, 2, 3, 4), (["Peace", "Joy"], [5.0, 5.0, 5.0])),
        r"person 0: category 'Joy' is not",
    ),
    (
        "rating 0",
        person((1, 2, 3, 4), (["Peace"], [0.0, 5.0, 5.0])),
        r"are \[0\.0, 5\.0, 5\.0\] .* the scale is 1 to 10",
    ),
    ("rating 10.5", person((1, 2, 3, 4), (["Peace"], [5.0, 5.0, 10.5])), r"the scale is 1 to 10"),
    ("infinity", person((1, 2, 3, 4), (["Peace"], [5.0, 5.0, float("inf")])), r"the scale is 1 to 10"),
    ("a box of three", person((1, 2, 3)), r"a\.jpg, person 0: the box is \[1\.0, 2\.0, 3\.0\], not x1, y1, x2, y2"),
    ("a box of NaN", person((1, 2, 3, float("nan"))), r"the box is \[1\.0, 2\.0, 3\.0, nan\]"),
]


@pytest.mark.parametrize(("bad", "message"), [case[1:] for case in BAD_PERSONS], ids=[case[0] for case in BAD_PERSONS])
def test_persons_that_no_reader_could_use_are_named(tmp_path: Path, bad: dict[str, Any], message: str) -> None:
    """Split, image, person and the value."""
    refused(write_mat(tmp_path, train=[image("a.jpg", bad)]), message)


BAD_ROWS: list[tuple[str, dict[str, Any], str]] = [
    ("a broken list", {"Categorical_Labels": "['Peace', 'Ang"}, r"train\.csv, line 3: Categorical_Labels is .* Cut short\?"),
    ("a word", {"Categorical_Labels": "Peace"}, r"Categorical_Labels is 'Peace', not a list as Python writes it"),
    ("code", {"BBox": "[__import__('os').getpid(), 1, 2, 3]"}, r"line 3: BBox is .* not a list as Python writes it"),
    ("a text", {"BBox": "'1234'"}, r"line 3: BBox is .* not a list as Python writes it\."),
    ("numbers as labels", {"Categorical_Labels": "[1, 2]"}, r"Categorical_Labels is '\[1, 2\]', not a list of names"),
    ("a box of three", {"BBox": "[1, 2, 3]"}, r"line 3: BBox is '\[1, 2, 3\]', not a list of 4 numbers"),
    ("a box of texts", {"BBox": "[1, 2, 3, '4']"}, r"line 3: BBox is .* not a list of 4 numbers"),
    ("true", {"BBox": "[1, 2, 3, True]"}, r"line 3: BBox is .* not a list of 4 numbers"),
    ("a huge number", {"BBox": f"[1, 2, 3, {'9' * 400}]"}, r"line 3: the box is .*inf"),
    ("two ratings", {"Continuous_Labels": "[5, 5]"}, r"Continuous_Labels is '\[5, 5\]', not a list of 3 numbers"),
    ("rating 11", {"Continuous_Labels": "[5, 5, 11]"}, r"line 3: valence, arousal, dominance are .* 1 to 10"),
    ("an unknown category", {"Categorical_Labels": "['Joy']"}, r"line 3: category 'Joy' is not one of EMOTIC's 26"),
    ("a size of zero", {"Image Size": "[0, 20]"}, r"line 3: width is 0 pixels"),
    ("no folder", {"Folder": "mscoco//images"}, r"line 3: folder 'mscoco//images' and file"),
    ("a cut word", {"Age": "Adul"}, r"line 3: Age is 'Adul', not one of Kid, Teenager, Adult\. Cut short\?"),
    ("another size", {"Filename": "a.jpg", "Image Size": "[20, 30]"}, r"line 3: .*a\.jpg is 20x30, train\.csv, line 2 says"),
    ("depth", {"BBox": "[" * 3000 + "]" * 3000}, r"line 3: BBox is .* not a list as Python writes it"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), [case[1:] for case in BAD_ROWS], ids=[case[0] for case in BAD_ROWS])
def test_rows_that_cannot_be_read_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """With file and line; nothing in them is evaluated."""
    write_csv(tmp_path, train=[row(GOOD), row(image("b.jpg", person()))])
    (tmp_path / "train.csv").write_bytes(csv_bytes([row(GOOD), row(image("b.jpg", person()), 1, **changes)]))
    refused(tmp_path, message)


def test_other_columns_and_cut_files_are_named(tmp_path: Path) -> None:
    """A CSV of something else; too few fields; too many; an open quote; bytes that are no text."""
    whole = csv_bytes([row(GOOD)])
    for data, message in (
        (b"id,label\n1,cat\n", r"train\.csv has columns id, label; EMOTIC's CSV has Index, Folder"),
        (b"", r"train\.csv has columns none"),
        (whole.replace(b"Gender,", b"Sex,"), r"has columns .*Sex.*; EMOTIC's CSV has"),
        (whole[: whole.rindex(b",")], r"train\.csv, line 2 has 8 fields, the header 9\. Cut short\?"),
        (whole.rstrip() + b",x\r\n", r"line 2 has 10 fields, the header 9"),
        (whole[: whole.rindex(b'"')], r"train\.csv is no CSV that can be read: .* Cut short\?"),
        (whole + b"\xff\xfe", r"train\.csv is no CSV that can be read"),
    ):
        (tmp_path / "train.csv").write_bytes(data)
        refused(tmp_path, message)


def test_a_damaged_mat_is_named(tmp_path: Path) -> None:
    """Cut at any place, or with any byte changed: read whole or refused, never another error."""
    whole = mat_bytes(train=[GOOD, image("b.jpg", person())])
    good = [
        s.annotations
        for s in samples(write_mat(tmp_path / "good", train=[GOOD, image("b.jpg", person())]), "train").values()
    ]
    rng = np.random.default_rng(0)
    changed = [whole[:size] for size in range(0, len(whole), 7)]
    for place in (*range(110, 150), *rng.integers(0, len(whole), 150)):
        changed.append(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
    outcomes = set()
    for data in changed:
        (tmp_path / "good/Annotations.mat").write_bytes(data)
        try:
            found = [s.annotations for s in samples(tmp_path / "good", "train").values()]
        except ss.SourceError as error:
            outcomes.add("refused" if "Annotations.mat" in str(error) else str(error))
        else:
            outcomes.add("whole" if found == good else "other persons")  # whole: a byte of the header's text
    assert outcomes == {"refused", "whole"}


def test_damaged_bytes_never_reach_scipy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its C code can crash the process over them: lengths and checksums are compared first."""
    folder, calls = write_mat(tmp_path, train=[GOOD]), []
    whole = (folder / "Annotations.mat").read_bytes()
    monkeypatch.setattr("scipy.io.loadmat", lambda *a, **_: calls.append(a) or {})
    for data, message in (
        (
            whole[:-1],
            r"Annotations\.mat is cut short: a variable ends at byte [\d,]+, the file at [\d,]+\. Load it again",
        ),
        (whole[:-1] + b"\0", r"Annotations\.mat is damaged near byte 128: .* Load it again"),
        (whole[:200] + b"\0" + whole[201:], r"Annotations\.mat is damaged near byte 128"),
        (whole + b"\x0e\0\0", r"Annotations\.mat is cut short"),
    ):
        (folder / "Annotations.mat").write_bytes(data)
        refused(folder, message)
    assert not calls


def test_a_mat_of_version_7_3_is_named(tmp_path: Path) -> None:
    """HDF5, which SciPy does not read: say how to save it."""
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124, b" ") + b"\x00\x02IM"
    (tmp_path / "Annotations.mat").write_bytes(header + bytes(400))
    refused(tmp_path, r"Annotations\.mat is saved as -v7\.3 \(HDF5\); in MATLAB, save it with '-v7'")


def test_scipy_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CSV form does without."""
    folder = write_mat(tmp_path, train=[GOOD])
    monkeypatch.setitem(__import__("sys").modules, "scipy.io", None)
    with pytest.raises(ss.MissingExtra, match=r"pip install 'shardstream\[emotic\]'"):
        opened(folder).splits()
    assert len(samples(write_csv(tmp_path / "csv", train=[row(GOOD)]), "train")) == 1


def test_folders_that_hold_no_emotic_are_named(tmp_path: Path) -> None:
    """Nothing there, another name, two of a kind, a split that is not there."""
    refused(tmp_path, r"neither Annotations\.mat nor train\.csv, val\.csv or test\.csv is there; it holds nothing")
    (tmp_path / "emotic.mat").write_bytes(mat_bytes(train=[GOOD]))
    refused(tmp_path, r"is there; it holds emotic\.mat")
    write_mat(tmp_path, train=[GOOD])
    with pytest.raises(ss.SourceError, match=r"split 'val' is not there; there are train"):
        opened(tmp_path).split("val")
    (tmp_path / "old").mkdir()
    (tmp_path / "old/CVPR17_Annotations.mat").write_bytes(mat_bytes(train=[GOOD]))
    refused(tmp_path, r"Annotations\.mat and old/CVPR17_Annotations\.mat are both there; keep one, or give its folder")


def test_a_picture_of_another_size_is_named(tmp_path: Path) -> None:
    """Boxes of a resized or rotated copy would be wrong."""
    for size in ((15, 10), SIZE[::-1]):
        folder = write_mat(tmp_path / f"{size[0]}", train=[GOOD])
        (folder / "mscoco/images/a.jpg").write_bytes(picture(1, size))
        refused(folder, rf"mscoco/images/a\.jpg: the picture is {size[0]}x{size[1]}, its persons' boxes are for 30x20")


def test_a_picture_that_is_none_is_named(tmp_path: Path) -> None:
    """An interrupted download."""
    folder = write_mat(tmp_path, train=[GOOD])
    (folder / "mscoco/images/a.jpg").write_bytes(b"")
    with pytest.raises(ss.UndecodableImage, match=r"a\.jpg"):
        ss.write("emotic", folder, out=tmp_path / "out")


def test_a_png_called_jpg_keeps_its_bytes(tmp_path: Path) -> None:
    """Its true format stands in the index."""
    folder, buffer = write_mat(tmp_path, train=[GOOD]), io.BytesIO()
    Image.new("RGB", SIZE).save(buffer, "png")
    (folder / "mscoco/images/a.jpg").write_bytes(buffer.getvalue())
    ss.write("emotic", folder, out=tmp_path / "out")
    ds = ss.open(tmp_path / "out")
    assert ds.index.to_pylist()[0]["format"] == "png"
    assert bytes(ds.fetcher.member(*ds.locate(0), "jpg") or b"") == buffer.getvalue()
