"""COCO and VQA packed together: each image once, with the objects, captions and questions that both say of it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

import shardstream as ss
from shardstream.cli.main import main
from shardstream.shard_writer.sources import SourceOptions, open_source
from shardstream.shard_writer.storage import open_store
from shardstream.shard_writer.types import Sample, Source

from .coco_files import body, instance, picture, write_coco
from .conformance import SourceConformance
from .vqa_files import Body, annotations, name_of, questions, small, write_vqa

JOINED_COCO = ("n_objects", "n_crowd", "labels", "n_keypoints", "n_captions")
JOINED_VQA = ("n_questions", "question_ids", "question_types", "question_answer_types")


def samples(name: str, folder: Path | str, split: str, *join: Path | str, **options: Any) -> dict[int, Sample]:
    source = open_source(name, str(folder), SourceOptions(join=tuple(map(str, join)), **options)).split(split)
    found = [source.read(record) for record in source.records()]
    return {sample.annotations["image_id"]: sample for sample in found}


def coco_of(folder: Path) -> dict[int, dict[str, Any]]:
    """What COCO's files say of each image, straight from json: ids of objects, captions, keypoints; size; links."""
    found: dict[int, dict[str, Any]] = {}
    for file in sorted((folder / "annotations").glob("*.json")):
        content = json.loads(file.read_text())
        for image in content["images"]:
            found.setdefault(image["id"], {"image": image, "instances": {}, "captions": {}, "person_keypoints": {}})
        kind = file.name.rpartition("_")[0]
        for entry in content["annotations"]:
            found[entry["image_id"]][kind][entry["id"]] = entry
    return found


def vqa_of(folder: Path) -> dict[int, list[tuple[str, list[Any]]]]:
    """Questions and answers of each image by question id, straight from json."""
    asked = json.loads((folder / name_of("questions", "train2014")).read_text())["questions"]
    answered = json.loads((folder / name_of("annotations", "train2014")).read_text())["annotations"]
    words = {entry["question_id"]: entry["answers"] for entry in answered}
    found: dict[int, list[tuple[str, list[Any]]]] = {}
    for entry in sorted(asked, key=lambda entry: int(entry["question_id"])):
        found.setdefault(entry["image_id"], []).append((entry["question"], words[entry["question_id"]]))
    return found


def check_coco(record: dict[str, Any], row: dict[str, Any], said: dict[str, Any]) -> None:
    """A sample's objects and captions, and its columns, are those of COCO's files."""
    assert [o["id"] for o in record["objects"]] == list(said["instances"])
    for made in record["objects"]:
        entry = said["instances"][made["id"]]
        assert [made[k] for k in ("bbox", "area", "category_id")] == [entry[k] for k in ("bbox", "area", "category_id")]
        person = said["person_keypoints"].get(made["id"], {"keypoints": []})
        assert made["keypoints"] == person["keypoints"]
    assert {c["id"]: c["caption"] for c in record["captions"]} == {i: c["caption"] for i, c in said["captions"].items()}
    for name in ("width", "height", "license", "coco_url"):
        assert record[name] == said["image"].get(name)
    assert (row["n_objects"], row["n_captions"] or 0) == (len(said["instances"]), len(said["captions"]))


@pytest.fixture(scope="module")
def both(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    """The 50 real VQA images joined with both real COCO folders, from the command line."""
    out = tmp_path_factory.mktemp("join") / "out"
    joins = ["--join", str(real_data / "coco/COCO-MINI"), "--join", str(real_data / "coco/tiny_coco")]
    assert main(["write", "vqa", "--source", str(real_data / "vqa/with_images"), "--out", str(out), *joins]) == 0
    return ss.open(out)


def test_vqa_and_coco_share_the_29_images_that_both_hold(real_data: Path, both: ss.ShardDataset) -> None:
    """25 of COCO-MINI, 4 of tiny_coco: each stored once, with objects, captions and questions in one record."""
    mini, tiny = coco_of(real_data / "coco/COCO-MINI"), coco_of(real_data / "coco/tiny_coco")
    asked = vqa_of(real_data / "vqa/with_images")
    rows = {row["image_id"]: row for row in both.index.to_pylist()}
    assert len(rows) == len(both) == 50
    shared = {number for number, row in rows.items() if row["n_objects"] is not None}
    assert shared == asked.keys() & (mini.keys() | tiny.keys())
    assert (len(shared), len(shared & mini.keys()), len(shared & tiny.keys())) == (29, 25, 4)
    for i in range(len(both)):
        record = both.record(*both.locate(i))
        number = record["image_id"]
        assert [(q["question"], q["answers"]) for q in record["questions"]] == asked[number]
        if number in shared:
            check_coco(record, rows[number], mini.get(number) or tiny[number])
            assert (rows[number]["n_captions"] is None) == (number in tiny)
        else:
            assert (record["objects"], record["captions"], record["license"]) == ([], [], None)
            assert [rows[number][name] for name in JOINED_COCO] == [None] * 5
    assert both.manifest.class_ids["labels"] == tuple(sorted(both.manifest.class_ids["labels"]))
    assert set(both.manifest.classes) == {"labels", "question_types", "question_answer_types"}


def test_what_belongs_to_no_image_here_is_counted(real_data: Path, both: ss.ShardDataset) -> None:
    """196 images in the joined files, 29 of them here; one image stands in both folders and counts once."""
    mini, tiny = coco_of(real_data / "coco/COCO-MINI"), coco_of(real_data / "coco/tiny_coco")
    said = {n: {k: v for d in (mini, tiny) if n in d for k, v in d[n]["instances"].items()} for n in {*mini, *tiny}}
    outside = said.keys() - vqa_of(real_data / "vqa/with_images").keys()
    count = sum(len(said[n]) + len(mini[n]["captions"] if n in mini else ()) for n in outside)
    assert (len(outside), len(said)) == (167, 196)
    assert (
        f"join: 167 of the 196 images in joined files are in no split here, left out with {count:,} annotations"
        in both.manifest.notes
    )
    assert "train2014: 29 of 50 images are in joined files, the others' columns are null" in both.manifest.notes


@pytest.mark.parametrize(("name", "split", "count"), [("COCO-MINI", "train2017", 25), ("tiny_coco", "val2017", 4)])
def test_coco_joined_with_vqa_has_its_questions(
    real_data: Path, tmp_path: Path, name: str, split: str, count: int
) -> None:
    """The other direction: COCO's splits and pictures, VQA's questions, null where it asks none."""
    folder, asked = real_data / "coco" / name, vqa_of(real_data / "vqa/with_images")
    ss.write("coco", folder, out=tmp_path / "out", join=str(real_data / "vqa/with_images"))
    said, ds = coco_of(folder), ss.open(tmp_path / "out", split=split)
    rows, found = {row["image_id"]: row for row in ds.index.to_pylist()}, 0
    for i in range(len(ds)):
        record = ds.record(*ds.locate(i))
        number = record["image_id"]
        assert [o["id"] for o in record["objects"]] == list(said[number]["instances"])
        assert [(q["question"], q["answers"]) for q in record["questions"]] == asked.get(number, [])
        if number in asked:
            found += 1
            assert rows[number]["question_ids"] == [q["question_id"] for q in record["questions"]]
        else:
            assert [rows[number][column] for column in JOINED_VQA] == [None] * 4
    assert found == count
    outside = {n: len(q) for n, q in asked.items() if n not in said}
    assert (
        f"join: {len(outside)} of the 50 images in joined files are in no split here, left out with"
        f" {sum(outside.values())} annotations"
    ) in ds.manifest.notes


def test_loaders_read_joined_nulls_as_nothing(both: ss.ShardDataset) -> None:
    """Images that the joined files do not list have no objects and no captions in a batch."""
    loader = ss.Loader(both.select(range(8)), batch_size=1)
    expected = [len(both.record(*both.locate(i))["objects"]) for i in range(8)]
    assert [len(batch["boxes"]) for batch in loader] == expected
    assert 0 in expected
    assert len(ss.Loader(both, batch_size=1, view="caption")) == 25 * 5


def coco(root: Path, split: str = "train2017", **changes: Any) -> Path:
    """COCO's small set under another split's name; its images 7, 42 and 300 are those of the small VQA set."""
    return write_coco(root, **{f"instances_{split}": {**body(), **changes}})


def captions(number: int, image: int, words: str) -> Body:
    return {**body(), "annotations": [{"id": number, "image_id": image, "caption": words}]}


class TestVqaWithCoco(SourceConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        """Image 42 is not in the joined files; val2014 has none that is."""
        folder = small(tmp_path / "vqa")
        write_vqa(folder, "val2014", (9,), questions=questions("val2014", {9: (9000,)}))
        images = [image for image in body()["images"] if image["id"] != 42]
        joined = coco(tmp_path / "coco", images=images)
        return open_source("vqa", str(folder), SourceOptions(join=(str(joined),)))


class TestCocoWithVqa(SourceConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        folder = small(
            tmp_path / "vqa", questions=questions(asked={7: (7000,)}), annotations=annotations(asked={7: (7000,)})
        )
        options = SourceOptions(join=(str(folder),), unlisted=True)
        joined = write_coco(tmp_path / "coco", instances_val2017=body())
        (joined / "val2017/000000000009.jpg").write_bytes(picture(9))
        return open_source("coco", str(joined), options)


class TestWithoutImages(SourceConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        options = SourceOptions(join=(str(coco(tmp_path / "coco")),), no_images=True)
        return open_source("vqa", str(small(tmp_path / "vqa", pictures=())), options)


def test_sizes_come_from_the_joined_files_where_no_image_is_packed(tmp_path: Path) -> None:
    """In the record and in the index; null for images that they do not list."""
    images = [image for image in body()["images"] if image["id"] != 42]
    folder, joined = small(tmp_path / "vqa", pictures=()), coco(tmp_path / "coco", images=images)
    ss.write("vqa", folder, out=tmp_path / "out", join=[str(joined)], no_images=True)
    ds = ss.open(tmp_path / "out")
    sizes = {row["image_id"]: (row["width"], row["height"]) for row in ds.index.to_pylist()}
    assert sizes == {7: (30, 20), 42: (None, None), 300: (30, 20)}


def test_one_folder_that_holds_both_is_joined_with_itself(tmp_path: Path) -> None:
    """Splits of the same name; the pictures are one set of files."""
    folder = small(tmp_path / "both")
    (folder / "annotations").mkdir()
    made = body()
    for image in made["images"]:
        image["file_name"] = f"COCO_train2014_{image['id']:012d}.jpg"
    (folder / "annotations/instances_train2014.json").write_text(json.dumps(made))
    asked = samples("vqa", folder, "train2014", folder)
    seen = samples("coco", folder, "train2014", folder)
    assert asked.keys() == seen.keys() == {7, 42, 300}
    for number, sample in asked.items():
        other = seen[number]
        assert (sample.key, sample.image, sample.columns) == (other.key, other.image, other.columns)
        assert sample.annotations == other.annotations
        assert len(sample.annotations["questions"]) == sample.columns["n_questions"]


def test_an_image_that_two_joined_folders_list_gets_what_both_say(tmp_path: Path) -> None:
    """Objects of one, captions and keypoints of the other; what both say stands there once."""
    person = instance(11, 7, keypoints=[1, 2, 2] * 17, num_keypoints=17)
    first = coco(tmp_path / "a")
    second = write_coco(
        tmp_path / "b",
        person_keypoints_val2017={**body(), "annotations": [person]},
        captions_val2017=captions(5, 7, "b"),
        captions_train2014=captions(2, 7, "a"),
    )
    found = samples("vqa", small(tmp_path / "vqa"), "train2014", first, second)
    objects = found[7].annotations["objects"]
    assert [o["id"] for o in objects] == [11, 3]
    assert [o["num_keypoints"] for o in objects] == [17, None]
    assert found[7].annotations["captions"] == [{"id": 2, "caption": "a"}, {"id": 5, "caption": "b"}]
    assert [found[7].columns[name] for name in JOINED_COCO] == [2, 0, [0, 1], 1, 2]
    assert samples("vqa", tmp_path / "vqa", "train2014", first, second, first) == found


def test_joined_files_that_only_list_an_image_count_nothing(tmp_path: Path) -> None:
    """Zero objects is what they say; of captions they say nothing."""
    found = samples("vqa", small(tmp_path / "vqa"), "train2014", coco(tmp_path / "coco"))
    assert found[42].annotations["objects"] == []
    assert found[42].columns["n_objects"] == 0
    assert "n_captions" not in found[42].columns
    both = write_coco(tmp_path / "b", captions_val2017=captions(1, 300, "x") | {"images": body()["images"][2:]})
    found = samples("vqa", tmp_path / "vqa", "train2014", tmp_path / "coco", both)
    assert [found[n].columns["n_captions"] for n in (7, 42, 300)] == [None, None, 1]


def test_test_questions_joined_to_coco_have_no_types(tmp_path: Path) -> None:
    """Their columns are null beside answered ones; questions that two splits ask are the same ones."""
    vqa = small(tmp_path / "vqa", questions=questions(asked={7: (7000,)}), annotations=annotations(asked={7: (7000,)}))
    write_vqa(vqa, "test2015", (), questions=questions("test2015", {42: (1, 2)}))
    write_vqa(vqa, "test-dev2015", (), questions=questions("test-dev2015", {42: (2,)}))
    found = samples("coco", write_coco(tmp_path / "coco", instances_val2017=body()), "val2017", vqa)
    assert [found[n].columns["question_ids"] for n in (7, 42, 300)] == [[7000], [1, 2], None]
    assert [found[n].columns["n_questions"] for n in (7, 42, 300)] == [1, 2, None]
    assert found[42].columns["question_types"] is None
    assert found[7].columns["question_types"] is not None


def test_karpathys_split_of_a_joined_folder_is_a_column(tmp_path: Path) -> None:
    """By image id, also of images that no other joined file lists."""
    joined = coco(tmp_path / "coco", images=body()["images"][:1], annotations=[])
    (joined / "dataset_coco.json").write_text(json.dumps({"images": [{"cocoid": 300, "split": "test"}]}))
    found = samples("vqa", small(tmp_path / "vqa"), "train2014", joined)
    assert [found[n].columns["karpathy"] for n in (7, 42, 300)] == [None, None, "test"]
    other = coco(tmp_path / "other")
    (other / "dataset_coco.json").write_text(json.dumps({"images": [{"cocoid": 300, "split": "val"}]}))
    with pytest.raises(ss.SourceError, match=r"image 300 is in Karpathy's 'val', a folder joined before says 'test'"):
        samples("vqa", tmp_path / "vqa", "train2014", joined, other)


def changed(change: str) -> Body:
    """COCO's small set, in contradiction to the small VQA set or to itself."""
    made = copy.deepcopy(body())
    image, entry = made["images"][0], made["annotations"][1]
    if change == "size":
        image["width"] = 31
    elif change in ("number", "split"):
        image["file_name"] = "000000000008.jpg" if change == "number" else "COCO_val2014_000000000007.jpg"
    elif change == "box":
        entry["bbox"] = [1, 2, 3, 4]
    elif change == "categories":
        made["categories"][0]["name"] = "brush"
    return made


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("size", r"000000000007\.jpg: the picture is 30x20, its annotations are for 31x20"),
        ("number", r"image 7 is COCO_train2014_000000000007\.jpg in one file and 000000000008\.jpg in a joined one"),
        ("split", r"image 7 is COCO_train2014_000000000007\.jpg .* and COCO_val2014_000000000007\.jpg in a joined one"),
    ],
)
def test_joined_files_of_other_images_are_refused(tmp_path: Path, change: str, message: str) -> None:
    """Another size than the picture's, another number, another split of 2014."""
    joined = write_coco(tmp_path / "coco", instances_val2017=changed(change))
    with pytest.raises(ss.SourceError, match=message):
        ss.write("vqa", small(tmp_path / "vqa"), out=tmp_path / "out", join=str(joined))
    assert not (tmp_path / "out/dataset.json").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("size", r"image 7: width is 30 in one joined file and 31 in another"),
        ("number", r"image 7 is 000000000007\.jpg in one file and 000000000008\.jpg in a joined one"),
        (
            "box",
            r"image 7: objects: id 11: bbox is \[1, 2, 10\.5, 8\] in one joined file and \[1, 2, 3, 4\] in another",
        ),
        ("categories", r"val2017 of join 2 and train2017 of join 1 list different categories"),
    ],
)
def test_joined_folders_that_contradict_each_other_are_refused(tmp_path: Path, change: str, message: str) -> None:
    """Sizes, files, objects of one id, categories."""
    joins = (coco(tmp_path / "a"), write_coco(tmp_path / "b", instances_val2017=changed(change)))
    with pytest.raises(ss.SourceError, match=message):
        samples("vqa", small(tmp_path / "vqa"), "train2014", *joins)


def test_questions_joined_to_another_image_of_2014_are_refused(tmp_path: Path) -> None:
    """VQA asks train2014's image 7; the COCO file says that it is val2014's."""
    folder = write_coco(tmp_path / "coco", instances_val2014=changed("split"))
    (folder / "val2017/000000000007.jpg").rename(folder / "val2017/COCO_val2014_000000000007.jpg")
    with pytest.raises(
        ss.SourceError, match=r"image 7 is COCO_val2014_000000000007\.jpg in one file and COCO_train2014_"
    ):
        samples("coco", folder, "val2014", small(tmp_path / "vqa"))


def test_the_same_question_with_other_answers_is_refused(tmp_path: Path) -> None:
    """Of two joined folders, neither is believed."""
    other = annotations()
    other["annotations"][-1]["answers"][0]["answer"] = "else"
    joins = (small(tmp_path / "a"), small(tmp_path / "b", annotations=other))
    with pytest.raises(ss.SourceError, match=r"question_id 7000: answers: answer_id 10: answer is 'a01' in one joined"):
        samples("coco", write_coco(tmp_path / "coco", instances_val2017=body()), "val2017", *joins)


def test_a_folder_without_the_other_benchmark_is_refused(tmp_path: Path) -> None:
    """Joining nothing would look like images without annotations."""
    vqa, other = small(tmp_path / "vqa"), write_coco(tmp_path / "coco", instances_val2017=body())
    with pytest.raises(ss.SourceError, match=r"no COCO annotations, such as"):
        samples("vqa", vqa, "train2014", vqa)
    with pytest.raises(ss.SourceError, match=r"no questions of VQA v2, such as"):
        samples("coco", other, "val2017", other)
    with pytest.raises(ss.OptionError, match=r"join is an option of coco and vqa, not of digits"):
        open_source("digits", None, SourceOptions(join=(str(vqa),)))


def test_joined_files_are_part_of_the_identity(tmp_path: Path) -> None:
    """By name and digest, never by place: with others, an interrupted write is not resumed."""
    vqa, joined = small(tmp_path / "vqa"), coco(tmp_path / "coco")
    identities = [
        open_source("vqa", str(vqa), SourceOptions(join=joins)).about().identity
        for joins in ((), (str(joined),), (str(coco(tmp_path / "c", annotations=[])),))
    ]
    assert len({json.dumps(identity) for identity in identities}) == 3
    assert not [text for identity in identities for text in (*identity, *identity.values()) if str(tmp_path) in text]


@pytest.mark.s3
def test_folders_on_disk_and_in_a_bucket_are_joined(weed: Any, tmp_path: Path) -> None:
    """Either way round; the credentials reach the bucket."""
    vqa, joined = small(tmp_path / "vqa"), coco(tmp_path / "coco")
    away = {}
    for folder in (vqa, joined):
        away[folder] = weed.url(folder.name)
        store = open_store(away[folder], weed.storage_options)
        for file in folder.rglob("*.*"):
            store.write(file.relative_to(folder).as_posix(), file.read_bytes())
    expected = samples("vqa", vqa, "train2014", joined)
    for source, other in ((vqa, away[joined]), (away[vqa], joined), (away[vqa], away[joined])):
        assert samples("vqa", source, "train2014", other, storage_options=weed.storage_options) == expected
