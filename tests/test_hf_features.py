"""``ss.hf_features``: Hugging Face ``datasets`` reads every value of a split, of the first sample and of the last."""

from __future__ import annotations

import io
import json
import math
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import shardstream as ss
from shardstream.shard_writer import manifest as manifests
from shardstream.shard_writer.storage import open_store
from shardstream.shard_writer.types import About, Record, Sample, SplitInfo
from shardstream.shard_writer.write import WriteOptions, write_dataset

from .toy_coco import toy_record

datasets = pytest.importorskip("datasets")
SMALL = WriteOptions(shard_size=14_000)
STREAMING = pytest.mark.parametrize("streaming", [False, True])


def picture(number: int, kind: str = "png") -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    np.save(buffer, pixels) if kind == "npy" else Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@dataclass(frozen=True)
class Records:
    """A source of given JSON records; every third image is a JPEG under the same extension."""

    records_: Sequence[dict[str, Any]]
    image_field: str = "png"
    labels: Sequence[int] = ()
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def about(self) -> About:
        return About(name="records", licence="CC0-1.0", classes=self.classes)

    def splits(self) -> tuple[str, ...]:
        return ("train",)

    def split(self, name: str) -> Records:  # noqa: ARG002 - there is one
        return self

    @property
    def info(self) -> SplitInfo:
        label = {"columns": {"label": "int64"}, "label_column": "label"} if self.labels else {}
        return SplitInfo(name="train", image_field=self.image_field, **label)  # type: ignore[arg-type]

    def image(self, number: int) -> bytes:
        return picture(number, "npy" if self.image_field == "npy" else "jpeg" if number % 3 == 2 else "png")

    def records(self) -> Sequence[Record]:
        return [Record(f"k{number:03d}", 2000, number) for number in range(len(self.records_))]

    def read(self, record: Record) -> Sample:
        label = self.labels[record.where] if self.labels else None
        columns = {"label": label} if self.labels else {}
        return Sample(record.key, self.image(record.where), dict(self.records_[record.where]), label, columns)


def packed(out: Path, records: Sequence[dict[str, Any]], **kinds: Any) -> ss.ShardDataset:
    """About seven samples to a shard."""
    write_dataset(Records(records, **kinds), open_store(out), SMALL)
    return ss.open(out)


def loaded(ds: ss.ShardDataset, cache: Path, streaming: bool, features: Any = None) -> list[dict[str, Any]]:
    theirs = datasets.load_dataset(
        "webdataset", data_files=ds.urls, features=features, split="train", streaming=streaming, cache_dir=str(cache)
    )
    return list(theirs)


def same(found: Any, true: Any) -> bool:
    """Equal to the last null, list and key; 1 and 1.0 are equal, True and 1 are not."""
    if isinstance(true, dict):
        return isinstance(found, dict) and list(found) == list(true) and all(same(found[k], true[k]) for k in true)
    if isinstance(true, list):
        return isinstance(found, list) and len(found) == len(true) and all(map(same, found, true))
    return isinstance(found, bool) == isinstance(true, bool) and (found is None) == (true is None) and found == true


# name -> the value of sample i; where the loader's own guess from five samples fails or loses, so does the test below
LATE: Mapping[str, Any] = {
    "null in the first samples": lambda i: None if i < 8 else "text",
    "a struct or null": lambda i: {"size": [4, 5], "counts": [i], "compressed": None} if i > 8 else None,
    "empty lists first": lambda i: [] if i < 8 else [1.5, i],
    "integers first, then reals": lambda i: i if i < 8 else i + 0.25,
    "lists of lists": lambda i: [] if i < 8 else [[], [1, 2.5], [3.0]],
    "objects, none in the first samples": lambda i: (
        [] if i < 8 else [{"id": i, "rle": None}, {"id": 1, "rle": {"n": 7}}]
    ),
    "lists of nulls first": lambda i: [None] if i < 8 else ["a", None],
    "struct whose fields come late": lambda i: {"a": None, "b": []} if i < 8 else {"a": i, "b": [True]},
}
EVER: Mapping[str, Any] = {
    "always null": lambda _: None,
    "always empty": lambda _: [],
    "only nulls": lambda i: [None] * (i % 3),
    "empty objects": lambda _: {},
    "list of always empty": lambda i: [[]] * (i % 2),
    "64 bits": lambda i: [-(2**63), 2**63 - 1, i],
    "text": lambda i: f"Grüße {i}\n",
    "booleans": lambda i: [i % 2 == 0, None],
    "a.b[]": lambda i: {"": i, "_type": "Value", "a.b": {"c": 0.1 * i}},
}
ROWS = [{name: make(i) for name, make in chain(LATE.items(), EVER.items())} for i in range(20)]


@STREAMING
def test_every_value_of_every_row_comes_back(tmp_path: Path, streaming: bool) -> None:
    """All that JSON can vary in within one shape; nulls, empty lists and empty objects stay themselves."""
    ds = packed(tmp_path / "out", ROWS)
    rows = loaded(ds, tmp_path / "cache", streaming, ss.hf_features(ds))
    assert [row["__key__"] for row in rows] == [f"k{i:03d}" for i in range(20)]
    for i, row in enumerate(rows):
        assert [name for name in ROWS[i] if not same(row["json"][name], ROWS[i][name])] == []
        true = np.asarray(Image.open(io.BytesIO(Records(ROWS).image(i))).convert("RGB"))
        assert np.array_equal(np.asarray(row["png"].convert("RGB")), true)


def lost_without_features(tmp_path: Path, true: list[dict[str, Any]], streaming: bool) -> bool:
    """Whether the loader's guess from five samples fails or gives other values."""
    ds = packed(tmp_path / "out", true)
    try:
        rows = loaded(ds, tmp_path / "cache", streaming)
    except (datasets.exceptions.DatasetGenerationError, TypeError, ValueError):  # Arrow's errors are both
        return True
    return not all(same(row["json"], json) for row, json in zip(rows, true, strict=True))


@pytest.mark.parametrize("name", LATE)
def test_without_features_the_same_data_fail_or_lose_values(tmp_path: Path, name: str) -> None:
    """Why hf_features exists, one field at a time."""
    assert lost_without_features(tmp_path, [{"x": row[name]} for row in ROWS], streaming=False)


@STREAMING
def test_without_features_reals_after_integers_fail_in_streams_too(tmp_path: Path, streaming: bool) -> None:
    """Streaming casts nothing, so types that come late pass there; two types among the first five do not."""
    true = [{"x": [] if i == 0 else [1] if i == 1 else [0.5]} for i in range(20)]
    assert lost_without_features(tmp_path, true, streaming)
    ds = ss.open(tmp_path / "out")
    rows = loaded(ds, tmp_path / "cache", streaming, ss.hf_features(ds))
    assert all(same(row["json"], json) for row, json in zip(rows, true, strict=True))


def contract(i: int) -> dict[str, Any]:
    """A record as the coco source writes it; the first five images have neither objects nor captions."""
    made = toy_record(i if i > 5 else 0)
    objects, captions = made.pop("objects"), made.pop("captions")
    texts = dict.fromkeys(("coco_url", "flickr_url", "date_captured"), None if i < 7 else f"http://{i}")
    if i % 4 == 3 and objects:
        objects[0] |= {"polygons": [], "rle": {"size": [40, 60], "counts": [], "compressed": "abc"}, "area": 7}
    return {**made, "image_id": i, "license": None if i < 9 else 3, **texts, "objects": objects, "captions": captions}


@STREAMING
def test_coco_records_come_back(tmp_path: Path, streaming: bool) -> None:
    """Integer and real areas, polygons beside run lengths as lists, as text and null, keypoints and none."""
    true = [contract(i) for i in range(24)]
    ds = packed(tmp_path / "out", true)
    rows = loaded(ds, tmp_path / "cache", streaming, ss.hf_features(ds))
    assert [row["json"]["image_id"] for row in rows if not same(row["json"], true[row["json"]["image_id"]])] == []
    assert sum(len(row["json"]["objects"]) for row in rows) > 40


@STREAMING
def test_real_coco_files_come_back(tmp_path: Path, real_data: Path, streaming: bool) -> None:
    """Every value of the packed official files is that of our own reader."""
    ss.write("coco", source=str(real_data / "coco" / "tiny_coco"), out=str(tmp_path / "out"))
    for split in manifests.load(open_store(tmp_path / "out")).splits:
        ds = ss.open(tmp_path / "out", split)
        rows = loaded(ds, tmp_path / "cache" / split, streaming, ss.hf_features(ds))
        assert len(rows) == len(ds) > 5
        for row, item in zip(rows, ds, strict=True):
            true = {name: value for name, value in item.items() if name not in ("key", "image")}
            assert same(row["json"], true)
            assert row[ds.info.image_field].size == item["image"].size


@STREAMING
def test_labels_are_class_labels_where_classes_have_names(tmp_path: Path, streaming: bool) -> None:
    """int2str gives the manifest's name; values are those of .cls. Arrays come as nested lists."""
    names, labels = ("ant", "bee", "cat"), [i % 3 for i in range(9)]
    ds = packed(
        tmp_path / "out", [{"n": i} for i in range(9)], image_field="npy", labels=labels, classes={"label": names}
    )
    features = ss.hf_features(ds)
    assert features["cls"] == datasets.ClassLabel(names=list(names))
    rows = loaded(ds, tmp_path / "cache", streaming, features)
    assert [features["cls"].int2str(row["cls"]) for row in rows] == [names[i % 3] for i in range(9)]
    for i, row in enumerate(rows):
        assert np.array_equal(np.array(row["npy"], dtype=np.uint8), np.load(io.BytesIO(picture(i, "npy"))))


@pytest.mark.parametrize(
    ("labels", "classes"), [([0, 1, 5], {"label": ("a", "b")}), ([0, 1, 7], {}), ([0, -2, 1], {"label": ("a", "b")})]
)
def test_labels_without_names_are_integers(tmp_path: Path, labels: list[int], classes: Any) -> None:
    """No names, or a label that has none: a ClassLabel would refuse it."""
    ds = packed(tmp_path / "out", [{"n": i} for i in range(3)], labels=labels, classes=classes)
    assert ss.hf_features(ds)["cls"] == datasets.Value("int64")
    assert [row["cls"] for row in loaded(ds, tmp_path / "cache", False, ss.hf_features(ds))] == labels


def test_the_manifest_keeps_the_kinds_whoever_packed(tmp_path: Path) -> None:
    """One nested value per split, keys in the order of the records; parts that end in any order write the same bytes."""
    ds = packed(tmp_path / "one", ROWS)
    for part in (2, 0, 1):
        write_dataset(Records(ROWS), open_store(tmp_path / "two"), replace(SMALL, part=(part, 3)))
    assert (tmp_path / "one" / "dataset.json").read_bytes() == (tmp_path / "two" / "dataset.json").read_bytes()
    assert list(ds.info.json_types) == list(ROWS[0])
    assert ds.info.json_types == {
        "null in the first samples": "string",
        "a struct or null": {"size": ["int"], "counts": ["int"], "compressed": "null"},
        "empty lists first": ["float"],
        "integers first, then reals": "float",
        "lists of lists": [["float"]],
        "objects, none in the first samples": [{"id": "int", "rle": {"n": "int"}}],
        "lists of nulls first": ["string"],
        "struct whose fields come late": {"a": "int", "b": ["bool"]},
        "always null": "null",
        "always empty": [],
        "only nulls": ["null"],
        "empty objects": {},
        "list of always empty": [[]],
        "64 bits": ["int"],
        "text": "string",
        "booleans": ["bool"],
        "a.b[]": {"": "int", "_type": "string", "a.b": {"c": "float"}},
    }


def test_features_name_fields_first_and_what_is_always_null_is_null(tmp_path: Path) -> None:
    """As the loader orders them; no type is made up for what has none."""
    null, whole = datasets.Value("null"), datasets.Value("int64")
    ds = packed(tmp_path / "out", [{"a": None, "b": [], "c": [[1, None]], "d": {}}] * 2)
    features = ss.hf_features(ds)
    assert list(features) == ["png", "json", "__key__", "__url__"]
    assert features["json"] == {"a": null, "b": datasets.List(null), "c": datasets.List(datasets.List(whole)), "d": {}}


@pytest.mark.parametrize("shard_size", [1, 10**9])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([2**63], r"k000: JSON at \.x is an integer of 64 bits"),
        ([[1, 10**400]], r"k000: JSON at \.x\[\] is an integer of 1329 bits"),
        ([0.5, 2**53 + 1], r"\.x is integer beyond 2\*\*53, in earlier (samples|shards) number"),
        ([[-(2**60)], [0.5]], r"\.x\[\] is number, in earlier (samples|shards) integer beyond 2\*\*53"),
        ([[None, 0.5, 2**60]], r"\.x\[\] is integer beyond 2\*\*53, in earlier samples number"),
        ([[], {}], r"\.x is object\{\}, in earlier (samples|shards) list"),
        ([{"a": 1}, {"a": True}], r"\.x\.a is bool, in earlier (samples|shards) number"),
        ([{"a": 1, "b": 2}, {"b": 1, "a": 2}], r"\.x is object\{b,a\}, in earlier (samples|shards) object\{a,b\}"),
    ],
)
def test_json_that_no_arrow_type_holds_is_refused(
    tmp_path: Path, values: list[Any], message: str, shard_size: int
) -> None:
    """In one shard or in two: integers beyond 64 bits, or beyond 2**53 among reals; two types under one key."""
    records = Records([{"x": value} for value in values])
    with pytest.raises(ss.SourceError, match=message):
        write_dataset(records, open_store(tmp_path / "out"), WriteOptions(shard_size=shard_size))


@STREAMING
def test_exact_bounds_come_back(tmp_path: Path, streaming: bool) -> None:
    """2**53 among reals, 64 bits among integers; a norm that rounds or overflows hides nothing."""
    true = [{"r": [2**53, -0.5, None], "i": [2**62] * 3, "big": [1e308, 1e308, 3]}, {"r": [], "i": [1], "big": [-1]}]
    ds = packed(tmp_path / "out", true)
    assert ds.info.json_types == {"r": ["float"], "i": ["int"], "big": ["float"]}
    rows = loaded(ds, tmp_path / "cache", streaming, ss.hf_features(ds))
    assert all(same(row["json"], json) for row, json in zip(rows, true, strict=True))
    assert math.isinf(math.hypot(1e308, 1.7e308))


def tar(path: Path, members: Iterator[tuple[str, bytes]]) -> None:
    with tarfile.open(path, "w") as file:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))


def array(values: Any, dtype: str) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array(values, dtype=dtype))
    return buffer.getvalue()


@STREAMING
def test_tars_of_others_come_back(tmp_path: Path, streaming: bool) -> None:
    """JSON is read to find its kinds; capitals, text, numbers, arrays, masks, bytes, and members some samples lack."""
    true = [{name: make(i) for name, make in LATE.items()} for i in range(12)]

    def members() -> Iterator[tuple[str, bytes]]:
        for i, record in enumerate(true):
            yield f"s{i:02d}.{'PNG' if i % 2 else 'png'}", picture(i)
            yield f"s{i:02d}.seg.png", picture(i + 100)
            yield f"s{i:02d}.json", json.dumps(record).encode()
            yield f"s{i:02d}.meta.json", json.dumps([i] if i > 7 else []).encode()
            if i % 3:
                yield f"s{i:02d}.box.npy", array([[i, 0.5]] * (i % 3), "float32")
            yield f"s{i:02d}.bin", bytes([i, 255])
            if i > 6:
                yield f"s{i:02d}.txt", f"é{i}".encode()
                yield f"s{i:02d}.cls", str(i).encode()

    (tmp_path / "in").mkdir()
    tar(tmp_path / "in" / "a.tar", members())
    ss.index(str(tmp_path / "in"), None, "train")
    ds = ss.open(tmp_path / "in")
    assert ds.info.json_types == {}
    rows = loaded(ds, tmp_path / "cache", streaming, ss.hf_features(ds))
    assert len(rows) == len(true)
    for i, row in enumerate(rows):
        assert same(row["json"], true[i])
        mine, other = ("PNG", "png") if i % 2 else ("png", "PNG")
        assert row[other] is None
        assert np.array_equal(np.asarray(row[mine]), np.asarray(Image.open(io.BytesIO(picture(i)))))
        assert np.array_equal(np.asarray(row["seg.png"]), np.asarray(Image.open(io.BytesIO(picture(i + 100)))))
        assert (row["meta.json"], row["bin"]) == ([i] if i > 7 else [], bytes([i, 255]))
        assert (row["txt"], row["cls"]) == ((f"é{i}", i) if i > 6 else (None, None))
        assert np.array_equal(np.array(row["box.npy"] or []), np.array([[i, 0.5]] * (i % 3)))


@pytest.mark.parametrize(
    ("members", "error", "message"),
    [
        ({"a.json": b"{", "b.json": b"{}"}, ss.CorruptData, r"x\.tar: a\.json is no JSON"),
        ({"a.json": b"1", "b.json": b'"t"'}, ss.SourceError, r"x\.tar: b\.json: JSON at the top is string"),
        ({"a.npz": b"", "b.npz": b""}, ss.OptionError, r"decodes members \.npz by itself"),
        ({"a.json.gz": b"", "b.json.gz": b""}, ss.OptionError, r"decodes members \.json\.gz by itself"),
        ({"a.npy": b"x", "b.npy": b""}, ss.CorruptData, r"a\.npy is not a plain \.npy array"),
        ({"a.npy": array([1], "uint8"), "b.npy": array([1], "int32")}, ss.OptionError, r"uint8 of 1 .*int32 of 1"),
        ({"a.npy": array([1], ">f4"), "b.npy": array([1], ">f4")}, ss.OptionError, r">f4 of 1 dim"),
    ],
)
def test_what_no_feature_describes_is_refused(
    tmp_path: Path, members: Any, error: type[Exception], message: str
) -> None:
    """With the member and its tar."""
    tar(tmp_path / "x.tar", iter(members.items()))
    ss.index(str(tmp_path), None, "train")
    with pytest.raises(error, match=message):
        ss.hf_features(ss.open(tmp_path))


def test_a_selection_has_the_features_of_its_split(tmp_path: Path) -> None:
    """load_dataset reads whole shards."""
    ds = packed(tmp_path / "out", ROWS, labels=[0] * 19 + [1], classes={"label": ("a", "b")})
    assert ss.hf_features(ds.select([0, 1])) == ss.hf_features(ds)


def test_without_datasets_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MissingExtra says what to install."""
    ds = packed(tmp_path / "out", ROWS[:1])
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ss.MissingExtra, match=r"shardstream\[hf\]"):
        ss.hf_features(ds)


def test_a_manifest_of_before_has_no_kinds_and_the_json_is_read(tmp_path: Path) -> None:
    """Absent means unknown; what is no kind is damage."""
    ds = packed(tmp_path / "out", ROWS)
    expected = ss.hf_features(ds)
    path = tmp_path / "out" / "dataset.json"
    body = json.loads(path.read_text())
    for kinds in ("x", {"a": "long"}, {"a": ["int", "int"]}, {"a": 3}, {"a": None}, None):
        body["splits"]["train"]["json_types"] = kinds
        path.write_text(json.dumps(body))
        with pytest.raises(ss.ManifestError, match="'json_types'"):
            ss.open(tmp_path / "out")
    del body["splits"]["train"]["json_types"]
    path.write_text(json.dumps(body))
    ds = ss.open(tmp_path / "out")
    assert ds.info.json_types == {}
    assert ss.hf_features(ds) == expected
