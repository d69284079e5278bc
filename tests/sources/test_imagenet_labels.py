"""Labels of ImageNet's validation images, from every file that is passed around."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from pathlib import Path

import pytest

from shardstream.errors import MissingExtra, SourceError
from shardstream.shard_writer.sources import open_source

from .imagenet_copies import (
    ID_OF,
    VAL,
    WNIDS,
    devkit,
    ground_truth,
    mapping,
    picture,
    tar,
    truth,
    val_name,
    write,
)

NUMBERS = (1, 2, 777, 50_000)


def lines(form: str) -> bytes:
    """The labels of all 50,000 images, line by line."""
    return "".join(form.format(n=n, w=truth(n), i=WNIDS.index(truth(n))) + "\n" for n in range(1, VAL + 1)).encode()


FORMS = {
    "ILSVRC2012_validation_synset_labels.txt": "{w}",
    "imagenet_2012_validation_synset_labels.txt": "{w}",
    "ImageNet_val_label.txt": "ILSVRC2012_val_{n:08d}.JPEG {w}",
    "val.txt": "ILSVRC2012_val_{n:08d}.JPEG {i}",
    "val_truth_caffe.txt": "ILSVRC2012_val_{n:08d}.JPEG {i}",
    "LOC_val_solution.csv": "ILSVRC2012_val_{n:08d},{w} 85 1 499 272 ",
}


def val(root: Path, files: dict[str, bytes]) -> Path:
    """Four validation images, the class list, and more files."""
    images = {f"val/{val_name(number)}": picture(number) for number in NUMBERS}
    return write(root, {"LOC_synset_mapping.txt": mapping(), **images, **files})


def labels(root: Path) -> list[int | None]:
    split = open_source("imagenet", str(root)).split("val")
    return [split.read(record).label for record in split.records()]


EXPECTED = [WNIDS.index(truth(number)) for number in NUMBERS]


@pytest.mark.parametrize("name", FORMS)
def test_each_label_file_gives_the_labels(tmp_path: Path, name: str) -> None:
    """By WordNet id or by label, named or in order."""
    head = b"ImageId,PredictionString\n" if name.endswith("csv") else b""
    assert labels(val(tmp_path, {name: head + lines(FORMS[name])})) == EXPECTED


def test_the_devkits_ids_are_not_labels(tmp_path: Path) -> None:
    """They lead to a WordNet id; its rank in the sorted list is the label."""
    assert labels(val(tmp_path, devkit())) == EXPECTED
    assert [ID_OF[truth(number)] - 1 for number in NUMBERS] != EXPECTED


def test_the_devkit_needs_no_unpacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The official ``.tar.gz``; its md5 is looked at, so this one's stands in for the published."""
    import gzip
    import hashlib

    from shardstream.shard_writer.sources import imagenet_facts

    data = gzip.compress(tar(devkit()))
    published = {
        **imagenet_facts.MD5,
        "ILSVRC2012_devkit_t12.tar.gz": hashlib.md5(data, usedforsecurity=False).hexdigest(),
    }
    monkeypatch.setattr(imagenet_facts, "MD5", published)
    assert labels(val(tmp_path, {"ILSVRC2012_devkit_t12.tar.gz": data})) == EXPECTED


def test_class_folders_below_val_are_labels(tmp_path: Path) -> None:
    """The common script sorts them so."""
    files = {f"val/{truth(n)}/{val_name(n)}": picture(n) for n in NUMBERS}
    assert labels(write(tmp_path, {"LOC_synset_mapping.txt": mapping(), **files})) == EXPECTED


def test_the_real_label_files_agree_and_are_read(real_data: Path, tmp_path: Path) -> None:
    """By WordNet id, and by caffe's index."""
    real = real_data / "imagenet"
    by_wnid = dict(line.split() for line in (real / "ImageNet_val_label.txt").read_text().splitlines())
    files = {f"val/{val_name(number)}": picture(number) for number in NUMBERS}
    for name in ("LOC_synset_mapping.txt", "ImageNet_val_label.txt", "val_truth_caffe.txt"):
        files[name] = (real / name).read_bytes()
    split = open_source("imagenet", str(write(tmp_path, files))).split("val")
    found = [split.read(record).annotations["wnid"] for record in split.records()]
    assert found == [by_wnid[val_name(number)] for number in NUMBERS]


def test_two_files_that_disagree_are_refused(tmp_path: Path) -> None:
    """The image and both values are named."""
    wrong = lines(FORMS["val.txt"]).replace(
        f"{val_name(777)} {WNIDS.index(truth(777))}\n".encode(), f"{val_name(777)} 3\n".encode()
    )
    with pytest.raises(SourceError, match=f"val_00000777.*({WNIDS[3]}.*{truth(777)}|{truth(777)}.*{WNIDS[3]})"):
        labels(val(tmp_path, {"val.txt": wrong, **devkit()}))


def test_a_folder_and_a_file_that_disagree_are_refused(tmp_path: Path) -> None:
    """An image sorted into the wrong class."""
    files = {f"val/{WNIDS[3]}/{val_name(2)}": picture(2), "LOC_synset_mapping.txt": mapping(), **devkit()}
    with pytest.raises(SourceError, match=f"{WNIDS[3]}.*{truth(2)}"):
        labels(write(tmp_path, files))


def test_images_without_labels_are_refused(tmp_path: Path) -> None:
    """With what to add."""
    with pytest.raises(SourceError, match=r"Add .*devkit_t12"):
        labels(val(tmp_path, {}))


def test_a_label_out_of_range_is_refused(tmp_path: Path) -> None:
    """Labels counted from 1."""
    counted_from_one = "".join(f"{val_name(n)} {WNIDS.index(truth(n)) + 1}\n" for n in range(1, VAL + 1)).encode()
    with pytest.raises(SourceError, match=r"label 1000 .*0 to 999"):
        labels(val(tmp_path, {"val.txt": counted_from_one}))


def test_a_ground_truth_of_another_length_is_refused(tmp_path: Path) -> None:
    """A file that was cut would shift nothing, but is not the official one."""
    with pytest.raises(SourceError, match=r"49,999.*50,000"):
        labels(val(tmp_path, devkit(ground_truth(VAL - 1))))


def test_a_ground_truth_of_unknown_ids_is_refused(tmp_path: Path) -> None:
    """Of another devkit."""
    with pytest.raises(SourceError, match="1001"):
        labels(val(tmp_path, devkit(ground_truth(VAL - 1) + b"1001\n")))


def test_a_damaged_meta_mat_is_refused(tmp_path: Path) -> None:
    """Cut short by a download."""
    for cut in (0, 100, 5000):
        kit = devkit()
        path = "ILSVRC2012_devkit_t12/data/meta.mat"
        kit[path] = kit[path][:cut]
        with pytest.raises(SourceError, match=r"meta\.mat"):
            labels(val(tmp_path / str(cut), kit))


def test_scipy_is_asked_for_by_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the devkit needs it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "scipy"]:
        monkeypatch.delitem(sys.modules, name)
    root = val(tmp_path, devkit())
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(MissingExtra, match=r"shardstream\[imagenet\]"):
        labels(root)


def test_real_labels_stand_beside_the_label(tmp_path: Path) -> None:
    """Entry i is image i + 1; an empty entry is a list, not null."""
    real = [[number % 1000, 5] if number != 2 else [] for number in range(1, VAL + 1)]
    source = open_source("imagenet", str(val(tmp_path, {"real.json": json.dumps(real).encode(), **devkit()})))
    split = source.split("val")
    assert split.info.columns["real_labels"] == "list<int64>"
    found = [split.read(record) for record in split.records()]
    assert [sample.annotations["real_labels"] for sample in found] == [[1, 5], [], [777, 5], [0, 5]]
    assert [sample.columns["real_labels"] for sample in found] == [[1, 5], [], [777, 5], [0, 5]]


def test_every_split_has_the_same_json_keys(tmp_path: Path) -> None:
    """``real_labels`` is null where there is no file."""
    files = {f"train/{WNIDS[4]}/{WNIDS[4]}_1.JPEG": picture(1), "test/ILSVRC2012_test_00000001.JPEG": picture(2)}
    source = open_source("imagenet", str(val(tmp_path, {**files, **devkit()})))
    for name in ("train", "val", "test"):
        split = source.split(name)
        keys = list(split.read(split.records()[0]).annotations)
        assert keys == ["file_name", "wnid", "label", "label_name", "real_labels"]


@pytest.mark.parametrize(
    ("body", "match"), [([[1]] * 49_999, "50,000"), ([[1000]] * VAL, "1000"), ({"a": 1}, "real.json")]
)
def test_real_labels_of_another_form_are_refused(tmp_path: Path, body: object, match: str) -> None:
    """Wrong length, wrong range, no list."""
    with pytest.raises(SourceError, match=match):
        labels(val(tmp_path, {"real.json": json.dumps(body).encode(), **devkit()}))


def test_a_cut_devkit_archive_is_refused(tmp_path: Path) -> None:
    """An interrupted download."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in devkit().items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    with pytest.raises(SourceError, match=r"devkit_t12\.tar\.gz"):
        labels(val(tmp_path, {"ILSVRC2012_devkit_t12.tar.gz": buffer.getvalue()[:-2000]}))
