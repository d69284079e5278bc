"""Statistics of datasets whose images have parts, such as persons: histogram and co-occurrence per part."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import shardstream as ss
from shardstream.shard_writer.statistics import Statistics, merge, summary

from .sources.emotic_files import image, person, write_mat

NAMES = ("a", "b", "c", "d")
PARTS = st.lists(st.sets(st.integers(0, 3)).map(sorted), max_size=4)
"""One image: the labels of each part, some without any."""


def counted(images: list[list[list[int]]]) -> Statistics:
    statistics = Statistics()
    for parts in images:
        union = sorted({label for part in parts for label in part})
        statistics.add((30, 20), {"labels": union, "person_labels": parts})
    return statistics


@given(st.lists(PARTS, max_size=8), st.integers(0, 8))
def test_parts_are_counted_one_by_one_however_images_are_sharded(images: list[list[list[int]]], cut: int) -> None:
    """Against a count of parts by hand; images that hold a class, parts that do, parts that hold both."""
    shards = [counted(part).as_json() for part in (images[:cut], images[cut:])]
    found = summary(merge(shards), {"labels": NAMES, "person_labels": NAMES})
    parts = [part for image in images for part in image]
    holding = Counter(label for image in images for label in {label for part in image for label in part})
    each = Counter(label for part in parts for label in part)
    both = Counter(pair for part in parts for pair in combinations(part, 2))
    if not images:
        assert found["histograms"] == {}
        return
    assert found["histograms"]["person_labels"] == {name: holding[i] for i, name in enumerate(NAMES)}
    assert found["object_histograms"]["person_labels"] == {name: each[i] for i, name in enumerate(NAMES)}
    drawn = found["co_occurrence"]["person_labels"]
    assert {(a, b): n for a, rest in drawn.items() for b, n in rest.items()} == {
        (NAMES[a], NAMES[b]): n for (a, b), n in both.items()
    }


def test_classes_of_two_parts_co_occur_in_the_image_and_in_no_part() -> None:
    """One glad and one sad person make no person who is both."""
    found = summary(counted([[[0], [1, 2]]]), {"labels": NAMES, "person_labels": NAMES})
    assert found["co_occurrence"]["labels"] == {"a": {"b": 1, "c": 1}, "b": {"c": 1}}
    assert found["co_occurrence"]["person_labels"] == {"b": {"c": 1}}


def test_sizes_that_nobody_knows_do_not_count() -> None:
    """Without images, width and height may be null."""
    statistics = Statistics()
    statistics.add((None, None), {})
    statistics.add((10, None), {})
    statistics.add((30, 20), {})
    assert summary(statistics, {})["image_sizes"]["height"] == {"min": 20, "max": 20, "mean": 20 / 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images with two persons each, and one without."""
    glad, sad = (["Happiness", "Peace"], [8.0, 5.0, 5.0]), (["Sadness"], [2.0, 5.0, 5.0])
    images = [
        image("a.jpg", person((1, 1, 9, 9), glad), person((3, 3, 12, 12), sad)),
        image("b.jpg", person((1, 1, 9, 9), glad), person((3, 3, 12, 12), glad)),
        image("c.jpg"),
    ]
    return write_mat(tmp_path_factory.mktemp("people"), train=images)


@pytest.mark.parametrize("no_images", [False, True])
def test_a_packed_dataset_says_how_many_persons_hold_a_category(folder: Path, tmp_path: Path, no_images: bool) -> None:
    """Three glad persons on two images, one sad; with pictures and without."""
    ss.write("emotic", folder, out=tmp_path / "out", no_images=no_images, shard_size=4096)
    ds = ss.open(tmp_path / "out")
    assert len(ds.manifest.splits["train"].shards) > 1
    found: dict[str, Any] = dict(ds.statistics)
    assert {k: n for k, n in found["histograms"]["labels"].items() if n} == {"Happiness": 2, "Peace": 2, "Sadness": 1}
    persons = found["object_histograms"]["person_labels"]
    assert {k: n for k, n in persons.items() if n} == {"Happiness": 3, "Peace": 3, "Sadness": 1}
    assert found["co_occurrence"]["person_labels"] == {"Happiness": {"Peace": 3}}
    assert found["co_occurrence"]["labels"]["Happiness"] == {"Peace": 2, "Sadness": 1}
    assert found["image_sizes"]["width"] == {"min": 30, "max": 30, "mean": 30.0}


def test_the_index_holds_one_list_per_person(folder: Path, tmp_path: Path) -> None:
    """Arrow's own nested type, empty for an image without persons."""
    ss.write("emotic", folder, out=tmp_path / "out", no_images=True)
    table = ss.open(tmp_path / "out").index
    assert str(table.schema.field("person_labels").type) == "list<element: list<element: int64>>"
    rows = {row["key"]: row["person_labels"] for row in table.to_pylist()}
    happy, peace, sad = 16, 18, 20
    assert rows == {
        "mscoco/images/a": [[happy, peace], [sad]],
        "mscoco/images/b": [[happy, peace]] * 2,
        "mscoco/images/c": [],
    }
