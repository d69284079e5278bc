"""VQA: real questions and answers unchanged, all of an image in one sample, with pictures or without."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import shardstream as ss
from shardstream.cli.main import main
from shardstream.shard_writer.sources import SourceOptions, open_source
from shardstream.shard_writer.sources.vqa_facts import ANSWER_TYPES, QUESTION_TYPES, compare
from shardstream.shard_writer.storage import open_store
from shardstream.shard_writer.types import Sample, Source
from shardstream.shard_writer.verify import verify

from ..helpers import tree
from .coco_files import SIZE, picture
from .conformance import SourceConformance
from .vqa_files import ASKED, answers, name_of, questions, small, write_vqa, zipped_vqa


def opened(folder: Path, **options: Any) -> Source:
    return open_source("vqa", str(folder), SourceOptions(**options))


def samples(folder: Path, split: str = "train2014", **options: Any) -> dict[str, Sample]:
    found = opened(folder, **options).split(split)
    return {record.key: found.read(record) for record in found.records()}


class TestSmall(SourceConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        """Answers and pairs in one split, none in the other."""
        folder = small(tmp_path / "vqa")
        return opened(write_vqa(folder, "test2015", (7,), questions=questions("test2015", {7: (7000,)})))


class TestWithoutImages(SourceConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        return opened(small(tmp_path / "vqa", pictures=()), no_images=True)


class TestRealWithImages(SourceConformance):
    @pytest.fixture
    def source(self, real_data: Path) -> Source:
        return opened(real_data / "vqa/with_images")


def given(folder: Path) -> tuple[dict[int, dict[str, Any]], dict[int, dict[str, Any]]]:
    """Questions and annotations of the original files by question id, straight from json."""
    asked = json.loads((folder / name_of("questions", "train2014")).read_text())["questions"]
    answered = json.loads((folder / name_of("annotations", "train2014")).read_text())["annotations"]
    return {q["question_id"]: q for q in asked}, {a["question_id"]: a for a in answered}


def compare_with(folder: Path, ds: ss.ShardDataset) -> None:
    """Every question once, with its image, its type and its ten answers; the index says the same."""
    asked, answered = given(folder)
    index = {row["image_id"]: row for row in ds.index.to_pylist()}
    seen: list[int] = []
    for i in range(len(ds)):
        record = ds.record(*ds.locate(i))
        row, found = index[record["image_id"]], record["questions"]
        numbers = [question["question_id"] for question in found]
        assert numbers == sorted(numbers) == row["question_ids"]
        assert row["n_questions"] == len(found)
        for question in found:
            number = question["question_id"]
            one, other = asked[number], answered[number]
            assert (record["image_id"], question["question"]) == (one["image_id"], one["question"])
            for name in ("question_type", "answer_type", "multiple_choice_answer", "answers"):
                assert question[name] == other[name]
        assert [QUESTION_TYPES[n] for n in row["question_types"]] == [q["question_type"] for q in found]
        assert [ANSWER_TYPES[n] for n in row["question_answer_types"]] == [q["answer_type"] for q in found]
        seen += numbers
    assert sorted(seen) == sorted(asked) == sorted(answered)


def test_every_real_question_is_the_original_one(real_data: Path, tmp_path: Path) -> None:
    """50 images with 73 questions: text, types, answers with confidences and ids, image bytes."""
    folder = real_data / "vqa/with_images"
    ss.write("vqa", folder, out=tmp_path / "out")
    ds = ss.open(tmp_path / "out")
    compare_with(folder, ds)
    assert (len(ds), sum(ds.column("n_questions").tolist())) == (50, 73)
    for i in range(len(ds)):
        shard, row = ds.locate(i)
        record = ds.record(shard, row)
        original = folder / "train2014" / record["file_name"]
        assert record["file_name"] == f"COCO_train2014_{record['image_id']:012d}.jpg"
        assert bytes(ds.fetcher.member(shard, row, "jpg") or b"") == original.read_bytes()
    assert ds.manifest.notes == ("train2014: partial, 73 of 443,757 questions, 50 of 82,783 images",)


@pytest.fixture(scope="module")
def every_question(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    """38,718 real questions, packed without images from the command line."""
    out = tmp_path_factory.mktemp("all") / "out"
    assert main(["write", "vqa", "--source", str(real_data / "vqa/all"), "--out", str(out), "--no-images"]) == 0
    return ss.open(out)


def test_all_real_questions_make_an_index_without_images(real_data: Path, every_question: ss.ShardDataset) -> None:
    """No picture is there, and none is packed; sizes are unknown, not zero."""
    compare_with(real_data / "vqa/all", every_question)
    assert (len(every_question), sum(every_question.column("n_questions").tolist())) == (28_682, 38_718)
    assert list(every_question.info.fields) == ["json"]
    assert set(every_question.index["width"].to_pylist()) == {None}
    assert every_question.record(0, 0)["height"] is None
    assert "train2014: packed without images" in every_question.manifest.notes


def test_statistics_count_questions(real_data: Path, every_question: ss.ShardDataset) -> None:
    """By question type and answer type: several of one image count each."""
    _, answered = given(real_data / "vqa/all")
    counted = every_question.statistics["object_histograms"]
    for column, name in (("question_types", "question_type"), ("question_answer_types", "answer_type")):
        expected = Counter(entry[name] for entry in answered.values())
        assert {kind: count for kind, count in counted[column].items() if count} == dict(expected)


def test_the_question_types_are_the_published_ones(real_data: Path) -> None:
    """mscoco_question_types.txt, sorted; so that a subset's labels are those of the whole."""
    published = (real_data / "vqa/mscoco_question_types.txt").read_text().split("\n")
    assert list(QUESTION_TYPES) == sorted(name for name in published if name)
    assert len(QUESTION_TYPES) == 65


def test_a_whole_sample_by_hand(tmp_path: Path) -> None:
    """Record and columns of an image with three questions, two of them in pairs."""
    found = samples(small(tmp_path / "vqa"))
    assert list(found) == [f"COCO_train2014_{number:012d}" for number in (7, 42, 300)]
    sample = found["COCO_train2014_000000000007"]
    assert sample.image == picture(7)
    assert sample.annotations == {
        "image_id": 7, "file_name": "COCO_train2014_000000000007.jpg", "width": SIZE[0], "height": SIZE[1],
        "questions": [
            {"question_id": 7000, "question": "What is 7000?\n", "question_type": "is the", "answer_type": "yes/no",
             "multiple_choice_answer": "yes", "answers": answers(7000), "complementary_id": 300001},
            {"question_id": 7001, "question": "What is 7001?\n", "question_type": "how many", "answer_type": "number",
             "multiple_choice_answer": "2", "answers": answers(7001), "complementary_id": None},
        ],
    }  # fmt: skip
    what, other = QUESTION_TYPES.index("what"), ANSWER_TYPES.index("other")
    assert found["COCO_train2014_000000000300"].columns == {
        "image_id": 300, "n_questions": 3, "question_ids": [300000, 300001, 300002], "question_types": [what] * 3,
        "question_answer_types": [other] * 3, "question_pairs": [-1, 7000, 42000],
    }  # fmt: skip


def test_zips_give_the_bytes_that_folders_give(tmp_path: Path) -> None:
    """The official archives, and files below annotations/; packed by two workers."""
    folder = small(tmp_path / "vqa")
    ss.write("vqa", folder, out=tmp_path / "folders")
    ss.write("vqa", zipped_vqa(folder, tmp_path / "zips"), out=tmp_path / "zipped", workers=2)
    (folder / "annotations").mkdir()
    for file in folder.glob("*.json"):
        file.rename(folder / "annotations" / file.name)
    ss.write("vqa", folder, out=tmp_path / "below")
    shards = {n: data for n, data in tree(tmp_path / "folders").items() if not n.endswith("dataset.json")}
    assert len(shards) == 2
    for other in ("zipped", "below"):
        assert shards == {n: data for n, data in tree(tmp_path / other).items() if not n.endswith("dataset.json")}


def test_test_splits_have_no_answers(tmp_path: Path) -> None:
    """Not zero answers of type -1: the columns are not there. test-dev2015 shows test2015's pictures."""
    folder = write_vqa(tmp_path / "vqa", "test2015", (7, 42), questions=questions("test2015", {7: (1, 2), 42: (3,)}))
    write_vqa(folder, "test-dev2015", (), questions=questions("test-dev2015", {42: (3,)}))
    source = opened(folder)
    assert source.splits() == ("test-dev2015", "test2015")
    assert [source.split(name).info.shuffle for name in source.splits()] == [False, False]
    found = samples(folder, "test-dev2015")
    assert list(found) == ["COCO_test2015_000000000042"]
    sample = found["COCO_test2015_000000000042"]
    assert sample.image == picture(42)
    assert sample.columns == {"image_id": 42, "n_questions": 1, "question_ids": [3]}
    assert sample.annotations["questions"] == [
        {"question_id": 3, "question": "What is 3?\n", "question_type": None, "answer_type": None,
         "multiple_choice_answer": None, "answers": [], "complementary_id": None}
    ]  # fmt: skip
    about = source.about()
    assert about.classes == {}
    assert "test2015: no annotations file, its questions have no answers" in about.notes
    assert "test-dev2015: 1 pictures without a question, left out" in about.notes


def test_training_questions_are_packed_shuffled(tmp_path: Path) -> None:
    """Train only; val stays in the order of image ids."""
    folder = small(tmp_path / "vqa")
    write_vqa(folder, "val2014", (9,), questions=questions("val2014", {9: (9000,)}))
    source = opened(folder)
    assert {name: source.split(name).info.shuffle for name in source.splits()} == {"train2014": True, "val2014": False}


def test_pictures_of_2017_are_the_same_pictures(real_data: Path, tmp_path: Path) -> None:
    """Many people have train2017/000000000042.jpg only; in the real files too, below images/."""
    folder = small(tmp_path / "vqa", pictures=())
    (folder / "train2017").mkdir()
    for number in ASKED:
        (folder / f"train2017/{number:012d}.jpg").write_bytes(picture(number))
    found = samples(folder)
    assert list(found) == ["000000000007", "000000000042", "000000000300"]
    assert found["000000000042"].annotations["file_name"] == "000000000042.jpg"
    assert "train2014: 3 images lie in a folder of another name, such as train2017/000000000007.jpg" in (
        opened(folder).about().notes
    )
    (sample,) = samples(real_data / "embed_coco_ccby").values()
    assert sample.image == (real_data / "embed_coco_ccby/images/000000196393.jpg").read_bytes()
    assert sample.annotations["questions"][0]["question"] == "How many pets are present?"


def test_splits_whose_images_are_not_there_are_left_out(tmp_path: Path) -> None:
    """Questions of every split are small; most people begin with the pictures of one. Without images, all are packed."""
    folder = small(tmp_path / "vqa")
    write_vqa(folder, "val2014", (), questions=questions("val2014", {9: (9000,)}))
    (folder / name_of("annotations", "test2015")).write_text("{}")
    source = opened(folder)
    assert source.splits() == ("train2014",)
    assert "val2014: left out, its annotations are there, none of its images is" in source.about().notes
    lone = f"test2015: left out, {name_of('annotations', 'test2015')} is there, its questions are not"
    assert lone in source.about().notes
    assert opened(folder, no_images=True).splits() == ("train2014", "val2014")


def test_pairs_are_kept_where_both_questions_are(tmp_path: Path) -> None:
    """A subset's pairs file names questions of the whole; the first of two pairs counts."""
    pairs = [[7000, 42000], [42000, 7000], [7001, 999], [998, 997], [300000, 7000]]
    folder = small(tmp_path / "vqa", pairs=pairs)
    columns = [sample.columns["question_pairs"] for sample in samples(folder).values()]
    assert columns == [[42000, -1], [7000], [7000, -1, -1]]
    notes = opened(folder).about().notes
    name = name_of("pairs", "train2014")
    assert f"train2014: 3 questions of {name} are not here; their partners count as questions without one" in notes
    assert "train2014: 1 questions are in several pairs, the first counts: 7000" in notes


def test_a_set_is_held_against_the_published_counts() -> None:
    """Whole, partial, and one with more questions than there are."""
    assert compare("val2014", 214_354, 40_504) is None
    assert compare("test-dev2015", 107_394, 30_000) is None
    assert compare("mine", 1, 1) is None
    assert compare("test-dev2015", 4, 3) == "test-dev2015: partial, 4 of 107,394 questions"
    assert compare("test2015", 447_793, 81_433) == (
        "test2015: not as published, 447,793 of 447,793 questions, 81,433 of 81,434 images"
    )
    assert compare("train2014", 443_758, 82_783) == (
        "train2014: not as published, 443,758 of 443,757 questions, 82,783 of 82,783 images"
    )


def test_a_dataset_without_images_reads_and_verifies(tmp_path: Path) -> None:
    """Records by position, checksums, and the same rows as with pictures."""
    ss.write("vqa", small(tmp_path / "vqa"), out=tmp_path / "with")
    ss.write("vqa", tmp_path / "vqa", out=tmp_path / "without", no_images=True)
    with_images, without = ss.open(tmp_path / "with"), ss.open(tmp_path / "without")
    assert verify(open_store(tmp_path / "without"), without.manifest) == []
    for column in ("key", "question_ids", "question_types", "question_answer_types", "question_pairs"):
        assert with_images.index[column].to_pylist() == without.index[column].to_pylist()
    sizes = [without.record(*without.locate(i)).pop("width") for i in range(3)]
    assert sizes == [None] * 3
