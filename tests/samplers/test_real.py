"""The figures that the project promises, on the real label lists: EMOTIC, CIFAR long tails, VQA."""

from __future__ import annotations

import ast
import csv
import math
from pathlib import Path

import numpy as np
import pytest

import shardstream as ss
from shardstream.loaders.views import Items, View

from ..objects.real_questions import as_records, real_questions
from ..toy_questions import ANSWER_TYPES, questions_source
from . import reference
from .fake_items import FakeItems, copies_of, expected_of, fitted

S = ss.samplers
PERSONS = 23_266


@pytest.fixture(scope="module")
def emotic(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    out = tmp_path_factory.mktemp("emotic") / "out"
    ss.write(
        "emotic", str(real_data / "emotic" / "csv"), out=str(out), no_images=True, split=["train"], shard_size="1MB"
    )
    return ss.open(out, "train")


@pytest.fixture(scope="module")
def persons(emotic: ss.ShardDataset) -> list[list[int]]:
    """Categories of each person in the view's order, from the annotations themselves."""
    return [person["categories"] for row in range(len(emotic)) for person in emotic[row]["persons"]]


def test_the_real_persons_are_all_there(real_data: Path, emotic: ss.ShardDataset, persons: list[list[int]]) -> None:
    """The CSV file, row by row: as many persons, and each category as often; Embarrassment is the rarest, 84 : 1."""
    names = emotic.manifest.classes["person_labels"]
    with (real_data / "emotic" / "csv" / "train.csv").open(newline="") as file:
        rows = [ast.literal_eval(row["Categorical_Labels"]) for row in csv.DictReader(file)]
    assert len(persons) == len(rows) == PERSONS
    counts = S.class_counts(emotic, "person").tolist()
    assert counts == [sum(name in row for row in rows) for name in names]
    assert names[int(np.argmin(counts))] == "Embarrassment"
    assert max(counts) / min(counts) == pytest.approx(84.3, abs=0.05)


@pytest.mark.parametrize("epoch", range(3))
def test_rarest_raises_embarrassment_9_times_at_equal_size(
    emotic: ss.ShardDataset, persons: list[list[int]], epoch: int
) -> None:
    """8.5 to 9.2 times its share with at most 9 copies; person by person what plain loops expect."""
    items, sampler = Items(emotic, View.parse("person")), S.MultiLabel("rarest")
    found = fitted(sampler, items)
    copies, wanted = copies_of(found, items, epoch), reference.expected(reference.rarest(persons), PERSONS)
    assert sum(copies) == PERSONS
    assert max(copies) == 9
    assert expected_of(found, items) == pytest.approx(wanted, rel=1e-6)
    assert all(abs(count - mean) < 1 for count, mean in zip(copies, wanted, strict=True))
    gain = sampler.report(emotic, "person", epoch=epoch).gain("Embarrassment")
    rare = emotic.manifest.classes["person_labels"].index("Embarrassment")
    natural = reference.share_of([1] * PERSONS, persons, rare)
    assert gain == pytest.approx(reference.share_of(copies, persons, rare) / natural)
    assert gain == pytest.approx(reference.share_of(wanted, persons, rare) / natural, rel=2e-3)
    assert 8.5 <= gain <= 9.2


@pytest.mark.parametrize("epoch", range(3))
def test_repeat_factor_raises_embarrassment_3_times_and_leaves_nobody_out(
    emotic: ss.ShardDataset, persons: list[list[int]], epoch: int
) -> None:
    """t = 0.1 at its own size, 1.31 N: 2.9 to 3.1 times; RepeatFactor is the same sampler."""
    items, sampler = Items(emotic, View.parse("person")), S.MultiLabel(threshold=0.1)
    found, repeats = fitted(sampler, items), reference.repeat_factor(persons, 0.1)
    copies = copies_of(found, items, epoch)
    assert found.copies.size == math.ceil(sum(repeats)) == 30_583
    assert sum(copies) == found.copies.size
    assert min(copies) == 1
    assert expected_of(found, items) == pytest.approx(repeats, rel=1e-4)
    assert all(abs(count - mean) <= 1 + 1e-4 for count, mean in zip(copies, repeats, strict=True))
    assert copies_of(fitted(S.RepeatFactor(0.1), items), items, epoch) == copies
    report = sampler.report(emotic, "person", epoch=epoch)
    assert report.absent == 0
    assert report.size / PERSONS == pytest.approx(1.31, abs=0.005)
    assert 2.9 <= report.gain("Embarrassment") <= 3.1


def test_effective_sample_size_and_reads_are_those_of_the_weights(
    emotic: ss.ShardDataset, persons: list[list[int]]
) -> None:
    """(sum w)^2 / (N sum w^2) by plain loops; bytes of repeats over those of the images that come."""
    report = S.MultiLabel("rarest").report(emotic, "person")
    weights = reference.rarest(persons)
    assert report.effective_share == pytest.approx(sum(weights) ** 2 / (PERSONS * sum(w * w for w in weights)))
    copies = iter(
        copies_of(
            fitted(S.MultiLabel("rarest"), Items(emotic, View.parse("person"))), Items(emotic, View.parse("person"))
        )
    )
    distinct = repeated = 0
    for size, count in zip(emotic.index["json_size"].to_pylist(), emotic.column("n_persons"), strict=True):
        here = [next(copies) for _ in range(count)]
        distinct += size * any(here)
        repeated += size * sum(max(0, found - 1) for found in here)
    assert (report.distinct_bytes, report.repeated_bytes) == (distinct, repeated)
    assert report.extra_read == repeated / distinct


def long_tail(most: int, imbalance: float, classes: int) -> list[int]:
    """Cui et al. 2019: n_c = int(n_max * imbalance ** (c / (C - 1)))."""
    return [int(most * imbalance ** (c / (classes - 1))) for c in range(classes)]


GOLDEN = {(5000, 0.01, 10): 12_406, (500, 0.01, 100): 10_847, (5000, 0.1, 10): 20_431, (500, 0.1, 100): 19_573}


@pytest.mark.parametrize("cut", GOLDEN)
def test_the_cuts_have_the_published_totals(cut: tuple[int, float, int]) -> None:
    """CIFAR-10-LT 5000, 2997, 1796, ... 50; CIFAR-100-LT 500, 477, 455, ... 5."""
    counts = long_tail(*cut)
    assert sum(counts) == GOLDEN[cut]
    if cut[1] == 0.01:
        assert counts[:3] == ([5000, 2997, 1796] if cut[2] == 10 else [500, 477, 455])
        assert counts[-1] == cut[0] // 100


def cut_of(labels: list[int], counts: list[int]) -> FakeItems:
    """The first n_c of each class, in the set's order, in shards of 1,000 images."""
    left, kept = list(counts), []
    for label in labels:
        if left[label]:
            left[label] -= 1
            kept.append(label)
    sizes = [1000] * (len(kept) // 1000) + [len(kept) % 1000]
    return FakeItems({"label": kept}, sizes)


def totals(items: FakeItems, copies: list[int], classes: int) -> np.ndarray:
    return np.bincount(np.array(items.columns["label"]), copies, minlength=classes)


@pytest.mark.parametrize(("imbalance", "cap"), [(0.1, 10.0), (0.01, 22.0)])
def test_class_balanced_makes_cifar_100_lt_uniform_to_within_one_copy(imbalance: float, cap: float) -> None:
    """All classes alike; at imbalance 0.01 that takes 21.7 copies of the 5 images of the rarest class."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(100), 500)).tolist()
    items = cut_of(labels, long_tail(500, imbalance, 100))
    for size in (None, 10_000):
        found = fitted(S.ClassBalanced(1, column="label", max_copies=cap, size=size), items)
        for epoch in range(3):
            copies = copies_of(found, items, epoch)
            each = sum(copies) / 100
            assert sum(copies) == (size or len(items))
            assert (np.abs(totals(items, copies, 100) - each) < 1 + 1e-6).all()
            assert max(copies) <= cap


def test_under_the_default_cap_of_10_the_smallest_classes_have_10_copies_and_the_others_are_alike() -> None:
    """16 classes have under 11 images: they stay at 10 of each, and say so; the other 84 are equal to one copy."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(100), 500)).tolist()
    counts = np.array(long_tail(500, 0.01, 100))
    items = cut_of(labels, counts.tolist())
    found = fitted(S.ClassBalanced(1, column="label"), items)
    copies = copies_of(found, items)
    found_totals = totals(items, copies, 100)
    capped = counts * 10 < found_totals.max() - 1
    assert max(copies) == 10
    assert (np.abs(found_totals[capped] - 10 * counts[capped]) <= 1).all()
    assert np.ptp(found_totals[~capped]) <= 1
    (filling,) = found.fillings
    assert filling.capped == counts[capped].sum() > 100
    assert filling.asked == pytest.approx(10_847 / 100 / 5)


def test_class_balanced_on_real_cifar_10_labels(real_data: Path) -> None:
    """The 50,000 real labels, cut to CIFAR-10-LT."""
    text = (real_data / "cifar10" / "labels-full" / "train_labels_50000.txt").read_text()
    items = cut_of([int(word) for word in text.split()], long_tail(5000, 0.1, 10))
    assert len(items) == 20_431
    copies = copies_of(fitted(S.ClassBalanced(column="label"), items), items)
    assert (np.abs(totals(items, copies, 10) - 2043.1) < 1).all()


@pytest.fixture(scope="module")
def questions(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    """Real questions cut to the natural mix of answer types, 38 / 13 / 49 (as delivered they are equal per type)."""
    left = {"yes/no": 3800, "number": 1300, "other": 4900}
    kept = []
    for question in real_questions(real_data / "vqa" / "all"):
        if left[question["answer_type"]]:
            left[question["answer_type"]] -= 1
            kept.append({**question, "answers": []})
    types = tuple(sorted({question["question_type"] for question in kept}))
    source = questions_source({"train2014": as_records(kept)}, images=False, types=types)
    return source.pack(tmp_path_factory.mktemp("vqa") / "out", "train2014", shard_size=2_000_000)


def test_answer_balanced_on_a_cut_of_the_real_questions(questions: ss.ShardDataset) -> None:
    """38 / 13 / 49 becomes thirds, or whatever is asked, to within one question; each question within one copy."""
    assert S.class_counts(questions, "question").tolist() == [3800, 1300, 4900]
    for targets, shares in ((None, [1 / 3] * 3), ({"yes/no": 0.5, "number": 0.25, "other": 0.25}, [0.5, 0.25, 0.25])):
        sampler = S.AnswerBalanced(targets, keep_pairs=False)
        for epoch in range(3):
            report = sampler.report(questions, "question", epoch=epoch)
            after = {found.name: found.after for found in report.classes}
            assert sum(after.values()) == report.size == 10_000
            assert all(abs(after[name] - share * 10_000) < 1 for name, share in zip(ANSWER_TYPES, shares, strict=True))
        items = Items(questions, View.parse("question"))
        types = [kind for row in questions.index["question_answer_types"].to_pylist() for kind in row]
        weights = [shares[kind] / types.count(kind) for kind in range(3)]
        wanted = [weights[kind] * 10_000 for kind in types]
        copies = copies_of(fitted(sampler, items), items)
        assert all(abs(count - mean) < 1 for count, mean in zip(copies, wanted, strict=True))
