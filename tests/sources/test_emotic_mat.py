"""Annotations.mat: annotators, combinations, gaps; and however MATLAB or SciPy wrapped them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat

from shardstream.shard_writer.sources.emotic_facts import CATEGORIES, compare_split, compare_whole
from shardstream.shard_writer.sources.emotic_records import clean_box
from shardstream.shard_writer.types import Sample

from .emotic_files import WRAPPINGS, cells, image, person, structs, write_mat
from .test_emotic import opened, samples

NAN = math.nan
FIVE = (
    (["Peace", "Happiness"], [7.0, 3.0, 6.0]),
    (["Happiness"], [8.0, 4.0, 6.0]),
    (["Doubt/Confusion"], [6.0, NAN, 6.0]),
    ([], [7.0, 5.0, 5.0]),
    (["Happiness", "Yearning"], [7.0, 4.0, 6.0]),
)
UNION = (["Doubt/Confusion", "Happiness", "Peace", "Yearning"], [7.0, NAN, 6.0])


def only(found: dict[str, Sample]) -> dict[str, Any]:
    """The JSON of the one image there."""
    (sample,) = found.values()
    return sample.annotations


def notes(folder: Path) -> str:
    return "\n".join(opened(folder).about().notes)


def test_the_categories_are_the_official_26_in_order() -> None:
    """Which is the alphabet's; the real counts of each are compared in test_emotic.py."""
    assert len(CATEGORIES) == 26
    assert list(CATEGORIES) == sorted(CATEGORIES)


def test_five_annotators_are_kept_with_their_votes(tmp_path: Path) -> None:
    """Combined as the file says: union, rounded mean, NaN where one gave none."""
    folder = write_mat(tmp_path, val=[image("a.jpg", person((2, 3, 12, 18), *FIVE, combined=UNION))])
    made = only(samples(folder, "val"))["persons"][0]
    assert [CATEGORIES[c] for c in made["categories"]] == ["Doubt/Confusion", "Happiness", "Peace", "Yearning"]
    assert {CATEGORIES[c]: n for c, n in enumerate(made["votes"]) if n} == {
        "Doubt/Confusion": 1, "Happiness": 3, "Peace": 1, "Yearning": 1,
    }  # fmt: skip
    assert made["vad"] == [7.0, None, 6.0]
    assert [[CATEGORIES[c] for c in one["categories"]] for one in made["annotators"]] == [
        ["Happiness", "Peace"], ["Happiness"], ["Doubt/Confusion"], [], ["Happiness", "Yearning"],
    ]  # fmt: skip
    assert made["annotators"][2]["vad"] == [6.0, None, 6.0]
    assert "1 persons have no full rating (NaN in valence, arousal or dominance), kept as null" in notes(folder)
    assert "union" not in notes(folder)
    assert "rounded mean" not in notes(folder)


def test_without_combined_fields_union_and_mean_are_taken(tmp_path: Path) -> None:
    """The plain arithmetic mean, not rounded; NaN where one annotator gave none."""
    folder = write_mat(tmp_path, train=[image("a.jpg", person((2, 3, 12, 18), *FIVE[:3]))])
    made = only(samples(folder, "train"))["persons"][0]
    assert [CATEGORIES[c] for c in made["categories"]] == ["Doubt/Confusion", "Happiness", "Peace"]
    assert made["vad"] == [7.0, None, 6.0]
    folder = write_mat(tmp_path / "two", train=[image("a.jpg", person((2, 3, 12, 18), FIVE[0], FIVE[1]))])
    assert only(samples(folder, "train"))["persons"][0]["vad"] == [7.5, 3.5, 6.0]


def test_combinations_that_differ_are_kept_as_given_and_counted(tmp_path: Path) -> None:
    """Published numbers were computed from the file's own combination."""
    folder = write_mat(
        tmp_path, val=[image("a.jpg", person((2, 3, 12, 18), *FIVE[:2], combined=(["Fear"], [9, 4, 6])))]
    )
    made = only(samples(folder, "val"))["persons"][0]
    assert (made["categories"], made["vad"]) == ([15], [9.0, 4.0, 6.0])
    assert "1 persons have combined categories that are not the union of all annotators'" in notes(folder)
    assert "1 persons have a combined rating that is not the rounded mean of all annotators'" in notes(folder)


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("said", [FIVE, FIVE[:1], ((["Peace"], [5.0, 6.5, 7.0]),)], ids=["five", "one", "one label"])
def test_every_wrapping_gives_the_same_samples(tmp_path: Path, wrapping: str, said: Any) -> None:
    """1 person, 1 label, 1 annotator, 1 image: as structs, cells, char matrices, columns or small integers."""
    people = [person((2, 3, 12, 18), *said, combined=UNION), person((1, 1, 30, 20), *said, combined=UNION)]
    images = [image("a.jpg", *people), image("b.jpg", people[0]), image("c.jpg")]
    for count in (3, 1):
        plain = write_mat(tmp_path / f"plain{count}", val=images[-count:] if count > 1 else images[1:2])
        other = write_mat(
            tmp_path / f"other{count}", WRAPPINGS[wrapping], val=images[-count:] if count > 1 else images[1:2]
        )
        assert samples(other, "val") == samples(plain, "val")
        assert len(samples(other, "val")) == count
    assert [len(s.annotations["persons"]) for s in samples(tmp_path / "other3", "val").values()] == [2, 1, 0]


def test_one_label_is_a_name_and_not_its_letters(tmp_path: Path) -> None:
    """The bug of readers that squeeze: ``list("Peace")``."""
    folder = write_mat(tmp_path, WRAPPINGS["one is not a list"], train=[image("a.jpg", person())])
    assert only(samples(folder, "train"))["persons"][0]["categories"] == [CATEGORIES.index("Peace")]


def test_n_col_is_the_width(tmp_path: Path) -> None:
    """The published converter calls it the row, and clamps x with it; pictures of 30 x 20 prove which is which."""
    made = only(samples(write_mat(tmp_path, train=[image("a.jpg", person((1, 1, 30, 20)))]), "train"))
    assert (made["width"], made["height"]) == (30, 20)
    assert made["persons"][0]["bbox"] == [0, 0, 30, 20]


def test_ids_of_the_original_database_are_kept_where_the_file_has_them(tmp_path: Path) -> None:
    """COCO's; a name where a number was expected and unknown fields are counted as left out."""
    info = structs([{"image_id": 562243, "annotations_id": np.array([[7, 9]])}])
    odd = structs([{"image_id": "ADE_train_1", "camera": "x"}])
    folder = write_mat(
        tmp_path,
        train=[image("a.jpg", person(), info=info), image("b.jpg", person(), info=odd, folder="ade20k/images")],
    )
    first, second = (sample.annotations for sample in samples(folder, "train").values())
    assert (first["original_database"], first["original_image_id"]) == ("mscoco", 562243)
    assert first["original_annotation_ids"] == [7, 9]
    assert (second["original_database"], second["original_image_id"]) == ("ade20k", None)
    assert "1 images have a field original_database.info.image_id, which is left out" in notes(folder)
    assert "1 images have a field original_database.info.camera, which is left out" in notes(folder)


def test_an_image_that_stands_twice_in_a_split_has_all_its_persons(tmp_path: Path) -> None:
    """As the CSV form joins them: numbered in the file's order."""
    twice = [image("a.jpg", person((2, 3, 12, 18))), image("b.jpg", person()), image("a.jpg", person((5, 5, 9, 9)))]
    folder = write_mat(tmp_path, train=twice)
    found = samples(folder, "train")
    assert list(found) == ["mscoco/images/a", "mscoco/images/b"]
    assert [p["bbox"] for p in found["mscoco/images/a"].annotations["persons"]] == [[1, 2, 12, 18], [4, 4, 9, 9]]
    assert [p["person"] for p in found["mscoco/images/a"].annotations["persons"]] == [0, 1]
    assert "1 images stand in the file more than once, their persons are joined" in notes(folder)


BOXES = [
    ((2, 3, 12, 18), [1, 2, 12, 18]),
    ((1, 1, 30, 20), [0, 0, 30, 20]),
    ((-5.5, 0, 99, 20.9), [0, 0, 30, 20]),
    ((2.9, 3.2, 12.9, 18.2), [1, 2, 12, 18]),
    ((12, 18, 2, 3), [1, 2, 12, 18]),
    ((12, 3, 2, 18), [1, 2, 12, 18]),
    ((7, 7, 7, 7), [6, 6, 7, 7]),
    ((7.2, 7, 7.1, 9), [6, 6, 7, 9]),
    ((-9, 3, -2, 18), None),
    ((0, 0, 0, 5), None),
    ((31, 3, 40, 18), None),
    ((3, 21, 9, 40), None),
]


@pytest.mark.parametrize(("box", "cleaned"), BOXES)
def test_boxes_are_cut_by_the_authors_rule(tmp_path: Path, box: tuple[float, ...], cleaned: list[int] | None) -> None:
    """x1' = max(1, x1) - 1, x2' = min(x2, width), whole pixels, swapped corners first put in order."""
    made = only(samples(write_mat(tmp_path, train=[image("a.jpg", person(box))]), "train"))
    kept = made["persons"] if cleaned else made["dropped_persons"]
    assert [(p["body_bbox"], p["bbox"]) for p in kept] == [(list(map(float, box)), cleaned)]
    assert len(made["persons"]) + len(made["dropped_persons"]) == 1


@given(st.tuples(*[st.integers(-8, 40)] * 4), st.integers(1, 32), st.integers(1, 32))
def test_a_cleaned_box_holds_the_pixels_that_matlab_counts(box: tuple[int, ...], width: int, height: int) -> None:
    """Pixels 1..width that lie between both corners, those included."""
    x1, y1, x2, y2 = box
    columns = [x for x in range(1, width + 1) if min(x1, x2) <= x <= max(x1, x2)]
    rows = [y for y in range(1, height + 1) if min(y1, y2) <= y <= max(y1, y2)]
    cleaned = clean_box(tuple(map(float, box)), width, height)
    if not (columns and rows):
        assert cleaned is None
        return
    assert cleaned is not None
    assert list(range(cleaned[0] + 1, cleaned[2] + 1)) == columns
    assert list(range(cleaned[1] + 1, cleaned[3] + 1)) == rows


def test_odd_persons_are_kept_and_counted(tmp_path: Path) -> None:
    """Empty, swapped and outside boxes, no category, the same box twice, a rating of 11 by one annotator."""
    together = (["Peace"], [6.0, 3.0, 7.0])
    folder = write_mat(
        tmp_path,
        train=[
            image(
                "a.jpg", person((40, 1, 50, 9)), person((12, 18, 2, 3)), person((2, 3, 99, 18)), person((2, 3, 99, 18))
            ),
            image("b.jpg", person((2, 3, 4, 5), ([], [5.0, 5.0, 5.0]))),
            image("c.jpg"),
        ],
        val=[image("d.jpg", person((2, 3, 4, 5), (["Peace"], [11.0, 3.0, 7.0]), combined=together, age="Old"))],
    )
    found = samples(folder, "train")
    first = found["mscoco/images/a"].annotations
    assert [p["person"] for p in first["persons"]] == [1, 2, 3]
    dropped = {"person": 0, "bbox": None, "reason": "the box lies outside the image"}
    assert [{name: p[name] for name in dropped} for p in first["dropped_persons"]] == [dropped]
    assert found["mscoco/images/a"].columns == {"n_persons": 3, "labels": [18], "person_labels": [[18]] * 3}
    assert found["mscoco/images/b"].columns == {"n_persons": 1, "labels": [], "person_labels": [[]]}
    assert found["mscoco/images/c"].columns == {"n_persons": 0, "labels": [], "person_labels": []}
    val = only(samples(folder, "val"))["persons"][0]
    assert (val["annotators"][0]["vad"], val["age"]) == ([11.0, 3.0, 7.0], "Old")
    said = notes(folder)
    for note in (
        "train: 1 persons have an empty box, kept under dropped_persons, such as Annotations.mat: train, mscoco/images/a.jpg",
        "train: 1 boxes have swapped corners, put in order",
        "train: 2 boxes leave their image, cut to it",
        "train: 2 persons share their box with another of the same image, kept",
        "train: 1 persons have no category, kept, such as Annotations.mat: train, mscoco/images/b.jpg, person 0",
        "train: 1 images have no person, kept, such as Annotations.mat: train, mscoco/images/c.jpg",
        "val: 1 persons have an annotator's rating outside 1 to 10, kept as given",
        "val: 1 persons have another gender or age than published, kept as given",
    ):
        assert note in said


def test_counts_are_held_against_the_published_ones() -> None:
    """A note where a split is partial or more than published; the paper's numbers where all three are whole."""
    assert compare_split("train", 23_700, 23_266) is None
    assert compare_split("val", 13, 12) == "val: partial, 12 of 3,315 persons with full ratings (13 persons in all)"
    assert "7,204 persons with full ratings, published are 7,203" in str(compare_split("test", 7_300, 7_204))
    whole = {"train": 23_266, "val": 3_315, "test": 7_203}
    assert compare_whole(whole, 23_571, 34_320) == "whole: 23,571 images and 34,320 persons, as published"
    assert "the paper counts 23,571 and 34,320" in str(compare_whole(whole, 23_554, 34_320))
    assert compare_whole({**whole, "val": 3_314}, 23_571, 34_320) is None
    assert compare_whole({"train": 23_266, "val": 3_315}, 23_571, 34_320) is None


def test_persons_that_the_published_converter_leaves_out_do_not_count_as_rated(tmp_path: Path) -> None:
    """NaN, and a crop that is empty without putting swapped corners in order; the samples keep them."""
    people = [
        person(),
        person((12, 18, 2, 3)),
        person((0.5, 3, 0.9, 18)),
        person((2, 3, 4, 5), (["Fear"], [NAN, 2.0, 3.0])),
    ]
    folder = write_mat(tmp_path, train=[image("a.jpg", *people)])
    assert "train: partial, 1 of 23,266 persons with full ratings (4 persons in all)" in notes(folder)
    made = only(samples(folder, "train"))
    assert [p["person"] for p in made["persons"]] == [0, 1, 3]


def test_annotators_who_gave_only_one_of_the_two_are_kept(tmp_path: Path) -> None:
    """Three named categories, two rated."""
    fields = person((2, 3, 12, 18), *FIVE[:3], combined=UNION)
    made = WRAPPINGS["as MATLAB writes it"].person(fields)
    made["annotations_continuous"] = made["annotations_continuous"][:, :2]
    one = WRAPPINGS["as MATLAB writes it"].image(image("a.jpg", fields))
    one["person"] = structs([made])
    folder = write_mat(tmp_path, train=[image("a.jpg", fields)])
    savemat(folder / "Annotations.mat", {"train": cells([structs([one])])})
    found = only(samples(folder, "train"))["persons"][0]
    assert [len(one["categories"]) for one in found["annotators"]] == [2, 1, 1]
    assert [one["vad"] for one in found["annotators"]] == [[7.0, 3.0, 6.0], [8.0, 4.0, 6.0], [None, None, None]]
