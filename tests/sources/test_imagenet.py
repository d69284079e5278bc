"""ImageNet-1k, against the files themselves: archives, folders, classes, real data."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

import shardstream as ss
from shardstream.shard_writer.image_facts import image_facts
from shardstream.shard_writer.sources import open_source
from shardstream.shard_writer.types import Sample, Source

from .conformance import SourceConformance
from .imagenet_copies import (
    VAL,
    WNIDS,
    devkit,
    mapping,
    picture,
    tar,
    train_files,
    train_tar,
    truth,
    val_name,
    write,
)

VAL_FILES = {val_name(number): picture(number) for number in (2, 3, 5, 49_999)}
TEST_FILES = {f"ILSVRC2012_test_{number:08d}.JPEG": picture(number) for number in (1, 100_000)}


def under(folder: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}/{name}": data for name, data in files.items()}


def samples(source: Source, split: str) -> dict[str, Sample]:
    opened = source.split(split)
    return {record.key: opened.read(record) for record in opened.records()}


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """Folders of all splits with the devkit, class names and ReaL labels."""
    real = json.dumps([[] if number % 3 else [number % 1000, 7] for number in range(VAL)]).encode()
    beside = {"LOC_synset_mapping.txt": mapping(), "real.json": real, **devkit()}
    images = {**under("train", train_files()), **under("val", VAL_FILES), **under("test", TEST_FILES)}
    return write(tmp_path / "whole", {**beside, **images})


class TestRealConformance(SourceConformance):
    """230 real classes and 38 unlabelled test photos."""

    @pytest.fixture
    def source(self, real_data: Path) -> Source:
        return open_source("imagenet", str(real_data / "imagenet"))


class TestWholeConformance(SourceConformance):
    """All splits, labels from the devkit, ReaL labels."""

    @pytest.fixture
    def source(self, whole: Path) -> Source:
        return open_source("imagenet", str(whole))


def test_every_real_file_comes_back_bit_for_bit_with_the_official_label(real_data: Path) -> None:
    """230 of 1,000 classes: numbered by the full list, not by the folders that are there."""
    root = real_data / "imagenet"
    official = [line.split(" ", 1) for line in (root / "LOC_synset_mapping.txt").read_text().splitlines()]
    rank = {wnid: number for number, (wnid, _) in enumerate(official)}
    files = sorted((root / "ILSVRC/Data/CLS-LOC/train").rglob("*.JPEG"))
    source = open_source("imagenet", str(root))
    found = samples(source, "train")
    assert sorted(found) == sorted(file.stem for file in files)
    assert len(files) == 230
    assert "n03992509_potter's_wheel" in found
    for file in files:
        sample = found[file.stem]
        assert sample.image == file.read_bytes()
        assert sample.label == rank[file.parent.name]
        assert sample.annotations["file_name"] == file.name
        assert sample.annotations["wnid"] == sample.columns["wnid"] == file.parent.name
    assert max(sample.label or 0 for sample in found.values()) > 229
    assert any("230 of 1,281,167" in note for note in source.about().notes)


def test_a_source_that_is_the_innermost_folder_finds_the_class_list_above_it(real_data: Path) -> None:
    """``.../ILSVRC/Data/CLS-LOC`` numbers the classes as the folder above does."""
    above = samples(open_source("imagenet", str(real_data / "imagenet")), "train")
    inside = samples(open_source("imagenet", str(real_data / "imagenet/ILSVRC/Data/CLS-LOC")), "train")
    assert {key: sample.label for key, sample in inside.items()} == {key: s.label for key, s in above.items()}


def test_real_test_photos_have_no_label_at_all(real_data: Path) -> None:
    """Hidden labels are null, never -1."""
    source = open_source("imagenet", str(real_data / "imagenet"))
    found = samples(source, "test")
    assert len(found) == 38
    assert source.split("test").info.label_column is None
    for sample in found.values():
        assert sample.label is None
        assert sample.annotations["label"] is sample.annotations["wnid"] is sample.annotations["label_name"] is None


def test_the_class_folders_alone_number_the_classes_and_a_note_says_so(tmp_path: Path) -> None:
    """No file lists the 1,000."""
    source = open_source("imagenet", str(write(tmp_path, under("train", train_files()))))
    assert {sample.label for sample in samples(source, "train").values()} == {0, 1, 2}
    assert source.about().classes == {"label": WNIDS[-3:]}
    assert any("folders" in note for note in source.about().notes)


@pytest.mark.parametrize("form", ["LOC_synset_mapping.txt", "synset_words.txt", "imagenet_class_index.json", "devkit"])
def test_every_class_list_gives_the_same_labels(tmp_path: Path, form: str) -> None:
    """Three train folders, the last of the 1,000."""
    index = {str(number): [wnid, f"name {number}"] for number, wnid in enumerate(WNIDS)}
    files = devkit() if form == "devkit" else {form: json.dumps(index).encode() if "json" in form else mapping()}
    source = open_source("imagenet", str(write(tmp_path, {**files, **under("train", train_files())})))
    assert {sample.label for sample in samples(source, "train").values()} == {997, 998, 999}
    assert len(source.about().classes["label"]) == 1000


def test_the_archives_give_the_samples_of_the_folders(whole: Path, tmp_path: Path) -> None:
    """A tar of tars, flat tars, and a test tar that holds a folder; other orders inside."""
    root = write(
        tmp_path / "tars",
        {
            "ILSVRC2012_img_train.tar": train_tar(train_files()),
            "ILSVRC2012_img_val.tar": tar(dict(reversed(VAL_FILES.items()))),
            "ILSVRC2012_img_test_v10102019.tar": tar(under("test", TEST_FILES)),
            "ILSVRC2012_devkit_t12/data/meta.mat": (whole / "ILSVRC2012_devkit_t12/data/meta.mat").read_bytes(),
            "real.json": (whole / "real.json").read_bytes(),
            "LOC_synset_mapping.txt": mapping(),
            **{k: v for k, v in devkit().items() if k.endswith("truth.txt")},
        },
    )
    folders, tars = open_source("imagenet", str(whole)), open_source("imagenet", str(root))
    assert sorted(tars.splits()) == sorted(folders.splits()) == ["test", "train", "val"]
    for split, count in {"train": 6, "val": 4, "test": 2}.items():
        assert samples(tars, split) == samples(folders, split)
        assert len(samples(tars, split)) == count
        assert [r.key for r in tars.split(split).records()] == [r.key for r in folders.split(split).records()]


def test_packed_archives_equal_packed_folders_and_the_files(whole: Path, tmp_path: Path) -> None:
    """End to end: the manifest's splits agree, and each member is the original file."""
    root = write(
        tmp_path / "tars", {"ILSVRC2012_img_train.tar": train_tar(train_files()), "LOC_synset_mapping.txt": mapping()}
    )
    one = ss.write("imagenet", str(root), out=str(tmp_path / "one"))
    two = ss.write("imagenet", str(whole), out=str(tmp_path / "two"))
    assert one is not None
    assert two is not None
    assert one.splits["train"].digest == two.splits["train"].digest
    members = {path.split("/")[1].removesuffix(".JPEG"): data for path, data in train_files().items()}
    import tarfile

    with tarfile.open(tmp_path / "one/train/train-000000.tar") as shard:
        packed = {member.name: shard.extractfile(member).read() for member in shard}  # type: ignore[union-attr]
    for key, data in members.items():
        assert packed[f"{key}.jpg"] == data
        assert packed[f"{key}.cls"] == str(WNIDS.index(key.split("_")[0])).encode()
        assert json.loads(packed[f"{key}.json"])["wnid"] == key.split("_")[0]


def test_odd_bytes_are_kept_and_named_in_the_index(real_data: Path, tmp_path: Path) -> None:
    """A PNG named .JPEG, CMYK, grey, and every EXIF orientation."""
    quirks = sorted((real_data / "imagenet/quirks-pillow").glob("*.jpg"))
    odd = {f"{WNIDS[0]}_{number}.JPEG": file.read_bytes() for number, file in enumerate(quirks, start=10)}
    odd |= {f"{WNIDS[0]}_1.JPEG": picture(1, "PNG"), f"{WNIDS[0]}_2.JPEG": picture(2, "JPEG", "CMYK")}
    source = open_source("imagenet", str(write(tmp_path, under(f"train/{WNIDS[0]}", odd))))
    found = samples(source, "train")
    assert {f"{key}.JPEG": sample.image for key, sample in found.items()} == odd
    facts = {key: image_facts(sample.image, key) for key, sample in found.items()}
    assert facts[f"{WNIDS[0]}_1"].format == "png"
    assert facts[f"{WNIDS[0]}_2"].components == 4
    assert {fact.exif_orientation for fact in facts.values()} >= set(range(2, 9))


def test_other_file_names_get_unique_keys_without_dots(tmp_path: Path) -> None:
    """Two classes may each have a 1.jpg."""
    files = {f"train/{wnid}/{name}": picture(n) for n, wnid in enumerate(WNIDS[:2]) for name in ("1.jpg", "a.b.jpg")}
    keys = list(samples(open_source("imagenet", str(write(tmp_path, files))), "train"))
    assert len(keys) == 4
    assert not [key for key in keys if "." in key]


def test_the_listing_of_kaggles_copy_is_no_label_file(tmp_path: Path) -> None:
    """``ImageSets/CLS-LOC/val.txt`` numbers the images from 1 to 50,000; these are no classes."""
    listing = "".join(f"ILSVRC2012_val_{number:08d} {number}\n" for number in range(1, VAL + 1)).encode()
    solution = "ImageId,PredictionString\n" + "".join(
        f"ILSVRC2012_val_{number:08d},{truth(number)} 1 2 3 4 {truth(number)} 5 6 7 8 \n"
        for number in range(VAL, 0, -1)
    )
    files = under("ILSVRC/Data/CLS-LOC/val", VAL_FILES)
    files |= {"ILSVRC/ImageSets/CLS-LOC/val.txt": listing, "LOC_val_solution.csv": solution.encode()}
    files |= {"LOC_synset_mapping.txt": mapping()}
    found = samples(open_source("imagenet", str(write(tmp_path, files))), "val")
    assert [sample.annotations["wnid"] for sample in found.values()] == [truth(n) for n in (2, 3, 5, 49_999)]


def test_the_identity_names_no_place_and_follows_the_content(whole: Path, tmp_path: Path) -> None:
    """A resumed write must notice other files."""
    before = open_source("imagenet", str(whole)).about()
    digest = hashlib.sha256(repr(sorted(before.identity.items())).encode()).hexdigest()
    assert not [value for pair in before.identity.items() for value in pair if re.search(str(tmp_path), value)]
    (whole / "train" / WNIDS[-1] / f"{WNIDS[-1]}_99.JPEG").write_bytes(picture(99))
    after = open_source("imagenet", str(whole)).about()
    assert hashlib.sha256(repr(sorted(after.identity.items())).encode()).hexdigest() != digest
