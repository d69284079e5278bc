"""COCO: real annotations unchanged, all of an image in one sample, folders and zips alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pycocotools import mask as official

import shardstream as ss
from shardstream.loaders.masks import rle_mask
from shardstream.shard_writer.sources import SourceOptions, open_source
from shardstream.shard_writer.sources.coco_facts import SplitFacts, compare
from shardstream.shard_writer.types import Sample, Source

from ..helpers import tree
from .coco_files import body, changed, instance, picture, write_coco, zipped
from .conformance import SourceConformance


def opened(folder: Path, **options: Any) -> Source:
    return open_source("coco", str(folder), SourceOptions(**options))


def samples(folder: Path, split: str = "val2017", **options: Any) -> dict[str, Sample]:
    found = opened(folder, **options).split(split)
    return {record.key: found.read(record) for record in found.records()}


class TestSmall(SourceConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        captions = {**body(), "annotations": [{"id": 2, "image_id": 42, "caption": " A cat.\n"}]}
        return opened(write_coco(tmp_path / "coco", instances_val2017=body(), captions_val2017=captions))


class TestRealMini(SourceConformance):
    @pytest.fixture
    def source(self, real_data: Path) -> Source:
        return opened(real_data / "coco/COCO-MINI")


class TestRealTiny(SourceConformance):
    @pytest.fixture
    def source(self, real_data: Path) -> Source:
        return opened(real_data / "coco/tiny_coco")


def given(folder: Path, kind: str, split: str) -> dict[int, list[dict[str, Any]]]:
    """Annotations of the original file by image, straight from json."""
    file = folder / "annotations" / f"{kind}_{split}.json"
    if not file.exists():
        return {}
    found: dict[int, list[dict[str, Any]]] = {}
    for entry in json.loads(file.read_text())["annotations"]:
        found.setdefault(entry["image_id"], []).append(entry)
    return found


@pytest.mark.parametrize(
    ("name", "split", "count"),
    [
        ("COCO-MINI", "train2017", 80),
        ("COCO-MINI", "val2017", 79),
        ("tiny_coco", "train2017", 32),
        ("tiny_coco", "val2017", 6),
    ],
)
def test_every_annotation_is_the_original_one(
    real_data: Path, tmp_path: Path, name: str, split: str, count: int
) -> None:
    """Packed, then read through ``ds[i]``: boxes, areas, crowds, segmentations, keypoints, captions, ids, image bytes."""
    folder = real_data / "coco" / name
    ss.write("coco", folder, out=tmp_path / "out", split=split)
    ds = ss.open(tmp_path / "out")
    instances, keypoints, captions = (
        given(folder, kind, split) for kind in ("instances", "person_keypoints", "captions")
    )
    images = {i["id"]: i for i in json.loads((folder / f"annotations/instances_{split}.json").read_text())["images"]}
    names = {
        c["id"]: c["name"]
        for c in json.loads((folder / f"annotations/instances_{split}.json").read_text())["categories"]
    }
    assert len(ds) == count == len(images)
    assert ds.manifest.class_ids["labels"] == tuple(sorted(names))
    assert ds.manifest.classes["labels"] == tuple(names[number] for number in sorted(names))
    for i in range(len(ds)):
        item, number = ds[i], ds[i]["image_id"]
        assert {k: item[k] for k in ("file_name", "width", "height", "license", "coco_url")} == {
            k: images[number].get(k) for k in ("file_name", "width", "height", "license", "coco_url")
        }
        persons = {entry["id"]: entry for entry in keypoints.get(number, [])}
        assert [o["id"] for o in item["objects"]] == [e["id"] for e in instances.get(number, [])]
        for made, entry in zip(item["objects"], instances.get(number, []), strict=True):
            assert [made[k] for k in ("category_id", "bbox", "area", "iscrowd")] == [
                entry[k] for k in ("category_id", "bbox", "area", "iscrowd")
            ]
            assert made["label"] == sorted(names).index(entry["category_id"])
            if entry["iscrowd"]:
                assert (made["polygons"], made["rle"]) == ([], {**entry["segmentation"], "compressed": None})
            else:
                assert (made["polygons"], made["rle"]) == (entry["segmentation"], None)
            person = persons.pop(entry["id"], None)
            assert made["keypoints"] == (person["keypoints"] if person else [])
            assert made["num_keypoints"] == (person["num_keypoints"] if person else None)
        assert not persons
        assert item["captions"] == [
            {"id": e["id"], "caption": e["caption"]} for e in sorted(captions.get(number, []), key=lambda e: e["id"])
        ]
        shard, row = ds.locate(i)
        original = next(path for path in folder.rglob(item["file_name"]))
        assert bytes(ds.fetcher.member(shard, row, "jpg") or b"") == original.read_bytes()


def test_index_columns_count_what_the_annotations_hold(real_data: Path, tmp_path: Path) -> None:
    """So that samplers and views need not read a sample."""
    folder = real_data / "coco/COCO-MINI"
    ss.write("coco", folder, out=tmp_path / "out", split="val2017")
    ds = ss.open(tmp_path / "out")
    instances, captions = given(folder, "instances", "val2017"), given(folder, "captions", "val2017")
    keypoints = given(folder, "person_keypoints", "val2017")
    for row in ds.index.to_pylist():
        mine = instances.get(row["image_id"], [])
        assert row["n_objects"] == len(mine) == len(row["labels"])
        assert row["n_crowd"] == sum(e["iscrowd"] for e in mine)
        assert row["n_captions"] == len(captions.get(row["image_id"], []))
        assert row["n_keypoints"] == sum(e["num_keypoints"] > 0 for e in keypoints.get(row["image_id"], []))
    counts = ds.statistics["object_histograms"]["labels"]
    everything = [e for entries in instances.values() for e in entries]
    assert counts["person"] == sum(e["category_id"] == 1 for e in everything)
    assert sum(counts.values()) == len(everything)
    held = [{e["category_id"] for e in entries} for entries in instances.values()]
    assert ds.statistics["histograms"]["labels"]["person"] == sum(1 in s for s in held)
    assert ds.statistics["co_occurrence"]["labels"]["person"]["car"] == sum({1, 3} <= s for s in held)


def test_zips_give_the_bytes_that_folders_give(real_data: Path, tmp_path: Path) -> None:
    """The official archives, without unpacking; packed by two workers."""
    folder = real_data / "coco/COCO-MINI"
    ss.write("coco", folder, out=tmp_path / "folders", split="val2017")
    ss.write("coco", zipped(folder, tmp_path / "zips"), out=tmp_path / "zipped", split="val2017", workers=2)
    shards = {name: data for name, data in tree(tmp_path / "folders").items() if not name.endswith("dataset.json")}
    assert shards == {n: data for n, data in tree(tmp_path / "zipped").items() if not n.endswith("dataset.json")}


def test_images_without_an_entry_are_packed_only_when_asked(real_data: Path) -> None:
    """80 of COCO-MINI's; left out they are counted, packed they have no annotations."""
    folder = real_data / "coco/COCO-MINI"
    listed = samples(folder)
    assert len(listed) == 79
    assert any("80 images that no annotation file lists, left out" in note for note in opened(folder).about().notes)
    every = samples(folder, unlisted=True)
    assert len(every) == 159
    for key in every.keys() - listed.keys():
        assert every[key].annotations["objects"] == every[key].annotations["captions"] == []
        assert every[key].annotations["image_id"] == int(key)
    assert {key: every[key] for key in listed} == listed


def test_images_with_no_annotation_are_kept(tmp_path: Path) -> None:
    """They count in every evaluation; records stand in the order of image ids."""
    found = samples(write_coco(tmp_path / "coco", instances_val2017=body()))
    assert list(found) == ["000000000007", "000000000042", "000000000300"]
    assert found["000000000042"].annotations["objects"] == []
    assert [o["label"] for o in found["000000000007"].annotations["objects"]] == [0, 1]
    assert found["000000000300"].annotations["objects"][0]["label"] == 2


def test_keypoints_alone_become_objects(tmp_path: Path) -> None:
    """A set of person_keypoints only; and a person that the instances do not know."""
    person = instance(99, 42, keypoints=[1, 2, 2] * 17, num_keypoints=17)
    people = {**body(), "annotations": [person]}
    alone = samples(write_coco(tmp_path / "alone", person_keypoints_val2017=people))
    assert [o["id"] for o in alone["000000000042"].annotations["objects"]] == [99]
    joined = samples(write_coco(tmp_path / "joined", instances_val2017=body(), person_keypoints_val2017=people))
    assert joined["000000000042"].annotations == alone["000000000042"].annotations
    assert joined["000000000042"].columns["n_keypoints"] == 1


def test_compressed_run_lengths_are_kept_as_text(tmp_path: Path) -> None:
    """Apart from counts as numbers, and the same mask."""
    import numpy as np

    mask = np.asfortranarray(np.random.default_rng(1).integers(0, 2, (20, 30), dtype=np.uint8))
    rle: Any = official.encode(mask)
    text = rle["counts"].decode()
    folder = write_coco(tmp_path / "coco", instances_val2017=changed(segmentation={"size": [20, 30], "counts": text}))
    made = samples(folder)["000000000007"].annotations["objects"][1]["rle"]
    assert made == {"size": [20, 30], "counts": [], "compressed": text}
    assert np.array_equal(rle_mask(made), mask)


def test_karpathys_split_is_a_column(tmp_path: Path) -> None:
    """By image id; images that it does not know have none."""
    folder = write_coco(tmp_path / "coco", instances_val2014=body())
    (folder / "val2017").rename(folder / "val2014")
    karpathy = {"images": [{"cocoid": 7, "split": "restval"}, {"cocoid": 300, "split": "test"}], "dataset": "coco"}
    (folder / "dataset_coco.json").write_text(json.dumps(karpathy))
    found = samples(folder, "val2014")
    assert [s.columns["karpathy"] for s in found.values()] == ["restval", None, "test"]


def test_odd_shapes_are_kept_and_counted(tmp_path: Path) -> None:
    """No width, no height, two points, half a point: as given, with their ids in a note."""
    odd = changed(bbox=[1, 2, 0, 5], segmentation=[[1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7]])
    folder = write_coco(tmp_path / "coco", instances_val2017=odd)
    made = samples(folder)["000000000007"].annotations["objects"][1]
    assert made["bbox"] == [1, 2, 0, 5]
    assert made["polygons"] == [[1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7]]
    notes = " ".join(opened(folder).about().notes)
    assert "1 boxes without width or height, kept as given: ids 3" in notes
    assert "1 objects with polygons of fewer than 3 points or half a point, kept as given: ids 3" in notes
    ss.write("coco", folder, out=tmp_path / "out")
    batch = next(iter(ss.Loader(ss.open(tmp_path / "out"), batch_size=3, masks=True)))
    assert [len(t["masks"]) for t in batch.targets(masks=True)] == [2, 0, 1]
    assert [len(t["boxes"]) for t in batch.targets(training=True)] == [1, 0, 0]


def twice(name: str) -> dict[str, Any]:
    made = body()
    made[name].append(made[name][-1])
    return made


def other_image() -> dict[str, Any]:
    return {**body(), "annotations": [instance(3, 300, category_id=3, keypoints=[0] * 51, num_keypoints=0)]}


BAD: list[tuple[str, Callable[[], dict[str, Any]], str]] = [
    ("an unknown image", lambda: changed(image_id=8), r"1 annotations are of images .* first id 3 of image 8"),
    ("annotation id 0", lambda: changed(id=0), r"annotation id 0: ids must be 1 or more"),
    ("an annotation twice", lambda: twice("annotations"), r"annotations id 3 stands there twice"),
    ("an image twice", lambda: twice("images"), r"images id 300 stands there twice"),
    ("an unknown category", lambda: changed(category_id=2), r"annotation 3 has category 2"),
    ("a box of three", lambda: changed(bbox=[1, 2, 3]), r"annotation 3: bbox is \[1, 2, 3\], not 4 finite numbers"),
    ("a box of text", lambda: changed(bbox=[1, 2, 3, "4"]), r"annotation 3: bbox is"),
    ("no area", lambda: changed(area=None), r"annotation 3: area is \[None\]"),
    ("NaN", lambda: changed(area=float("nan")), r"holds NaN, which is no number"),
    ("crowd 2", lambda: changed(iscrowd=2), r"annotation 3: iscrowd is 2"),
    ("a mask of text", lambda: changed(segmentation="x"), r"annotation 3: segmentation is 'x'"),
    (
        "runs that do not fill",
        lambda: changed(segmentation={"size": [20, 30], "counts": [1]}),
        r"annotation 3: segmentation covers 1 pixels, its size \[20, 30\] has 600",
    ),
    ("an id of text", lambda: changed(id="3"), r"annotations 3: id is '3', not an integer"),
]


@pytest.mark.parametrize(("made", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_annotations_that_contradict_themselves_are_named(
    tmp_path: Path, made: Callable[[], dict[str, Any]], message: str
) -> None:
    """File, id, and both values; nothing is written."""
    folder = write_coco(tmp_path / "coco", instances_val2017=made())
    with pytest.raises(ss.SourceError, match=message) as caught:
        ss.write("coco", folder, out=tmp_path / "out")
    assert "instances_val2017.json" in str(caught.value)
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_files_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    """Keypoints of another image than the instance's; another name for one image; other categories."""
    folder = write_coco(tmp_path / "a", instances_val2017=body(), person_keypoints_val2017=other_image())
    with pytest.raises(
        ss.SourceError, match=r"annotation 3 is of image 300, category 3; among the instances it is of image 7"
    ):
        opened(folder).split("val2017").records()
    renamed = body()
    renamed["images"][0]["height"] = 21
    folder = write_coco(tmp_path / "b", instances_val2017=body(), captions_val2017={**renamed, "annotations": []})
    with pytest.raises(
        ss.SourceError, match=r"captions_val2017\.json: image 7 has height 21, another file of the split says 20"
    ):
        opened(folder).split("val2017").records()


def test_broken_json_is_named_with_its_place(tmp_path: Path) -> None:
    """File, line and column."""
    cut = json.dumps(body(), indent=1).encode()[:200]
    folder = write_coco(tmp_path / "coco", instances_val2017=cut)
    with pytest.raises(ss.SourceError, match=r"instances_val2017\.json: broken JSON at line \d+, column \d+"):
        opened(folder).split("val2017").records()


def test_missing_images_are_counted_and_named(tmp_path: Path) -> None:
    """Before anything is packed."""
    folder = write_coco(tmp_path / "coco", instances_val2017=body())
    (folder / "val2017" / "000000000042.jpg").unlink()
    with pytest.raises(ss.SourceError, match=r"1 of the 3 images of val2017 are not there: 000000000042\.jpg"):
        ss.write("coco", folder, out=tmp_path / "out")


def test_a_picture_of_another_size_is_named(tmp_path: Path) -> None:
    """Boxes of a resized copy would be wrong."""
    folder = write_coco(tmp_path / "coco", instances_val2017=body())
    (folder / "val2017" / "000000000042.jpg").write_bytes(picture(42, (15, 10)))
    with pytest.raises(ss.SourceError, match=r"000000000042\.jpg: the picture is 15x10, its annotations are for 30x20"):
        ss.write("coco", folder, out=tmp_path / "out")


def test_folders_and_zips_that_hold_no_coco_are_named(tmp_path: Path, real_data: Path) -> None:
    """A wrong folder, a zip cut short, a split that is not there, two files of one kind."""
    with pytest.raises(ss.SourceError, match=r"no COCO annotations, such as annotations/instances_val2017\.json"):
        opened(real_data / "imagenet").splits()
    folder = zipped(write_coco(tmp_path / "coco", instances_val2017=body()), tmp_path / "zips")
    data = (folder / "val2017.zip").read_bytes()
    (folder / "val2017.zip").write_bytes(data[:-40])
    with pytest.raises(ss.SourceError, match=r"val2017\.zip is no whole zip .* Load it again"):
        opened(folder).splits()
    with pytest.raises(ss.SourceError, match=r"split 'train2017' is not there; there are val2017"):
        opened(tmp_path / "coco").split("train2017")
    (tmp_path / "coco" / "instances_val2017.json").write_text(json.dumps(body()))
    with pytest.raises(ss.SourceError, match=r"are both instances of val2017; keep one"):
        opened(tmp_path / "coco").splits()
    with pytest.raises(ss.OptionError, match=r"encode='png' does not apply"):
        opened(tmp_path / "coco", encode="png")


def test_a_whole_official_set_is_held_against_the_published_counts() -> None:
    """A partial one is packed, saying so."""
    assert compare("val2017", SplitFacts(5000, 36_781, 446, 48, 25_014)) is None
    assert compare("val2017", SplitFacts(5000)) is None
    assert compare("val2017", SplitFacts(79, 624)) == "val2017: partial, 79 of 5,000 images"
    assert compare("mine", SplitFacts(79, 624)) is None
    with pytest.raises(ss.SourceError, match=r"all 5,000 official images, but objects: 36,780, published are 36,781"):
        compare("val2017", SplitFacts(5000, 36_780, 446, 48, 25_014))
