"""EMOTIC: real rows unchanged, the .mat and the CSV form alike, boxes by the authors' rule."""

from __future__ import annotations

import ast
import csv
import io
import json
import math
import tarfile
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from scipy.io import loadmat, savemat

import shardstream as ss
from shardstream.cli import main
from shardstream.shard_writer.sources import SourceOptions, open_source
from shardstream.shard_writer.sources.emotic_facts import CATEGORIES
from shardstream.shard_writer.storage import open_store
from shardstream.shard_writer.types import Sample, Source

from ..helpers import tree
from .conformance import SourceConformance
from .emotic_files import image, person, write_mat

Row = dict[str, str]
PICTURED = 138
# github.com/Tandon-A/emotic: 1 / ln(1.2 + persons with the category), in the official order.
WEIGHTS = [
    0.1435, 0.1870, 0.1692, 0.1165, 0.1949, 0.1204, 0.1728, 0.1372, 0.1620, 0.1540, 0.1987, 0.1057, 0.1482,
    0.1192, 0.1590, 0.1929, 0.1158, 0.1907, 0.1345, 0.1307, 0.1665, 0.1698, 0.1797, 0.1657, 0.1520, 0.1537,
]  # fmt: skip


def opened(folder: Path, **options: Any) -> Source:
    return open_source("emotic", str(folder), SourceOptions(**options))


def samples(folder: Path, split: str, **options: Any) -> dict[str, Sample]:
    found = opened(folder, **options).split(split)
    return {record.key: found.read(record) for record in found.records()}


def rows_of(file: Path) -> dict[str, list[Row]]:
    """Rows of a CSV by image, straight from csv."""
    found: dict[str, list[Row]] = {}
    with open(file, newline="") as lines:
        for row in csv.DictReader(lines):
            found.setdefault(f"{row['Folder']}/{row['Filename']}", []).append(row)
    return found


def official(box: list[float], width: int, height: int) -> list[int]:
    """The authors' crop, as benchmarks.md states it; real boxes have no swapped corners."""
    x1, y1, x2, y2 = box
    return [max(1, x1) - 1, max(1, y1) - 1, min(x2, width), min(y2, height)]


def check(item: dict[str, Any], rows: list[Row]) -> None:
    """One image's JSON against its CSV rows."""
    size = ast.literal_eval(rows[0]["Image Size"])
    assert [item["width"], item["height"]] == size
    assert (item["folder"], item["file_name"]) == (rows[0]["Folder"], rows[0]["Filename"])
    assert item["original_database"] == rows[0]["Folder"].split("/")[0]
    assert item["dropped_persons"] == []
    assert len(item["persons"]) == len(rows)
    for number, (made, row) in enumerate(zip(item["persons"], rows, strict=True)):
        names, vad = ast.literal_eval(row["Categorical_Labels"]), ast.literal_eval(row["Continuous_Labels"])
        box = ast.literal_eval(row["BBox"])
        chosen = sorted(CATEGORIES.index(name) for name in names)
        assert made == {
            "person": number,
            "body_bbox": box,
            "bbox": official(box, *size),
            "categories": chosen,
            "votes": [int(name in names) for name in CATEGORIES],
            "vad": vad,
            "annotators": [{"categories": chosen, "vad": vad}],
            "gender": row["Gender"],
            "age": row["Age"],
        }


@pytest.fixture(scope="module")
def real(real_data: Path) -> Path:
    """EMOTIC's real rows."""
    return real_data / "emotic"


@pytest.fixture(scope="module")
def pictured_mat(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real Annotations.mat without the 693 images that have no picture here; written by SciPy."""
    variables, folder = loadmat(real / "mat_rebuilt/Annotations.mat"), tmp_path_factory.mktemp("mat")
    there = {file.name for file in (real / "emotic/mscoco/images").iterdir()}
    kept = {s: variables[s][:, [str(e["filename"][0]) in there for e in variables[s][0]]] for s in ("train", "val")}
    savemat(folder / "Annotations.mat", kept, do_compression=True)
    return folder


@pytest.fixture(scope="module")
def packed(real: Path, pictured_mat: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both forms of the 113 images with pictures, packed; the .mat by two workers."""
    out = tmp_path_factory.mktemp("packed")
    ss.write("emotic", real / "csv_with_images", images=real / "emotic", out=out / "csv")
    ss.write("emotic", pictured_mat, images=real, out=out / "mat", workers=2)
    return {"csv": out / "csv", "mat": out / "mat"}


@pytest.fixture(scope="module")
def rows_alone(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All 26,581 real rows, packed without images."""
    out = tmp_path_factory.mktemp("rows") / "out"
    ss.write("emotic", real / "csv", out=out, no_images=True)
    return out


class TestRealCsv(SourceConformance):
    @pytest.fixture
    def source(self, real: Path) -> Source:
        return opened(real / "csv_with_images", images=str(real / "emotic"))


class TestRealMatAlone(SourceConformance):
    @pytest.fixture
    def source(self, real: Path) -> Source:
        return opened(real / "mat_rebuilt", no_images=True)


class TestSmall(SourceConformance):
    """Several annotators, NaN, an image without persons, a dropped person."""

    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        both = (["Fear", "Anger"], [2.0, float("nan"), 4.0]), ([], [1.0, 5.0, 5.5])
        together = (["Fear", "Anger"], [1.5, float("nan"), 4.75])
        good = person((-4, 3.5, 12.25, 90), *both, combined=together)
        return opened(
            write_mat(
                tmp_path / "emotic",
                val=[image("a.jpg", good, person((40, 3, 50, 9), *both, combined=together)), image("b.jpg")],
                train=[image("a.jpg", person())],
            )
        )


@pytest.mark.parametrize("split", ["train", "val"])
def test_every_person_is_the_original_row(real: Path, packed: dict[str, Path], split: str) -> None:
    """Packed, then read through ``ds[i]``; boxes, emotions, ratings, order, image bytes."""
    rows = rows_of(real / f"csv_with_images/{split}.csv")
    ds = ss.open(packed["csv"], split=split)
    assert {f"{ds[i]['folder']}/{ds[i]['file_name']}" for i in range(len(ds))} == rows.keys()
    assert len(ds) == len(rows)
    for i in range(len(ds)):
        path = f"{ds[i]['folder']}/{ds[i]['file_name']}"
        check({key: ds[i][key] for key in json_keys(packed["csv"], split)}, rows[path])
        shard, row = ds.locate(i)
        assert bytes(ds.fetcher.member(shard, row, "jpg") or b"") == (real / "emotic" / path).read_bytes()


def json_keys(folder: Path, split: str) -> list[str]:
    return list(json.loads((folder / "dataset.json").read_text())["splits"][split]["json_types"])


def test_the_mat_and_the_csv_give_the_same_bytes(packed: dict[str, Path]) -> None:
    """113 images, 138 persons: shards and index files are equal byte for byte."""
    ours = {name: data for name, data in tree(packed["csv"]).items() if name != "dataset.json"}
    assert ours == {name: data for name, data in tree(packed["mat"]).items() if name != "dataset.json"}
    assert len(ours) == 4
    found = [ss.open(packed["mat"], split=split) for split in ("train", "val")]
    assert [len(ds) for ds in found] == [103, 10]
    assert sum(row["n_persons"] for ds in found for row in ds.index.to_pylist()) == PICTURED


def test_the_whole_mat_gives_the_json_of_the_csv(real: Path) -> None:
    """The same 113 among the 806 images of the real .mat, which are all those that both forms hold."""
    for split, count in (("train", 103), ("val", 10)):
        mat = samples(real / "mat_rebuilt", split, no_images=True)
        pictured = samples(real / "csv_with_images", split, no_images=True)
        assert len(pictured) == count
        assert {key: mat[key] for key in pictured} == pictured


def test_every_person_of_the_mat_is_the_one_scipy_reads(real: Path) -> None:
    """806 images, 1,131 persons, read anew with squeezing on: another way through SciPy."""
    variables = loadmat(real / "mat_rebuilt/Annotations.mat", squeeze_me=True, struct_as_record=False)
    persons = 0
    for split in ("train", "val", "test"):
        found = list(samples(real / "mat_rebuilt", split, no_images=True).values())
        assert len(found) == len(variables[split])
        for sample, element in zip(found, variables[split], strict=True):
            made = sample.annotations
            assert (made["file_name"], made["folder"]) == (element.filename, element.folder)
            assert (made["width"], made["height"]) == (element.image_size.n_col, element.image_size.n_row)
            assert made["original_database"] == element.original_database.name
            people = element.person if hasattr(element.person, "shape") else [element.person]
            assert len(made["persons"]) == len(people)
            for one, given in zip(made["persons"], people, strict=True):
                names = given.annotations_categories.categories
                names = [names] if isinstance(names, str) else list(names)
                said = given.annotations_continuous
                assert one["body_bbox"] == given.body_bbox.tolist()
                assert [CATEGORIES[c] for c in one["categories"]] == sorted(names, key=CATEGORIES.index)
                assert one["vad"] == [said.valence, said.arousal, said.dominance]
                assert (one["gender"], one["age"]) == (given.gender, given.age)
                persons += 1
    assert persons == 1131


@pytest.mark.parametrize(("split", "images", "persons"), [("train", 16_977, 23_266), ("val", 2_085, 3_315)])
def test_all_real_rows_are_packed_without_images(
    real: Path, rows_alone: Path, split: str, images: int, persons: int
) -> None:
    """Every row against csv, from the bytes of the shard; every column of the index against the rows."""
    rows = rows_of(real / f"csv/{split}.csv")
    ds = ss.open(rows_alone, split=split)
    table = {row["key"]: row for row in ds.index.to_pylist()}
    assert len(ds) == len(rows) == len(table) == images
    count = 0
    for shard in sorted((rows_alone / split).glob("*.tar")):
        with tarfile.open(fileobj=io.BytesIO(shard.read_bytes())) as archive:
            for member in archive:
                assert member.name.endswith(".json")  # nothing else is in there
                item, row = json.load(archive.extractfile(member) or io.BytesIO()), table[member.name[:-5]]
                mine = rows[f"{item['folder']}/{item['file_name']}"]
                check(item, mine)
                labels = [sorted(map(CATEGORIES.index, ast.literal_eval(r["Categorical_Labels"]))) for r in mine]
                assert row["person_labels"] == labels
                assert row["labels"] == sorted({label for part in labels for label in part})
                assert row["n_persons"] == len(mine)
                assert [row["width"], row["height"]] == ast.literal_eval(mine[0]["Image Size"])
                count += len(mine)
    assert count == persons


def test_statistics_count_persons(real: Path, rows_alone: Path) -> None:
    """The real long tail, as the published loss weights have it, and pairs of categories of one person."""
    said = [
        set(ast.literal_eval(row["Categorical_Labels"]))
        for rows in rows_of(real / "csv/train.csv").values()
        for row in rows
    ]
    counts = Counter(name for names in said for name in names)
    pairs = Counter(pair for names in said for pair in combinations(sorted(names), 2))
    statistics = ss.open(rows_alone, split="train").statistics
    assert statistics["object_histograms"]["person_labels"] == {name: counts[name] for name in CATEGORIES}
    assert [round(1 / math.log(1.2 + counts[name]), 4) for name in CATEGORIES] == WEIGHTS
    found = statistics["co_occurrence"]["person_labels"]
    assert {(a, b): n for a, rest in found.items() for b, n in rest.items()} == pairs


def test_images_of_two_splits_stay_two_images(real: Path, rows_alone: Path) -> None:
    """376 of framesdb stand in train and in val; the manifest says so."""
    train, val = (rows_of(real / f"csv/{split}.csv") for split in ("train", "val"))
    assert len(train.keys() & val.keys()) == 376
    notes = ss.open(rows_alone, split="val").manifest.notes
    assert any(
        note.startswith("376 images stand in train and in val, kept in both, such as framesdb") for note in notes
    )
    assert not [note for note in notes if "partial" in note or "another release" in note]
    assert any(note.startswith("train: 10 persons share their box with another of the same image") for note in notes)


def test_missing_pictures_are_counted_and_the_way_out_is_named(
    real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the command line: nothing is written, then the annotations alone are."""
    given = ["write", "emotic", "--source", str(real / "mat_rebuilt"), "--out", str(tmp_path / "out"), "--split", "val"]
    assert main([*given, "--images", str(real / "emotic")]) != 0
    said = capsys.readouterr().err
    assert "150 of the 160 images of val are not there: emodb_small/images/h616x5yhky60how3nt.jpg" in said
    assert "--images" in said
    assert "--no-images" in said
    assert not (tmp_path / "out").exists()
    assert main([*given, "--no-images"]) == 0
    ds = ss.open(tmp_path / "out", split="val")
    assert len(ds) == 160
    assert ds.manifest.splits["val"].image_field is None
    assert "packed without images" in ds.manifest.notes
    assert main(["verify", str(tmp_path / "out")]) == 0


@pytest.mark.s3
def test_a_bucket_gives_the_samples_of_its_folder(real: Path, weed: Any, tmp_path: Path) -> None:
    """Annotations and pictures on S3."""
    local = write_mat(
        tmp_path / "emotic", val=[image("a.jpg", person()), image("b.jpg", person(), folder="ade20k/images")]
    )
    store = open_store(weed.url("emotic"), weed.storage_options)
    for file in local.rglob("*.*"):
        store.write(file.relative_to(local).as_posix(), file.read_bytes())
    options = {"storage_options": weed.storage_options}
    assert samples(local, "val") == {
        record.key: opened_split.read(record)
        for opened_split in [open_source("emotic", store.url, SourceOptions(**options)).split("val")]
        for record in opened_split.records()
    }
