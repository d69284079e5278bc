"""Reports are counted from the copies themselves; columns and options that do not fit are refused with what to do."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import shardstream as ss
from shardstream.errors import OptionError
from shardstream.loaders.samplers.fill import Distribution, filled
from shardstream.loaders.views import Items, View

from ..index_only import CLASSES, label_of, pack_index_only
from ..toy_people import CATEGORIES, pack_toy_people, toy_people_record
from .fake_items import FakeItems, copies_of, expected_of, fitted

S = ss.samplers
SIZES = (80, 40, 60, 20)


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    return pack_index_only(tmp_path_factory.mktemp("report") / "out", SIZES)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    return pack_toy_people(tmp_path_factory.mktemp("report") / "people", images=False)


def test_a_report_counts_what_the_loader_delivers(ds: ss.ShardDataset) -> None:
    """Histogram, largest repeat and left-out items of an epoch, batch by batch."""
    sampler = S.ClassBalanced(column="label", size=150)
    report = sampler.report(ds, seed=4, epoch=2)
    stream = ss.Stream(ds, sampler=sampler, seed=4, shuffle=True, drop_last=False, batch_size=16)
    stream.set_epoch(2)
    rows = [
        int(index) for batch in stream for index, valid in zip(batch["index"], batch["valid"], strict=True) if valid
    ]
    after = {name: sum(label_of(row) == c for row in rows) for c, name in enumerate(CLASSES)}
    before = {name: sum(label_of(row) == c for row in range(len(ds))) for c, name in enumerate(CLASSES)}
    assert {found.name: (found.before, found.after) for found in report.classes} == {
        name: (before[name], after[name]) for name in CLASSES
    }
    assert report.size == len(rows) == 150
    assert report.largest_repeat == max(rows.count(row) for row in set(rows))
    assert report.absent == len(ds) - len(set(rows))
    assert (report.unit, report.column, report.items) == ("image", "label", 200)
    assert report.imbalance == (120 / 10, max(after.values()) / min(after.values()))
    assert sampler.report(ds, seed=4, epoch=3) != report == sampler.report(ds, seed=4, epoch=2)


def test_persons_are_counted_not_images(people: ss.ShardDataset) -> None:
    """The unit is that of the view, and the copies of a person are its own."""
    persons = [person["categories"] for i in range(40) for person in toy_people_record(i)["persons"]]
    report = S.MultiLabel("rarest").report(people, view="person")
    assert (report.unit, report.items, report.size) == ("person", len(persons), len(persons))
    assert {found.name: found.before for found in report.classes} == {
        name: sum(c in own for own in persons) for c, name in enumerate(CATEGORIES) if any(c in own for own in persons)
    }
    images = S.Natural().report(people)
    assert (images.unit, images.column, images.items) == ("image", "labels", 40)


def test_the_cap_is_reported_and_logged(ds: ss.ShardDataset, caplog: pytest.LogCaptureFixture) -> None:
    """How many items it cut and what the heaviest asked for; without a cut nothing is said."""
    sampler = S.Weighted([100.0] * 3 + [1.0] * 197)
    with caplog.at_level(logging.WARNING, "shardstream"):
        report = sampler.report(ds)
    assert (report.capped, report.largest_repeat, report.max_copies) == (3, 10, 10)
    assert report.asked == pytest.approx(200 * 100 / 497)
    assert "max_copies=10 cut 3, the heaviest asked for 40.2 copies" in str(report)
    assert "cut the weights of 3 items; the heaviest asked for 40.2 copies" in caplog.text
    caplog.clear()
    whole = S.Weighted([100.0] * 3 + [1.0] * 197, max_copies=math.inf).report(ds)
    assert (whole.capped, caplog.text) == (0, "")
    assert whole.largest_repeat in (40, 41)


def test_items_of_weight_0_are_named(ds: ss.ShardDataset) -> None:
    """Left out always, apart from those that this epoch leaves out."""
    report = S.Weighted([0.0] * 50 + [1.0] * 150, size=75).report(ds)
    assert (report.weightless, report.absent) == (50, 125)
    assert "left out 125 images this epoch, 50 of them always (weight 0)" in str(report)


def test_a_table_of_many_classes_shows_both_ends() -> None:
    """40 rows at most, the most frequent first."""
    counts = tuple(S.ClassCount(f"class {c}", 1000 - c, 10) for c in range(100))
    shown = {"sampler": "s", "unit": "image", "column": "label", "items": 1, "size": 1, "classes": counts}
    numbers = dict.fromkeys(("largest_repeat", "absent", "weightless", "capped", "distinct_bytes", "repeated_bytes"), 1)
    report = S.SamplerReport(**shown, **numbers, max_copies=10, asked=1.0, effective_share=1.0)
    lines = str(report).splitlines()
    assert len(lines) == 1 + 1 + 41 + 4
    assert "class 0 " in lines[2]
    assert lines[22] == "  ... 60 classes between"
    assert "class 99" in lines[42]


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: S.ClassBalanced(-0.1), "power must be 0 or more"),
    (lambda: S.ClassBalanced(math.nan), "power must be 0 or more"),
    (lambda: S.ClassBalanced(effective=1.0), "beta lies in"),
    (lambda: S.ClassBalanced(0.5, effective=0.9), "give one of them"),
    (lambda: S.RepeatFactor(0), "threshold is a share"),
    (lambda: S.MultiLabel(threshold=1.5), "threshold is a share"),
    (lambda: S.MultiLabel("often"), "not one of repeat_factor, rarest"),
    (lambda: S.MultiLabel("distribution_balanced", beta=0), "beta=0 is above 0"),
    (lambda: S.Natural(size=0), "size must be a whole number"),
    (lambda: S.Natural(size=1.5), "size must be a whole number"),
    (lambda: S.Natural(max_copies=0.5), "max_copies must be at least 1"),
    (lambda: S.Natural(max_copies=math.nan), "max_copies must be at least 1"),
    (lambda: S.Weighted([[1.0]]), "shape \\(1, 1\\)"),
    (lambda: S.Weighted(["a"]), "one number per item"),
]


@pytest.mark.parametrize(("make", "match"), REFUSED)
def test_options_that_make_no_sense_are_refused(make: Callable[[], Any], match: str) -> None:
    """When the sampler is made, before any dataset is read."""
    with pytest.raises(OptionError, match=match):
        make()


UNFIT: list[tuple[S.Sampler, str]] = [
    (S.ClassBalanced(column="labels"), "holds several labels for one image, ClassBalanced takes one; use MultiLabel"),
    (S.ClassBalanced(column="labels2"), "'labels2' is not in the index, which has label, labels"),
    (S.MultiLabel("rarest", column="labels"), r"19 of 200 images .* have no label in column 'labels'"),
    (S.MultiLabel("class_aware", column="labels"), "leave them out with ds.select, or use RepeatFactor"),
    (S.Weighted("labels"), "weights are integers or floats"),
    (S.Weighted([1.0] * 199), "199 weights were given for 200 images"),
    (S.Weighted([1.0] * 199 + [math.nan]), "item 199 has weight nan"),
    (S.Weighted([1.0] * 199 + [-1.0]), "item 199 has weight -1.0"),
    (S.Weighted([0.0] * 200), "each of the 0 items"),
    (S.Weighted([1e308] * 200), "cannot be added up"),
    (S.Weighted([1.0] * 20 + [0.0] * 180, size=201), "201 items needs more than max_copies=10 of each of the 20"),
    (S.AnswerBalanced(), "pass view='question'"),
]  # fmt: skip


@pytest.mark.parametrize(("sampler", "match"), UNFIT)
def test_what_does_not_fit_the_dataset_is_refused(ds: ss.ShardDataset, sampler: S.Sampler, match: str) -> None:
    """By the loader and by the report, with the numbers and what to do."""
    for use in (lambda: ss.Stream(ds, sampler=sampler, shuffle=True), lambda: sampler.report(ds)):
        with pytest.raises(OptionError, match=match):
            use()


def test_a_null_label_or_weight_is_counted_not_dropped() -> None:
    """Null and -1 are no label; a null weight is no weight."""
    items = FakeItems({"label": [0, None, 1, -1], "mine": [1.0, None, 2.0, 3.0]}, [2, 2])
    with pytest.raises(OptionError, match="2 of 4 images"):
        fitted(S.ClassBalanced(column="label"), items)
    with pytest.raises(OptionError, match="null for 1 items, the first is 1"):
        fitted(S.Weighted("mine"), items)
    assert copies_of(fitted(S.RepeatFactor(0.9, column="label"), items), items) == [2, 1, 2, 1]


def test_the_view_chooses_its_own_labels(people: ss.ShardDataset, ds: ss.ShardDataset) -> None:
    """person_labels for persons, the label before the label sets for images; refused where there is none."""
    assert S.MultiLabel().rule(Items(people, View.parse("person"))).column == "person_labels"
    assert S.MultiLabel().rule(Items(people, View.parse("image"))).column == "labels"
    assert S.ClassBalanced().rule(Items(ds, View.parse("caption"))).column == "label"
    with pytest.raises(OptionError, match="has no label column; pass column= one of n_captions"):
        S.ClassBalanced().rule(FakeItems({"n_captions": [1]}, [1]))  # type: ignore[arg-type]


def test_class_balanced_takes_the_persons_of_a_dataset_with_one_label_each() -> None:
    """A list of one label an item is still a list: the message names the sampler for it."""
    items = FakeItems({"person_labels": [[0], [1]]}, [2], "person")
    with pytest.raises(OptionError, match="holds several labels for one person"):
        fitted(S.ClassBalanced(), items)


def test_filling_takes_what_the_cap_cuts_off_and_gives_it_to_the_others() -> None:
    """9 + 1 + 1 items of weight 1, 50 and 100 for 40 copies: the heavy two stay at 10, the nine share 20."""
    found = filled(Distribution(np.array([1.0, 50.0, 100.0]), np.array([9, 1, 1])), 40, 10)
    assert found.expected(np.array([1.0, 50.0, 100.0])) == pytest.approx([20 / 9, 10, 10], rel=1e-6)
    assert (found.capped, found.asked) == (2, pytest.approx(40 * 100 / 159))


def test_equal_weights_come_exactly_as_often_as_they_can() -> None:
    """Ten times everything at a cap of ten; every item twice for twice the size."""
    items = FakeItems({}, [3, 5])
    for times in (1, 2, 10):
        found = fitted(S.Natural(size=8 * times), items)
        assert copies_of(found, items, epoch=3) == [times] * 8
        assert expected_of(found, items) == [times] * 8
    with pytest.raises(OptionError, match="81 items needs more than max_copies=10"):
        fitted(S.Natural(size=81), items)


@dataclass(frozen=True, slots=True)
class LongCaptions(S.Sampler):
    """A sampler of the user's own: images with more captions more often."""

    @dataclass(frozen=True, slots=True)
    class Captions:
        column: str = "n_captions"

        def weights(self, values: pa.Array, first: int) -> np.ndarray:  # noqa: ARG002
            return values.to_numpy(zero_copy_only=False).astype(np.float64)

    def rule(self, items: Items) -> S.Rule:  # noqa: ARG002
        return self.Captions()


def test_a_sampler_of_ones_own_is_a_column_and_a_formula(ds: ss.ShardDataset) -> None:
    """Everything else, copies, order, resuming and report, is there."""
    report = LongCaptions(size=100).report(ds)
    assert report.weightless == (ds.column("n_captions") == 0).sum() == 50
    copies = copies_of(fitted(LongCaptions(size=600), Items(ds, View.parse("image"))), Items(ds, View.parse("image")))
    assert copies == (2 * ds.column("n_captions")).tolist()


def test_a_fit_keeps_no_table_of_its_items() -> None:
    """1,281,167 rows in 1,000 shards and 1,000 classes: what stays is a number per shard and class, 4 MB."""
    import tracemalloc

    labels = np.random.default_rng(0).integers(0, 1000, 1_281_167)
    items = FakeItems({"label": labels}, [1281] * 999 + [1281 * 1 + 167])
    items.together = 100
    tracemalloc.start()
    found = fitted(S.ClassBalanced(column="label"), items)
    found.copies.totals(0)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 6_000_000
    assert peak < 64_000_000
    assert found.copies.totals(1).sum() == 1_281_167


def test_a_sheet_shows_what_a_sampler_feeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The rare pictures, and the report below; a text that means no sampler is one line on stderr."""
    from shardstream.cli.main import main

    ds = pack_toy_people(tmp_path / "out")
    arguments = ["sheet", str(tmp_path / "out"), "--out", str(tmp_path / "sheet.png"), "--count", "9", "--seed", "3"]
    for view in ("image", "person"):
        assert main([*arguments, "--sampler", "multi_label:repeat_factor,size=100", "--view", view]) == 0
        report = S.MultiLabel("repeat_factor", size=100).report(ds, view, seed=3)
        assert str(report) in capsys.readouterr().out
        assert (tmp_path / "sheet.png").stat().st_size > 1000
    assert main([*arguments, "--sampler", "multi_label:repeat_factor,size=100", "--preset", "emotic"]) == 0
    assert str(report) in capsys.readouterr().out  # of persons, which that preset is for
    assert main([*arguments, "--sampler", "often"]) == 1
    assert "sampler 'often' is not one of natural, class_balanced" in capsys.readouterr().err


def test_the_tiles_are_the_items_that_the_sampler_feeds(tmp_path: Path) -> None:
    """Persons of one category alone: bodies, with their categories below."""
    from shardstream.cli.sheet import sample_tiles
    from shardstream.cli.sheet_items import items_fed

    ds = pack_toy_people(tmp_path / "out")
    persons = [person["categories"] for i in range(40) for person in toy_people_record(i)["persons"]]
    wanted = [float(3 in own) for own in persons]
    fed = items_fed("person", "natural")
    tiles = sample_tiles(ds, 5, fed=fed | {"sampler": S.Weighted(wanted, size=5)})
    assert len(tiles) == 5
    assert all(CATEGORIES[3] in tile.caption.split(", ") for tile in tiles)
    assert {tile.image.size for tile in tiles} == {(60 + 40, 40)}  # the image, its body at the right


@pytest.mark.parametrize(
    ("text", "sampler"),
    [
        ("natural", S.Natural()),
        ("natural:size=30", S.Natural(size=30)),
        ("class_balanced", S.ClassBalanced()),
        ("class_balanced:power=0.5,max_copies=inf", S.ClassBalanced(0.5, max_copies=math.inf)),
        ("class_balanced:0", S.ClassBalanced(0)),
        ("class_balanced:effective=0.99,column=label", S.ClassBalanced(effective=0.99, column="label")),
        ("repeat_factor:0.1,square_root=false", S.RepeatFactor(0.1, square_root=False)),
        ("multi_label:rarest,size=40", S.MultiLabel("rarest", size=40)),
        ("answer_balanced:keep_pairs=False", S.AnswerBalanced(keep_pairs=False)),
        ("answer_balanced:yes/no=0.5,other=2", S.AnswerBalanced({"yes/no": 0.5, "other": 2})),
    ],
)
def test_samplers_are_written_as_text(text: str, sampler: S.Sampler) -> None:
    """``--sampler``: kind, a value for its first option, others by name."""
    from shardstream.cli.sampler_option import parse_sampler

    assert parse_sampler(text) == sampler


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("class-balanced", "not one of natural"),
        ("class_balanced:pow=1", "'pow=1' is no option of class_balanced, which has size, max_copies, power"),
        ("natural:3", "'3' is no option of natural"),
        ("repeat_factor", "needs threshold"),
        ("weighted:", "needs weights"),
        ("class_balanced:much", "wrong kind of value"),
        ("multi_label:sometimes", "mode 'sometimes' is not one of"),
    ],
)
def test_text_that_means_no_sampler_is_refused(text: str, match: str) -> None:
    """With what there is instead."""
    from shardstream.cli.sampler_option import parse_sampler

    with pytest.raises(OptionError, match=match):
        parse_sampler(text)
