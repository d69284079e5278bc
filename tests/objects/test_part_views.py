"""Persons and questions as items: each once, fully shuffled, over any ranks, workers and resumes."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shardstream as ss

from ..toy_people import pack_toy_people, people_key, people_source, toy_people_record
from ..toy_questions import pack_toy_questions, questions_source, toy_question, toy_question_record
from .part_views import ID, Part, distinct_if_uniform, image_numbers, parts_of, rows_of

COUNT = 30
PEOPLE = [toy_people_record(i) for i in range(COUNT)]
ASKED = [toy_question_record(i) for i in range(COUNT)]
PARTS: Mapping[str, list[Part]] = {
    "person": [(people_key(record), person["person"]) for record in PEOPLE for person in record["persons"]],
    "question": [
        (record["file_name"].removesuffix(".jpg"), q["question_id"]) for record in ASKED for q in record["questions"]
    ],
}
VIEWS = pytest.mark.parametrize("view", ["person", "question"])


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ss.ShardDataset]:
    folder = tmp_path_factory.mktemp("parts")
    return {
        "person": pack_toy_people(folder / "people", COUNT),
        "question": pack_toy_questions(folder / "questions", COUNT),
    }


@settings(max_examples=30)
@given(
    st.sampled_from(["person", "question"]),
    st.integers(0, 99),
    st.integers(1, 4),
    st.integers(1, 9),
    st.booleans(),
)
def test_every_part_comes_exactly_once_over_all_ranks(
    sets: dict[str, ss.ShardDataset], view: str, seed: int, world: int, batch: int, shuffle: bool
) -> None:
    """Images without any, and persons that were dropped, never come."""
    options: dict[str, Any] = {"view": view, "batch_size": batch, "shuffle": shuffle, "seed": seed, "drop_last": False}
    ranks = [ss.Loader(sets[view], world=ss.World(rank, world), **options) for rank in range(world)]
    assert Counter(part for loader in ranks for part in parts_of(loader, view)) == Counter(PARTS[view])


@VIEWS
def test_parts_of_an_image_are_spread_over_the_epoch(sets: dict[str, ss.ShardDataset], view: str) -> None:
    """Another order each epoch, the same with workers; not fanned out one after another."""
    options: dict[str, Any] = {"view": view, "batch_size": 8, "shuffle": True, "seed": 3, "drop_last": False}
    loader = ss.Loader(sets[view], **options)
    first, second = parts_of(loader, view), parts_of(loader, view)
    assert first != second
    assert sorted(first) == sorted(second) == sorted(PARTS[view])
    assert sum(a[0] == b[0] for a, b in itertools.pairwise(first)) < len(first) / 5  # fanned out: over half
    for kind in ("process", "thread"):
        assert parts_of(ss.Loader(sets[view], num_workers=2, worker_kind=kind, **options), view) == first


@settings(max_examples=12)
@given(
    st.sampled_from(["person", "question", "person:random", "question:first"]),
    st.integers(0, 99),
    st.integers(1, 4),
    st.integers(3, 11),
)
def test_an_epoch_of_parts_resumes_at_every_step(
    sets: dict[str, ss.ShardDataset], view: str, seed: int, world: int, batch: int
) -> None:
    """What follows a state is what would have followed, on another world too."""
    kind = view.partition(":")[0]
    options: dict[str, Any] = {"view": view, "global_batch_size": batch, "shuffle": True, "seed": seed}
    loader = ss.Loader(sets[kind], world=ss.World(0, 1), **options)
    states, steps = [loader.state_dict()], []
    for one in loader:
        steps.append(sorted(parts_of([one], kind)))
        states.append(loader.state_dict())
    for step, state in enumerate(states[:-1]):
        ranks = [ss.Loader(sets[kind], world=ss.World(rank, world), **options) for rank in range(world)]
        for rank in ranks:
            rank.load_state_dict(state)
        assert [sorted(parts_of(together, kind)) for together in zip(*ranks, strict=True)] == steps[step:]


@VIEWS
def test_each_part_of_an_image_has_a_crop_of_its_own(sets: dict[str, ss.ShardDataset], view: str) -> None:
    """Seeds differ, so augmentation does; an evaluation draws the same ones again."""
    options: dict[str, Any] = {"view": view, "batch_size": 8}
    seeds = [[int(batch["seed"][row]) for batch, row in rows_of(ss.Loader(sets[view], **options))] for _ in range(2)]
    assert len(set(seeds[0])) == len(PARTS[view])
    assert seeds[0] == seeds[1]


@VIEWS
def test_one_of_each_image_is_drawn_or_the_first(sets: dict[str, ss.ShardDataset], view: str) -> None:
    """``random`` gives every part in time, about equally often; images without any are left out."""
    of_image: dict[str, list[int]] = {}
    for key, number in PARTS[view]:
        of_image.setdefault(key, []).append(number)
    first = parts_of(ss.Loader(sets[view], view=f"{view}:first", batch_size=4), view)
    assert dict(first) == {key: numbers[0] for key, numbers in of_image.items()}
    assert len(first) == len(of_image)
    loader = ss.Loader(sets[view], view=f"{view}:random", batch_size=4, shuffle=True, drop_last=False)
    seen: Counter[Part] = Counter()
    for _ in range(60):
        epoch = parts_of(loader, view)
        assert sorted(key for key, _ in epoch) == sorted(of_image)
        seen.update(epoch)
    threes = [count for (key, _), count in seen.items() if len(of_image[key]) == 3]
    assert set(seen) == set(PARTS[view])
    assert 6 <= min(threes) <= max(threes) <= 36  # 20 on average; a draw in 60 has a deviation of 3.7


@VIEWS
def test_all_of_an_image_come_as_the_record_lists_them(sets: dict[str, ss.ShardDataset], view: str) -> None:
    """In the image view and in ``all``; images without any have an empty list, and so have rows beyond."""
    records = {people_key(r): r for r in PEOPLE} if view == "person" else {r["file_name"][:-4]: r for r in ASKED}
    for asked in ("image", f"{view}:all"):
        batches = list(ss.Loader(sets[view], view=asked, batch_size=8))
        found = {batch["key"][row]: batch[f"{view}s"][row] for batch, row in rows_of(batches)}
        assert found == {key: record[f"{view}s"] for key, record in records.items()}
        assert batches[-1][f"{view}s"][-1] == []
        assert not batches[-1]["valid"][-1]
        assert ID[view] not in batches[0]


def test_an_index_that_counts_more_parts_than_the_record_has_is_named(tmp_path: Path) -> None:
    """Shard, key and both numbers."""
    source = people_source({"val": [toy_people_record(3)]}, images=False)
    columns = {"n_persons": 5, "labels": [], "person_labels": [[]] * 5}
    wrong = {"val": replace(source.made["val"], columns_of=lambda _: columns)}
    ds = replace(source, made=wrong).pack(tmp_path / "out", "val")
    with pytest.raises(
        ss.CorruptData, match=r"'framesdb_images_000003' .* has 3 persons, the index column 'n_persons'"
    ):
        list(ss.Loader(ds, view="person", batch_size=2))


def crowding(ds: ss.ShardDataset, view: str, size: int = 256) -> tuple[float, float]:
    """Different images in a batch of three epochs, and of a uniform shuffle, on average."""
    batches = image_numbers(ds, size, 3, view=view, seed=5)
    counts = [len(np.unique(batch)) for batch in batches]
    return float(np.mean(counts)), distinct_if_uniform(ds.column(f"n_{view}s"), size)


@pytest.mark.parametrize(("images", "share"), [(1_000, 0.94), (5_000, 1.0)])
def test_questions_of_an_image_are_not_crowded_into_a_batch(tmp_path: Path, images: int, share: float) -> None:
    """5.3 questions an image, as VQA has: as many images in 256 as by a uniform shuffle, not the 48 of a fan-out.

    Of a set so small that its lanes end in short windows, 4 % fewer.
    """
    made = [toy_question(number, 0, answers=False) for number in range(8)]
    records = [
        toy_question_record(0) | {"file_name": f"{i}.jpg", "questions": made[: (3, 5, 8)[i % 3]]} for i in range(images)
    ]
    ds = questions_source({"test": records}, images=False).pack(tmp_path / "out", "test", shard_size=400_000)
    found, uniform = crowding(ds, "question")
    assert uniform > 220
    assert found >= share * uniform


def test_real_questions_are_not_crowded(real_data: Path, tmp_path: Path) -> None:
    """38,718 questions about 28,682 images: a batch of 256 shows 256 images, a uniform shuffle 255.4."""
    ss.write("vqa", real_data / "vqa/all", out=tmp_path / "out", no_images=True)
    ds = ss.open(tmp_path / "out")
    found, uniform = crowding(ds, "question")
    assert round(uniform, 1) == 255.4
    assert found >= uniform


def test_real_persons_are_not_crowded(real_data: Path, tmp_path: Path) -> None:
    """3,315 persons of EMOTIC's val in 2,085 images: as a uniform shuffle, which shows 244.8 of them in 256."""
    ss.write("emotic", real_data / "emotic/csv", out=tmp_path / "out", no_images=True, split=["val"])
    ds = ss.open(tmp_path / "out", "val")
    found, uniform = crowding(ds, "person")
    assert round(uniform, 1) == 244.8
    assert found > 0.99 * uniform
