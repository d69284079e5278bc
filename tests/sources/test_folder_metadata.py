"""metadata.csv and metadata.jsonl beside images."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from shardstream.errors import SourceError
from shardstream.shard_writer.sources import open_source
from shardstream.shard_writer.types import Source

from .conformance import SourceConformance
from .test_folder import put, samples

CSV = 'file_name,label,text,score,n,code,path\n1.jpg,cat,"a, ""b""\nc",1,3,007,p\n2.jpg,dog,,2.5,,010,q\n'


class TestCsvConformance(SourceConformance):
    """Text labels, empty cells, a column that is called like one of ours."""

    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        put(tmp_path, "1.jpg", "2.jpg")
        (tmp_path / "metadata.csv").write_text(CSV)
        return open_source("folder", str(tmp_path))


class TestJsonlConformance(SourceConformance):
    """Two splits with a file each; hidden labels in test."""

    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        put(tmp_path, "train/1.png", "train/2.png", "test/1.png")
        rows = [{"file_name": "1.png", "label": 2, "tags": ["a"], "x": {"y": 1}}, {"file_name": "2.png", "label": 0}]
        (tmp_path / "train/metadata.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
        (tmp_path / "test/metadata.jsonl").write_text('{"file_name": "1.png", "label": null}\n')
        return open_source("folder", str(tmp_path))


def test_csv_columns_get_one_type_each(tmp_path: Path) -> None:
    """Whole numbers, fractions, text; codes with leading zeros stay text; empty cells are null."""
    put(tmp_path, "1.jpg", "2.jpg")
    (tmp_path / "metadata.csv").write_bytes(b"\xef\xbb\xbf" + CSV.replace("\n1", "\r\n1").encode())
    found = samples(open_source("folder", str(tmp_path)))
    expected = list(csv.DictReader(CSV.splitlines(keepends=True)))
    first, second = (sample.annotations for sample in found.values())
    assert first == {
        "path": "1.jpg",
        "label": 0,
        "label_name": "cat",
        "text": expected[0]["text"],
        "score": 1.0,
        "n": 3,
        "code": "007",
        "meta_path": "p",
    }
    assert (second["text"], second["score"], second["n"], second["label"]) == (None, 2.5, None, 1)
    assert type(first["score"]) is float
    assert type(first["n"]) is int


def test_text_labels_are_numbered_alike_in_every_split(tmp_path: Path) -> None:
    """Sorted names over both splits."""
    put(tmp_path, "train/1.jpg", "test/1.jpg")
    (tmp_path / "train/metadata.csv").write_text("file_name,label\n1.jpg,b\n")
    (tmp_path / "test/metadata.csv").write_text("file_name,label\n1.jpg,a\n")
    source = open_source("folder", str(tmp_path))
    assert source.about().classes == {"label": ("a", "b")}
    assert [samples(source, name)["1"].label for name in ("train", "test")] == [1, 0]


def test_one_file_at_the_top_may_describe_all_splits(tmp_path: Path) -> None:
    """Rows go to the split whose folder they name."""
    put(tmp_path, "train/1.jpg", "test/1.jpg")
    (tmp_path / "metadata.csv").write_text("file_name,label\ntrain/1.jpg,1\ntest/1.jpg,0\n")
    source = open_source("folder", str(tmp_path))
    assert [samples(source, name)["1"].label for name in ("train", "test")] == [1, 0]


def test_a_split_with_some_labels_keeps_a_nullable_column(tmp_path: Path) -> None:
    """A cls member must never be null, so there is none; -1 is never invented."""
    put(tmp_path, "1.jpg", "2.jpg")
    (tmp_path / "metadata.csv").write_text("file_name,label\n1.jpg,1\n2.jpg,\n")
    source = open_source("folder", str(tmp_path))
    info = source.split("train").info
    assert (info.label_column, dict(info.columns)) == (None, {"label": "int64"})
    assert [(s.label, s.columns["label"]) for s in samples(source).values()] == [(None, 1), (None, None)]
    assert "train: 1 of 2 images have no label; it is null" in source.about().notes


def test_images_without_a_row_are_left_out_and_counted(tmp_path: Path) -> None:
    """Nothing is packed that the metadata does not know."""
    put(tmp_path, "1.jpg", "2.jpg", "deep/3.jpg")
    (tmp_path / "metadata.csv").write_text("file_name\n2.jpg\n")
    source = open_source("folder", str(tmp_path))
    assert list(samples(source)) == ["2"]
    assert source.about().notes == ("train: 2 images have no row in the metadata and are left out",)


BAD = {
    "missing files": (
        "metadata.csv",
        "file_name\n1.jpg\na.jpg\nb.jpg\n",
        "names 2 of 3 files that are not there.*a.jpg, b.jpg",
    ),
    "no file_name": ("metadata.csv", "file,label\n1.jpg,1\n", "no column 'file_name'"),
    "a file twice": ("metadata.csv", "file_name\n1.jpg\n./1.jpg\n", r"1 files stand in several rows: 1\.jpg"),
    "a path that leaves": ("metadata.csv", "file_name\n../1.jpg\n", "must be a relative path"),
    "an absolute path": ("metadata.csv", "file_name\n/etc/x.jpg\n", "must be a relative path"),
    "a ragged row": ("metadata.csv", "file_name,label\n1.jpg\n", "line 2: 1 cells, the heading has 2"),
    "an open quote": ("metadata.csv", 'file_name,t\n1.jpg,"x\n', "no well-formed CSV"),
    "a column twice": ("metadata.csv", "file_name,a,a\n1.jpg,1,2\n", "stands twice"),
    "no JSON": ("metadata.jsonl", '{"file_name": "1.jpg"}\n{\n', "line 2: no JSON"),
    "a JSON list": ("metadata.jsonl", '["1.jpg"]\n', "line 1: a list, expected an object"),
    "NaN": ("metadata.jsonl", '{"file_name": "1.jpg", "x": NaN}\n', "NaN is not JSON"),
    "two types": (
        "metadata.jsonl",
        '{"file_name": "1.jpg", "x": 1}\n{"file_name": "2.jpg", "x": "1"}\n',
        "column 'x' mixes int and str",
    ),
    "a fraction as label": ("metadata.csv", "file_name,label\n1.jpg,0.5\n", "holds 0.5; a class label is"),
    "a negative label": ("metadata.csv", "file_name,label\n1.jpg,-1\n", "run from -1 to -1.*Leave hidden labels empty"),
    "an id as label": ("metadata.csv", "file_name,label\n1.jpg,123456789\n", "run from 123456789"),
}


@pytest.mark.parametrize(("name", "text", "message"), BAD.values(), ids=BAD.keys())
def test_bad_metadata_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    """The message names the file and what is wrong with it."""
    put(tmp_path, "1.jpg", "2.jpg")
    (tmp_path / name).write_text(text)
    with pytest.raises(SourceError, match=message):
        open_source("folder", str(tmp_path)).split("train")


def test_metadata_in_latin1_is_refused(tmp_path: Path) -> None:
    """Guessing an encoding would garble names."""
    put(tmp_path, "1.jpg")
    (tmp_path / "metadata.csv").write_bytes("file_name,t\n1.jpg,é\n".encode("latin1"))
    with pytest.raises(SourceError, match="not UTF-8"):
        open_source("folder", str(tmp_path)).splits()


def test_two_metadata_files_are_refused(tmp_path: Path) -> None:
    """Which one is true?"""
    put(tmp_path, "1.jpg")
    for name in ("metadata.csv", "metadata.jsonl"):
        (tmp_path / name).write_text("")
    with pytest.raises(SourceError, match=r"both metadata\.csv and metadata\.jsonl"):
        open_source("folder", str(tmp_path)).splits()
