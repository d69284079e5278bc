"""AnswerBalanced: types at their shares, both members of a pair always equally often, the size exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shardstream as ss
from shardstream.errors import CorruptData, OptionError
from shardstream.loaders.samplers import AnswerBalanced
from shardstream.loaders.samplers.pairs import PairedCopies
from shardstream.loaders.views import Items, View

from ..order.test_invariants import dealt
from ..toy_questions import ANSWER_TYPES, pack_toy_questions, toy_question_record
from . import reference
from .fake_items import FakeItems, copies_of, expected_of, fitted


def asked(types: list[int], partner: list[int], sizes: list[int]) -> FakeItems:
    """Questions 100, 101, ... of given answer types; ``partner`` is a place, or -1."""
    columns = {
        "question_ids": [100 + i for i in range(len(types))],
        "question_answer_types": types,
        "question_pairs": [100 + place if place >= 0 else -1 for place in partner],
    }
    return FakeItems(columns, sizes, "question", ANSWER_TYPES)


@st.composite
def questions(draw: st.DrawFn, mixed: bool = True) -> tuple[list[int], list[int], list[int]]:
    """Types, partners and shard sizes; pairs of one type where not ``mixed``; two singles of each type at least."""
    pairs = draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=20))
    types = [0, 1, 2] * 2 + draw(st.lists(st.integers(0, 2), max_size=30))
    partner = [-1] * len(types)
    for one, two in pairs:
        types += [one, two if mixed else one]
        partner += [len(partner) + 1, len(partner)]
    order = draw(st.permutations(range(len(types))))
    place = {old: new for new, old in enumerate(order)}
    cuts = sorted(draw(st.lists(st.integers(0, len(types)), max_size=5)))
    bounds = [0, *cuts, len(types)]
    shuffled = [place[partner[old]] if partner[old] >= 0 else -1 for old in order]
    return [types[old] for old in order], shuffled, np.diff(bounds).tolist()


TARGETS = st.sampled_from(
    [None, {"yes/no": 0.38, "number": 0.13, "other": 0.49}, {"yes/no": 2, "number": 1, "other": 1}]
)


@pytest.mark.parametrize("pairs", [3, 6, 9, 12])
def test_a_type_that_pairs_give_too_much_of_is_left_to_its_pairs(pairs: int) -> None:
    """Every number is the partner of a yes/no; its singles fade, and nothing overflows on the way."""
    types, partner = [0, 1, 2] * 2, [-1] * 6
    for _ in range(pairs):
        partner += [len(types) + 1, len(types)]
        types += [0, 1]
    items = asked(types, partner, [len(types)])
    found = fitted(AnswerBalanced({"yes/no": 0.38, "number": 0.13, "other": 0.49}, size=30), items)
    copies = copies_of(found, items, 0)
    assert sum(copies) == 30
    assert copies[1] == copies[4] == 0


@settings(max_examples=80)
@given(questions(), st.floats(0.2, 2.0), TARGETS)
def test_pairs_stay_whole_and_the_size_is_exact(
    made: tuple[list[int], list[int], list[int]], share: float, targets: dict[str, float] | None
) -> None:
    """In every epoch; each question within one copy of what is expected, and never more than 10."""
    types, partner, sizes = made
    size = max(1, int(share * len(types)))
    items = asked(types, partner, sizes)
    found = fitted(AnswerBalanced(targets, size=size), items)
    assert isinstance(found.copies, PairedCopies)
    mean = expected_of(found, items)
    for epoch in range(4):
        copies = copies_of(found, items, epoch)
        assert sum(copies) == size == found.copies.size
        assert all(copies[i] == copies[other] for i, other in enumerate(partner) if other >= 0)
        assert all(abs(count - each) < 1 + 1e-6 for count, each in zip(copies, mean, strict=True))
        assert max(copies) <= 10


@settings(max_examples=60)
@given(questions(mixed=False), TARGETS)
def test_weights_are_target_over_share_where_pairs_join_no_types(
    made: tuple[list[int], list[int], list[int]], targets: dict[str, float] | None
) -> None:
    """Plain loops: target of the type / its questions, to within the half pair that makes pairs whole."""
    types, partner, sizes = made
    shares = targets or dict.fromkeys(ANSWER_TYPES, 1.0)
    weights = [shares[ANSWER_TYPES[kind]] / sum(shares.values()) / types.count(kind) for kind in types]
    items = asked(types, partner, sizes)
    mean = expected_of(fitted(AnswerBalanced(targets), items), items)
    wanted = reference.expected(weights, len(types))
    paired = [i for i, other in enumerate(partner) if other >= 0]
    assert abs(sum(mean[i] for i in paired) - sum(wanted[i] for i in paired)) <= 1 + 1e-6
    for here in (paired, [i for i in range(len(types)) if i not in set(paired)]):
        scale = sum(mean[i] for i in here) / max(1e-9, sum(wanted[i] for i in here))
        if max((scale * wanted[i] for i in here), default=0) < 9.9:  # at the cap the fill takes from it
            assert [mean[i] for i in here] == pytest.approx([scale * wanted[i] for i in here], rel=1e-6)


def test_shares_hold_where_pairs_join_types() -> None:
    """A third of the pairs has two types: the mean weight of a pair would miss the targets by 4 %; they hold to 0.2 %."""
    rng = np.random.default_rng(0)
    types = rng.choice(3, 6000, p=[0.38, 0.13, 0.49])
    partner = np.full(6000, -1)
    for a in range(0, 4000, 2):
        partner[a : a + 2] = a + 1, a
        if a % 3:
            types[a + 1] = types[a]
    items = asked(types.tolist(), partner.tolist(), [600] * 10)
    for targets in (None, {"yes/no": 0.5, "number": 0.2, "other": 0.3}):
        copies = np.array(copies_of(fitted(AnswerBalanced(targets), items), items))
        found = [copies[types == kind].sum() / 6000 for kind in range(3)]
        assert found == pytest.approx([1 / 3] * 3 if targets is None else list(targets.values()), abs=0.002)


def test_means_over_200_epochs_are_the_weights_and_other_pairs_come() -> None:
    """Within 4 sigma; half of the equal pairs come in an epoch, and another half in the next."""
    types, partner = [0] * 400, [i ^ 1 for i in range(400)]
    items = asked([*types, 1, 2], [*partner, -1, -1], [101, 100, 100, 101])
    found = fitted(AnswerBalanced({"yes/no": 100, "number": 1, "other": 1}, size=202), items)
    epochs = np.array([copies_of(found, items, epoch) for epoch in range(200)])
    mean = np.array(expected_of(found, items))
    sigma = np.sqrt(mean % 1 * (1 - mean % 1) / 200)
    assert (np.abs(epochs.mean(0) - mean) <= 4 * sigma + 1e-6).all()
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 200


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    return pack_toy_questions(tmp_path_factory.mktemp("pairs") / "out", images=False)


def test_members_on_different_shards_come_together_on_any_world(toy: ss.ShardDataset) -> None:
    """Packed questions: images of a pair's members lie apart, ranks agree, and the epoch is exact."""
    items = Items(toy, View.parse("question"))
    sampler = AnswerBalanced(size=77)
    copies = dict(zip(identities(toy), copies_of(fitted(sampler, items, seed=2), items), strict=True))
    pairs = {q["question_id"]: q["complementary_id"] for i in range(40) for q in toy_question_record(i)["questions"]}
    kept = [(one, two) for one, two in pairs.items() if two is not None]
    assert len(kept) > 20
    assert all(copies[one] == copies[two] for one, two in kept)
    assert sum(copies.values()) == 77
    options: Any = {"view": "question", "sampler": sampler, "seed": 2, "global_batch_size": 10}
    alone = dealt(toy, 1, shuffle=True, drop_last=False, **options)
    for world in (2, 3, 8):
        rows = dealt(toy, world, shuffle=True, drop_last=False, **options)
        assert [sorted(step) for step in rows] == [sorted(step) for step in alone]


def identities(ds: ss.ShardDataset) -> list[int]:
    return [number for row in ds.index["question_ids"].to_pylist() for number in row]


def test_a_partner_outside_the_selection_leaves_a_single(toy: ss.ShardDataset) -> None:
    """Half of the images: pairs across the cut are broken and counted, the others stay whole."""
    ds = toy.select([i for i in range(40) if i % 2 == 0 or i < 20])
    report = AnswerBalanced().report(ds, view="question")
    there = set(identities(ds))
    pairs = {q["question_id"]: q["complementary_id"] for i in range(40) for q in toy_question_record(i)["questions"]}
    kept = sum(one in there and two in there for one, two in pairs.items()) // 2
    alone = sum(one in there and two is not None and two not in there for one, two in pairs.items())
    assert report.notes[0] == f"{kept} complementary pairs, both members always equally often"
    assert report.notes[1].startswith(f"{alone} questions are singles")


def test_without_pairs_there_is_nothing_to_keep_unless_asked(tmp_path: Path) -> None:
    """No question_pairs column: balanced by type; keep_pairs=True refuses."""
    columns = {"question_answer_types": [0, 0, 0, 1, 2, 2], "question_ids": list(range(6))}
    items = FakeItems(columns, [2, 4], "question", ANSWER_TYPES)
    assert expected_of(fitted(AnswerBalanced(), items), items) == pytest.approx([2 / 3] * 3 + [2] + [1] * 2)
    with pytest.raises(OptionError, match="no 'question_pairs' column"):
        fitted(AnswerBalanced(keep_pairs=True), items)
    paired = asked([0, 0, 1, 2], [1, 0, -1, -1], [4])
    assert not isinstance(fitted(AnswerBalanced(keep_pairs=False), paired).copies, PairedCopies)


def test_a_mixture_does_not_keep_pairs() -> None:
    """It says so, and what to pass."""
    items = asked([0, 0, 1, 2], [1, 0, -1, -1], [4])
    mixed = FakeItems({}, [4, 4], "question")
    mixed.parts = [items, items]
    with pytest.raises(OptionError, match="kept in a mixture; pass keep_pairs=False"):
        fitted(AnswerBalanced(), mixed)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"targets": {"yes/no": 1, "number": 1}}, "leave out other that occurs"),
        ({"targets": {"yes/no": 1, "number": 1, "other": 1, "maybe": 1}}, "name maybe that no question has"),
        ({"column": "question_types"}, "not in the index"),
        ({"size": 5}, "cannot be made of 2 pairs"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], match: str) -> None:
    """Types that are not named or not there, another column, an odd number of paired questions."""
    items = asked([0, 1, 2, 2], [1, 0, 3, 2], [2, 2])
    with pytest.raises(OptionError, match=match):
        fitted(AnswerBalanced(**options), items)


@pytest.mark.parametrize("targets", [{}, {"yes/no": -1.0}, {"yes/no": float("nan")}, {"yes/no": 0.0}])
def test_targets_that_are_no_shares_are_refused(targets: dict[str, float]) -> None:
    """Before any dataset is seen."""
    with pytest.raises(OptionError, match="no shares"):
        AnswerBalanced(targets)


def test_another_view_an_unanswered_question_and_a_repeated_id_are_refused() -> None:
    """Each with its reason."""
    items = asked([0, 1, -1], [-1] * 3, [3])
    with pytest.raises(OptionError, match="1 of 3 questions"):
        fitted(AnswerBalanced(), items)
    items.view = View.parse("image")
    with pytest.raises(OptionError, match="pass view='question'"):
        fitted(AnswerBalanced(keep_pairs=False), items)
    twice = FakeItems(
        {"question_ids": [7, 7], "question_answer_types": [0, 1], "question_pairs": [-1, -1]},
        [2],
        "question",
        ANSWER_TYPES,
    )
    with pytest.raises(CorruptData, match="question 7 stands in the index twice"):
        fitted(AnswerBalanced(), twice)


def test_links_that_are_not_mutual_are_singles() -> None:
    """Question 2 names 0, whose partner is 1; a question that names itself is alone too."""
    items = asked([0, 1, 2, 2], [1, 0, 0, 3], [4])
    found = fitted(AnswerBalanced(size=40, max_copies=20), items)
    copies = copies_of(found, items)
    assert copies[0] == copies[1]
    assert found.notes[0].startswith("1 complementary pairs")
    assert found.notes[1].startswith("2 questions are singles")
