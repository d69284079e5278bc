"""EMOTIC's numbers: three definitions of average precision, errors of VAD, results complete on any number of ranks."""

from __future__ import annotations

import ast
import csv
import math
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import shardstream as ss
from shardstream import scoring

from ..toy_coco import pack_toy_coco
from ..toy_parts import ToyRecord
from ..toy_people import CATEGORIES, pack_toy_people, people_key, people_source, toy_people_record
from .hand_batches import NO_PERSON, hand_batches, person_rows

COUNT = 40
RECORDS = [toy_people_record(i) for i in range(COUNT)]
# Training persons of each category, as weights published with 4 digits imply them: near the true numbers.
IMPLIED = (
    1062, 209, 368, 5343, 168, 4045, 325, 1462, 478, 660, 152, 12844, 851,
    4398, 538, 177, 5627, 188, 1693, 2102, 405, 360, 260, 417, 719, 668,
)  # fmt: skip
APS = {"sklearn": scoring.sklearn_ap, "voc": scoring.voc_ap, "11point": scoring.eleven_point_ap}


def plain_ap(definition: str, labels: Sequence[bool], scores: Sequence[float]) -> Fraction:
    """Each definition from its sentence: one threshold per distinct score, exact fractions."""
    points = []  # (recall, precision) from the highest threshold on
    for threshold in sorted(set(scores), reverse=True):
        kept = [label for label, score in zip(labels, scores, strict=True) if score >= threshold]
        points.append((Fraction(sum(kept), sum(labels)), Fraction(sum(kept), len(kept))))
    if definition == "11point":
        each = [max((p for r, p in points if r >= Fraction(t, 10)), default=Fraction(0)) for t in range(11)]
        return sum(each, Fraction(0)) / 11
    total, before = Fraction(0), Fraction(0)
    for place, (recall, precision) in enumerate(points):
        best = precision if definition == "sklearn" else max(p for _, p in points[place:])
        total, before = total + (recall - before) * best, recall
    return total


def people(records: Sequence[ToyRecord]) -> dict[tuple[str, int], dict[str, Any]]:
    return {(people_key(record), person["person"]): person for record in records for person in record["persons"]}


def model(key: str, person: dict[str, Any], names: int = 26) -> tuple[list[float], list[float]]:
    """A model that is right more often than not; scores have two digits, so that many are equal."""
    rng = np.random.default_rng([*key.encode(), person["person"]])
    scores = rng.normal(0, 0.5, names)
    scores[person["categories"]] += 0.6
    truth = np.array([5.0 if value is None else value for value in person["vad"]])
    return scores.round(2).tolist(), (truth + rng.normal(0, 1, 3)).tolist()


def collected(
    ds: ss.ShardDataset, records: Sequence[ToyRecord], rank: int = 0, world: int = 1, vad: bool = True
) -> scoring.EmoticResults:
    known, results = people(records), scoring.EmoticResults(ds)
    rows = person_rows(records, [people_key(record) for record in records])
    for batch in hand_batches(rows, NO_PERSON, rank, world, size=7 + world):
        made = [
            model(key, known[key, person]) if key else ([math.nan] * 26, [math.nan] * 3)
            for key, person in zip(batch["key"], batch["person_id"].tolist(), strict=True)
        ]
        scores, errors = (torch.tensor(values, dtype=torch.float64) for values in zip(*made, strict=True))
        results.add(batch, scores, errors if vad else None)
    return results


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    return pack_toy_people(tmp_path_factory.mktemp("people") / "out", COUNT, images=False)


def real_people(path: Path) -> list[ToyRecord]:
    """The rows of a published file, by image."""
    images: dict[tuple[str, str], list[dict[str, Any]]] = {}
    with path.open() as file:
        for row in csv.DictReader(file):
            found = images.setdefault((row["Folder"], row["Filename"]), [])
            labels = sorted(CATEGORIES.index(name) for name in ast.literal_eval(row["Categorical_Labels"]))
            vad = [float(value) for value in ast.literal_eval(row["Continuous_Labels"])]
            found.append({"person": len(found), "categories": labels, "vad": vad})
    return [{"folder": folder, "file_name": name, "persons": persons} for (folder, name), persons in images.items()]


@pytest.mark.parametrize(
    ("labels", "scores", "expected"),
    [
        ([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.6], {"sklearn": 5 / 6, "voc": 5 / 6, "11point": (6 + 5 * 2 / 3) / 11}),
        ([0, 1, 1], [0.9, 0.8, 0.7], {"sklearn": 7 / 12, "voc": 2 / 3, "11point": 2 / 3}),
        ([1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5], {"sklearn": 0.25, "voc": 0.25, "11point": 0.25}),
        ([1, 1], [-3.0, 2.0], {"sklearn": 1.0, "voc": 1.0, "11point": 1.0}),
    ],
)
def test_the_three_definitions_by_hand(labels: list[int], scores: list[float], expected: dict[str, float]) -> None:
    """Small enough to work out on paper; equal scores are one threshold."""
    for name, value in expected.items():
        assert APS[name](np.array(labels, dtype=np.bool_), np.array(scores)) == pytest.approx(value, abs=1e-12)


ROWS = st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=1, max_size=25).filter(
    lambda rows: any(label for label, _ in rows)
)


@pytest.mark.parametrize("definition", list(APS))
@given(rows=ROWS, seed=st.integers(0, 99))
def test_every_definition_agrees_with_its_sentence_in_any_order(
    definition: str, rows: list[tuple[bool, int]], seed: int
) -> None:
    """Exact fractions over thresholds; with ties, no order of the rows changes the number."""
    labels, scores = (list(column) for column in zip(*rows, strict=True))
    expected = float(plain_ap(definition, labels, scores))
    for order in (np.arange(len(rows)), np.random.default_rng(seed).permutation(len(rows))):
        found = APS[definition](np.array(labels)[order], np.array(scores, dtype=np.float64)[order])
        assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("definition", list(APS))
def test_real_people_are_scored_by_each_definition(real_data: Path, tmp_path: Path, definition: Any) -> None:
    """3,315 persons of the published validation file, packed: all 26 categories, VAD on its scale of 1 to 10."""
    records = real_people(real_data / "emotic/csv/val.csv")
    ds = people_source({"val": records}, images=False).pack(tmp_path / "out", "val", 3_000_000)
    results, known = collected(ds, records), people(records)
    assert len(known) == 3315
    score = scoring.score_emotic(ds, results, definition)
    made = {person: model(person[0], known[person]) for person in known}
    for column, name in enumerate(CATEGORIES):
        labels = [column in person["categories"] for person in known.values()]
        scores = [made[person][0][column] for person in known]
        assert score.ap[name] == pytest.approx(float(plain_ap(definition, labels, scores)), abs=1e-9)
    assert score.mean_ap == pytest.approx(sum(score.ap.values()) / 26, abs=1e-12)
    assert 0.2 < score.mean_ap < 0.9
    errors = [sum(abs(made[p][1][d] - known[p]["vad"][d]) for p in known) / 3315 for d in range(3)]
    assert score.vad_mae is not None
    assert list(score.vad_mae) == ["valence", "arousal", "dominance"]
    assert list(score.vad_mae.values()) == pytest.approx(errors, abs=1e-9)
    assert score.mean_vad_mae == pytest.approx(sum(errors) / 3, abs=1e-9)
    assert (score.definition, score.persons, score.absent) == (definition, 3315, ())
    assert score.notes == (f"average precision by the definition {definition!r}",)


@pytest.mark.parametrize("world", [2, 3, 4, 5])
def test_many_ranks_score_as_one_to_the_last_digit(toy: ss.ShardDataset, world: int) -> None:
    """Other batches, other order, merged backwards: equal numbers, not near ones."""
    whole, merged = collected(toy, RECORDS), scoring.EmoticResults(toy)
    for rank in reversed(range(world)):
        merged.merge(collected(toy, RECORDS, rank, world))
    assert len(merged) == len(whole) == sum(i % 4 for i in range(COUNT))
    assert list(merged.by_person) != list(whole.by_person)
    for definition in APS:
        assert scoring.score_emotic(toy, merged, definition) == scoring.score_emotic(toy, whole, definition)  # type: ignore[arg-type]
    assert whole.gather() is whole  # without a process group


def test_absent_vad_is_left_out_and_counted(toy: ss.ShardDataset) -> None:
    """Each dimension over those who have it; a person without any counts in none."""
    known = people(RECORDS)
    score = scoring.score_emotic(toy, collected(toy, RECORDS))
    assert score.vad_mae is not None
    for d, name in enumerate(("valence", "arousal", "dominance")):
        there = [p for p in known if known[p]["vad"][d] is not None]
        assert score.vad_absent[name] == len(known) - len(there) > 0
        expected = sum(abs(model(p[0], known[p])[1][d] - known[p]["vad"][d]) for p in there) / len(there)
        assert score.vad_mae[name] == pytest.approx(expected, abs=1e-12)
    lost = score.vad_absent
    assert lost["dominance"] > lost["valence"] == lost["arousal"] == 1
    assert (
        score.notes[-1]
        == f"annotations absent and left out: 1 of valence, 1 of arousal, {lost['dominance']} of dominance"
    )
    without = scoring.score_emotic(toy, collected(toy, RECORDS, vad=False))
    assert (without.vad_mae, without.mean_vad_mae, without.ap) == (None, None, score.ap)


def test_a_category_that_nobody_has_is_nan_named_and_not_averaged(toy: ss.ShardDataset) -> None:
    """A selection of few people: a zero there would lower the mean for nothing."""
    selection, records = toy.select(range(8)), RECORDS[:8]
    score = scoring.score_emotic(selection, collected(selection, records))
    there = {c for person in people(records).values() for c in person["categories"]}
    absent = tuple(name for c, name in enumerate(CATEGORIES) if c not in there)
    assert 0 < len(absent) < 20
    assert score.absent == absent
    assert score.mean_ap == pytest.approx(np.mean([score.ap[CATEGORIES[c]] for c in sorted(there)]), abs=1e-12)
    assert all(math.isnan(score.ap[name]) for name in absent)
    assert f"has {', '.join(absent)}: mean AP is over the other {26 - len(absent)}" in score.notes[1]


def test_results_are_saved_and_read_without_pickle(toy: ss.ShardDataset, tmp_path: Path) -> None:
    """An npz of plain arrays by key and person; another file or other categories are refused."""
    results = collected(toy, RECORDS, vad=False)
    results.save(tmp_path / "results")
    with np.load(tmp_path / "results", allow_pickle=False) as found:
        assert set(found) == {"key", "person_id", "scores", "vad", "categories"}
        assert found["scores"].shape == (len(results), 26)
        assert np.isnan(found["vad"]).all()
        rows = list(zip(found["key"].tolist(), found["person_id"].tolist(), strict=True))
        assert rows == sorted(people(RECORDS))
    again = scoring.EmoticResults(toy)
    again.load(tmp_path / "results")
    assert repr(scoring.score_emotic(toy, again)) == repr(scoring.score_emotic(toy, results))
    with pytest.raises(ss.OptionError, match=r"was added before"):
        again.load(tmp_path / "results")
    np.savez(
        tmp_path / "other.npz", key=[], person_id=[], scores=np.zeros((0, 2)), vad=np.zeros((0, 3)), categories=["x"]
    )
    with pytest.raises(ss.OptionError, match=r"needed are the 26 of the dataset, Affection, Anger, Annoyance"):
        again.load(tmp_path / "other.npz")
    names = np.array(CATEGORIES, dtype=object)  # needs pickle to read, and is right but for that
    np.savez(
        tmp_path / "pickled.npz", key=[], person_id=[], scores=np.zeros((0, 26)), vad=np.zeros((0, 3)), categories=names
    )
    (tmp_path / "text").write_text("no")
    for name in ("pickled.npz", "text"):
        with pytest.raises(ss.OptionError, match=r"no file that EmoticResults\.save\(\) wrote"):
            again.load(tmp_path / name)


def test_incomplete_foreign_and_repeated_people_are_refused(toy: ss.ShardDataset) -> None:
    """A score of a part looks like a score; what is refused leaves the results as they were."""
    rows = person_rows(RECORDS, [people_key(record) for record in RECORDS])
    batches = hand_batches(rows, NO_PERSON, size=16)
    results, zeros = scoring.EmoticResults(toy), torch.zeros(16, 26)
    for batch in batches[:-1]:
        results.add(batch, zeros.bfloat16())
    left = int(batches[-1]["valid"].sum())
    with pytest.raises(
        ss.OptionError, match=rf"{left} of the {len(rows)} persons were never added, such as person \d of"
    ):
        scoring.score_emotic(toy, results)
    before = dict(results.by_person)
    stranger = {**batches[-1], "key": ["nowhere_000001"] * 16}
    for batch, scores, vad, message in (
        (batches[0], zeros, None, r"person \d of '\w+_0000\d+' was added before"),
        (stranger, zeros, None, r"'nowhere_000001' is none of the 40 images"),
        (batches[-1], torch.zeros(16, 25), None, r"scores have shape \(16, 25\), needed is \(16, 26\)"),
        (batches[-1], zeros * math.nan, None, r"scores of row 0 are \[nan, .*they must be finite"),
        (batches[-1], zeros, torch.zeros(3, 16), r"vad have shape \(3, 16\), needed is \(16, 3\)"),
        (batches[-1], zeros, torch.full((16, 3), math.inf), r"vad of row 0 are \[inf, "),
        ({"valid": [True]}, zeros, None, r"no person_id; load it with a view of persons"),
    ):
        with pytest.raises(ss.OptionError, match=message):
            results.add(batch, scores, vad)
    assert results.by_person == before
    results.add(batches[-1], zeros, torch.ones(16, 3))
    with pytest.raises(ss.OptionError, match=rf"{len(rows) - left} of {len(rows)} persons have no vad, such as person"):
        scoring.score_emotic(toy, results)
    dropped = {"key": ["mscoco_images_000000"], "person_id": [0], "valid": [True]}
    results.add(dropped, zeros[:1], torch.ones(1, 3))
    with pytest.raises(ss.OptionError, match=r"1 results are of nobody in the dataset, such as person 0 of 'mscoco_im"):
        scoring.score_emotic(toy, results)
    with pytest.raises(ss.OptionError, match=r"definition='mean' is not one of 'sklearn', 'voc', '11point'"):
        scoring.score_emotic(toy, results, "mean")  # type: ignore[arg-type]
    empty = toy.select([0])  # image 0 has no usable person
    with pytest.raises(ss.OptionError, match=r"nobody to score"):
        scoring.score_emotic(empty, scoring.EmoticResults(empty))


def test_a_dataset_without_people_is_refused(tmp_path: Path) -> None:
    """COCO's persons are objects."""
    with pytest.raises(ss.OptionError, match=r"split 'train2017' has no persons with categories"):
        scoring.EmoticResults(pack_toy_coco(tmp_path / "out", 4))


def test_without_scikit_learn_the_default_names_the_extra(
    toy: ss.ShardDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other two definitions need nothing."""
    results = collected(toy, RECORDS)
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(ss.MissingExtra, match=r"needs scikit-learn: pip install 'shardstream\[eval\]'"):
        scoring.score_emotic(toy, results)
    assert scoring.score_emotic(toy, results, "voc").mean_ap > 0


def test_class_weights_are_the_published_ones(real_data: Path) -> None:
    """1 / ln(1.2 + n) of the 23,266 real training persons, to 4 digits; 0.0001 for a category that nobody has."""
    counts = [0] * 26
    for person in people(real_people(real_data / "emotic/csv/train.csv")).values():
        for category in person["categories"]:
            counts[category] += 1
    weights = scoring.emotic_class_weights(counts)
    assert weights.dtype == torch.float32
    assert [round(w, 4) for w in weights.tolist()] == [round(1 / math.log(1.2 + n), 4) for n in IMPLIED]
    published = {
        "Affection": 0.1435,
        "Anger": 0.1870,
        "Engagement": 0.1057,
        "Embarrassment": 0.1987,
        "Yearning": 0.1537,
    }
    for name, weight in published.items():
        assert round(float(weights[CATEGORIES.index(name)]), 4) == weight
    assert scoring.emotic_class_weights([0, 1]).tolist() == pytest.approx([0.0001, 1 / math.log(2.2)])
    for wrong in ([-1, 2], [[1, 2]], [math.nan]):
        with pytest.raises(ss.OptionError, match=r"counts must be one number of persons per category"):
            scoring.emotic_class_weights(wrong)  # type: ignore[arg-type]
