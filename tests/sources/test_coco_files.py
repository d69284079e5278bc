"""COCO copies as people have them: 2014 names, one split of several, test images, sub-folders, leftovers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import shardstream as ss
from shardstream.shard_writer.sources import SourceOptions, open_source
from shardstream.shard_writer.types import Sample, Source

from .coco_files import SIZE, body, changed, instance, picture, write_coco, zipped


def opened(folder: Path, **options: Any) -> Source:
    return open_source("coco", str(folder), SourceOptions(**options))


def samples(folder: Path, split: str = "val2017", **options: Any) -> dict[str, Sample]:
    found = opened(folder, **options).split(split)
    return {record.key: found.read(record) for record in found.records()}


def of(numbers: list[int], name: str = "{:012d}.jpg") -> dict[str, Any]:
    """An annotation file of these images, without annotations."""
    images = [{"id": n, "file_name": name.format(n), "width": SIZE[0], "height": SIZE[1]} for n in numbers]
    return {**body(), "images": images, "annotations": []}


def put(folder: Path, place: str, content: dict[str, Any] | bytes) -> None:
    path = folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


def test_names_of_2014_are_keys(tmp_path: Path) -> None:
    """``COCO_val2014_000000000042``; ids are those of the file, and two such splits lie side by side."""
    for split, numbers in (("val2014", [42, 7]), ("train2014", [9])):
        put(tmp_path, f"annotations/instances_{split}.json", of(numbers, f"COCO_{split}_{{:012d}}.jpg"))
        for n in numbers:
            put(tmp_path, f"{split}/COCO_{split}_{n:012d}.jpg", picture(n))
    assert opened(tmp_path).splits() == ("train2014", "val2014")
    found = samples(tmp_path, "val2014")
    assert list(found) == ["COCO_val2014_000000000007", "COCO_val2014_000000000042"]
    assert [s.annotations["image_id"] for s in found.values()] == [7, 42]
    assert [s.image for s in found.values()] == [picture(7), picture(42)]


def test_splits_whose_images_are_not_there_are_left_out(tmp_path: Path) -> None:
    """annotations_trainval2017.zip annotates both splits; most people begin with val2017.zip."""
    folder = write_coco(tmp_path / "coco", instances_val2017=body(), instances_train2017=of([1, 2]))
    ss.write("coco", zipped(folder, tmp_path / "zips"), out=tmp_path / "out")
    ds = ss.open(tmp_path / "out")
    assert len(ds) == 3
    assert "train2017: left out, its annotations are there, none of its images is" in ds.manifest.notes
    for file in (folder / "val2017").iterdir():
        file.unlink()
    with pytest.raises(ss.SourceError, match=r"annotations of train2017, val2017, but none of their images"):
        opened(folder).splits()


def test_pictures_in_another_splits_folder_are_found_and_told(tmp_path: Path) -> None:
    """They belong to the split whose file lists them, and never to the other as unlisted ones."""
    folder = write_coco(tmp_path / "coco", instances_val2017=body(), instances_train2017=of([1, 2]))
    for n in (1, 2, 500):
        put(folder, f"val2017/{n:012d}.jpg", picture(n))
    source = opened(folder, unlisted=True)
    keys = {name: [record.key for record in source.split(name).records()] for name in source.splits()}
    assert keys == {
        "train2017": ["000000000001", "000000000002"],
        "val2017": ["000000000007", "000000000042", "000000000300", "000000000500"],
    }
    notes = source.about().notes
    assert "train2017: 2 images lie in a folder of another name, such as val2017/000000000001.jpg" in notes
    assert "val2017: 1 images that no annotation file lists, packed without annotations" in notes


def test_test_images_have_no_annotations(tmp_path: Path) -> None:
    """image_info files list images only; nothing is counted that nobody annotated."""
    put(tmp_path, "annotations/image_info_test2017.json", of([1, 2]))
    put(tmp_path, "annotations/image_info_test-dev2017.json", of([2]))
    for n in (1, 2):
        put(tmp_path, f"test2017/{n:012d}.jpg", picture(n))
    assert opened(tmp_path).splits() == ("test-dev2017", "test2017")
    found = samples(tmp_path, "test2017")
    assert [s.columns for s in found.values()] == [{"image_id": 1}, {"image_id": 2}]
    assert all(s.annotations["objects"] == s.annotations["captions"] == [] for s in found.values())
    assert list(samples(tmp_path, "test-dev2017")) == ["000000000002"]
    assert "test2017: partial, 2 of 40,670 images" in opened(tmp_path).about().notes
    put(tmp_path, "annotations/image_info_test2017.json", {**body(), "images": of([1, 7, 300])["images"]})
    with pytest.raises(ss.SourceError, match=r"holds 3 annotations; an image_info file has none"):
        opened(tmp_path).split("test2017").records()


def test_captions_alone_are_a_split_without_classes(tmp_path: Path) -> None:
    """No column counts objects that nobody looked for; captions stand in the order of their ids, verbatim."""
    words = [{"id": 9, "image_id": 42, "caption": "b "}, {"id": 2, "image_id": 42, "caption": "a\n"}]
    captions = {"images": body()["images"], "annotations": words}
    folder = write_coco(tmp_path / "coco", captions_val2017=captions)
    found = samples(folder)
    assert found["000000000042"].annotations["captions"] == [{"id": 2, "caption": "a\n"}, {"id": 9, "caption": "b "}]
    assert [s.columns for s in found.values()] == [
        {"image_id": n, "n_captions": c} for n, c in ((7, 0), (42, 2), (300, 0))
    ]
    about = opened(folder).about()
    assert (about.classes, about.class_ids) == ({}, {})
    assert "val2017: no annotation file of instances, person_keypoints" in about.notes


@pytest.mark.parametrize("where", ["val2017", "images/val2017", "images"])
def test_file_names_with_folders_are_followed(tmp_path: Path, where: str) -> None:
    """Two images of one name in two folders are two images."""
    listed = of([1, 2], "a/{}.jpg")
    listed["images"][1]["file_name"] = "b/1.jpg"
    put(tmp_path, "annotations/instances_val2017.json", listed)
    put(tmp_path, f"{where}/a/1.jpg", picture(1))
    put(tmp_path, f"{where}/b/1.jpg", picture(2))
    assert {key: s.image for key, s in samples(tmp_path).items()} == {"a/1": picture(1), "b/1": picture(2)}
    (tmp_path / where / "b/1.jpg").unlink()
    with pytest.raises(ss.SourceError, match=r"1 of the 2 images of val2017 are not there: b/1\.jpg"):
        samples(tmp_path)


def test_two_images_of_one_file_are_refused(tmp_path: Path) -> None:
    """One of them would vanish without a word."""
    made = body()
    made["images"][1]["file_name"] = made["images"][0]["file_name"]
    folder = write_coco(tmp_path / "coco", instances_val2017=made)
    with pytest.raises(ss.SourceError, match=r"images 7 and 42 both have file_name '000000000007\.jpg'"):
        samples(folder)


def test_two_pictures_of_one_id_are_refused(tmp_path: Path) -> None:
    """An unlisted copy under the 2014 name is the same image; results could not be told apart."""
    folder = write_coco(tmp_path / "coco", instances_val2017=body())
    put(folder, "val2017/COCO_val2014_000000000042.jpg", picture(42))
    assert len(samples(folder)) == 3
    with pytest.raises(ss.SourceError, match=r"COCO_val2014_000000000042\.jpg would both be image 42"):
        samples(folder, unlisted=True)
    (folder / "val2017/COCO_val2014_000000000042.jpg").rename(folder / "val2017/cat.jpg")
    with pytest.raises(ss.SourceError, match=r"cat\.jpg: an image that no annotation file lists, and no number"):
        samples(folder, unlisted=True)


def test_maps_under_a_splits_name_are_no_pictures_of_it(tmp_path: Path) -> None:
    """stuffthingmaps/val2017/*.png lie beside the images in many copies."""
    folder = write_coco(tmp_path / "coco", instances_val2017=body())
    put(folder, "stuffthingmaps/val2017/000000000042.png", picture(42))
    assert len(samples(folder, unlisted=True)) == 3
    assert not [note for note in opened(folder).about().notes if "no annotation file lists" in note]


def test_links_are_taken_from_any_file_that_has_them(tmp_path: Path) -> None:
    """Licence and addresses of an image, when only its instances file says them."""
    made = body()
    made["images"][0] |= {"license": 4, "coco_url": "u", "date_captured": "d"}
    folder = write_coco(tmp_path / "coco", instances_val2017=body(), captions_val2017={**made, "annotations": []})
    sample = samples(folder)["000000000007"].annotations
    assert [sample[k] for k in ("license", "coco_url", "flickr_url", "date_captured")] == [4, "u", None, "d"]


def test_a_category_of_the_keypoints_file_shifts_every_label(tmp_path: Path) -> None:
    """Labels are ranks among all categories, known only when every file was read."""
    people = {**body(), "categories": [{"id": 2, "name": "bicycle"}], "annotations": []}
    folder = write_coco(tmp_path / "coco", instances_val2017=body(), person_keypoints_val2017=people)
    assert opened(folder).about().class_ids == {"labels": (1, 2, 3, 90)}
    assert [o["label"] for o in samples(folder)["000000000007"].annotations["objects"]] == [0, 2]


RLE = {"size": [20, 30], "counts": [600]}
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("a true crowd", {"iscrowd": True}, r"iscrowd is True, not 0 or 1"),
    ("a crowd of 1.0", {"iscrowd": 1.0}, r"iscrowd is 1\.0, not 0 or 1"),
    ("a true area", {"area": True}, r"area is \[True\]"),
    ("an endless area", {"area": 10**400}, r"area is \[1000"),
    ("a negative id", {"id": -3}, r"annotation id -3: ids must be 1 or more"),
    ("an id of 70 bits", {"id": 1 << 70}, r"not an integer of 64 bits"),
    ("no segmentation but false", {"segmentation": False}, r"segmentation is False, neither polygons nor run lengths"),
    ("a point of text", {"segmentation": [[1, 2, "3", 4, 5, 6]]}, r"segmentation is \[1, 2, '3', 4, 5, 6\]"),
    ("runs of another size", {"segmentation": {**RLE, "size": [30, 20]}}, r"\[30, 20\], its image 7 is \[20, 30\]"),
    ("negative runs", {"segmentation": {**RLE, "counts": [-1, 601]}}, r"counts is \[-1, 601\], not run lengths"),
    ("half runs", {"segmentation": {**RLE, "counts": [0.5, 599.5]}}, r"counts is \[0\.5, 599\.5\], not run lengths"),
]


@pytest.mark.parametrize(("changes", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_values_that_only_look_like_numbers_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """As SourceError, with file and value, before a byte is written."""
    folder = write_coco(tmp_path / "coco", instances_val2017=changed(**changes))
    with pytest.raises(ss.SourceError, match=r"instances_val2017\.json.*" + message):
        ss.write("coco", folder, out=tmp_path / "out")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").rglob("*.tar"))


@pytest.mark.parametrize("number", ["1" + "0" * 5000, "1e400", "-Infinity", "NaN"])
def test_numbers_that_no_float_holds_are_named(tmp_path: Path, number: str) -> None:
    """JSON allows some, Python reads the others."""
    data = json.dumps(changed(area=-7)).replace("-7", number).encode()
    folder = write_coco(tmp_path / "coco", instances_val2017=data)
    with pytest.raises(ss.SourceError, match=r"instances_val2017\.json"):
        samples(folder)


@pytest.mark.parametrize("data", [b"\xff\xfe\xfa", b"[" * 100_000, b"[]", b'{"images": {}}', b'{"images": [1]}', b""])
def test_files_that_are_no_annotations_are_named(tmp_path: Path, data: bytes) -> None:
    """Not text, nested without end, other JSON, empty."""
    folder = write_coco(tmp_path / "coco", instances_val2017=data)
    with pytest.raises(ss.SourceError, match=r"instances_val2017\.json"):
        samples(folder)


@pytest.mark.parametrize(
    "entry",
    [{"cocoid": 7}, {"cocoid": "7", "split": "val"}, {"cocoid": 7, "split": "dev"}, {"filename": "x"}, "x"],
)
def test_a_karpathy_file_of_another_form_is_refused(tmp_path: Path, entry: Any) -> None:
    """A column of nulls would look like a set that Karpathy did not split."""
    folder = write_coco(tmp_path / "coco", instances_val2017=body())
    put(folder, "annotations/dataset_coco.json", {"images": [{"cocoid": 42, "split": "val"}, entry]})
    with pytest.raises(ss.SourceError, match=r"dataset_coco\.json: entry 1 of 'images' has cocoid .* and split"):
        samples(folder)


def test_an_image_in_two_of_karpathys_parts_is_refused(tmp_path: Path) -> None:
    """It would be trained on and tested on."""
    folder = write_coco(tmp_path / "coco", instances_val2017=body())
    entries = [{"cocoid": 42, "split": "val"}, {"cocoid": 42, "split": "test"}]
    put(folder, "dataset_coco.json", {"images": entries})
    with pytest.raises(ss.SourceError, match=r"image 42 is in 'val' and in 'test'"):
        samples(folder)


def test_karpathys_column_selects_from_a_packed_set(tmp_path: Path) -> None:
    """End to end; the samples' JSON is the same with and without it."""
    folder = write_coco(tmp_path / "coco", instances_val2017=body())
    plain = samples(folder)
    put(folder, "dataset_coco.json", {"images": [{"cocoid": 7, "split": "restval"}, {"cocoid": 300, "split": "test"}]})
    assert [s.annotations for s in samples(folder).values()] == [s.annotations for s in plain.values()]
    ss.write("coco", folder, out=tmp_path / "out")
    assert ss.open(tmp_path / "out").index["karpathy"].to_pylist() == ["restval", None, "test"]


def test_an_instance_id_in_two_files_needs_one_category(tmp_path: Path) -> None:
    """Keypoints join by id: of the same image, another category is another object."""
    person = instance(11, 7, category_id=3, keypoints=[0] * 51, num_keypoints=0)
    people = {**body(), "annotations": [person]}
    folder = write_coco(tmp_path / "coco", instances_val2017=body(), person_keypoints_val2017=people)
    with pytest.raises(ss.SourceError, match=r"annotation 11 is of image 7, category 3; .* of image 7, category 1"):
        samples(folder)
