"""``ss.mix``: parts one after another, exact shares of every epoch, what parts must agree in."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shardstream as ss


def delivered(ds: Any, epoch: int = 0, **options: Any) -> dict[str, list[int]]:
    """``index`` and ``dataset`` of every row of an epoch."""
    loader = ss.Loader(ds, batch_size=16, drop_last=False, **options)
    loader.set_epoch(epoch)
    found: dict[str, list[int]] = {"index": [], "dataset": []}
    for batch in loader:
        for name, values in found.items():
            values += batch[name][batch["valid"]].tolist()
        assert (batch["dataset"][~batch["valid"]] == -1).all()
    return found


def test_a_union_holds_the_rows_of_its_parts_one_after_another(parts: list[ss.ShardDataset]) -> None:
    """Items, slices, index and batches; which part a row comes from stands beside it."""
    mixed = ss.mix(parts)
    rows = [(number, row) for number, part in enumerate(parts) for row in range(len(part))]
    assert len(mixed) == len(rows) == 177
    assert mixed.counts.tolist() == [count for part in parts for count in part.counts.tolist()]
    for i in (0, 1, 93, 94, 116, 117, 176, -1):
        number, row = rows[i]
        assert mixed[i] == {"key": parts[number][row]["key"], "dataset": number, **parts[number][row]}
    assert mixed[92:96]["dataset"] == [0, 0, 1, 1]
    assert mixed.index["dataset"].to_pylist() == [number for number, _ in rows]
    assert mixed.index["key"].to_pylist() == [key for part in parts for key in part.index["key"].to_pylist()]
    assert mixed.column("size").tolist() == [row for _, row in rows]
    assert delivered(mixed) == {"index": list(range(177)), "dataset": [number for number, _ in rows]}
    assert mixed.urls == [url for part in parts for url in part.urls]
    assert mixed.classes == parts[0].classes
    assert "index-only/train#1 13.0% (23)" in repr(mixed)
    assert "as they are: 177 samples in 19 shards" in repr(mixed)


def test_every_item_of_a_shuffled_union_comes_once(parts: list[ss.ShardDataset]) -> None:
    """In another order each epoch."""
    first, second = (delivered(ss.mix(parts), epoch, shuffle=True) for epoch in (0, 1))
    assert sorted(first["index"]) == sorted(second["index"]) == list(range(177))
    assert first["index"] != second["index"]
    assert first["dataset"] == [sum(i >= bound for bound in (94, 117)) for i in first["index"]]


@settings(max_examples=25)
@given(
    weights=st.lists(st.floats(0.05, 1), min_size=2, max_size=3),
    size=st.none() | st.integers(1, 190),
    seed=st.integers(0, 3),
    epoch=st.integers(0, 5),
)
def test_every_part_gets_its_share_to_within_one_item(
    parts: list[ss.ShardDataset], weights: list[float], size: int | None, seed: int, epoch: int
) -> None:
    """Of every epoch; and within a part items come equally often, to within one copy."""
    chosen = parts[: len(weights)]
    mixed = ss.mix(chosen, weights=weights)
    sampler = ss.samplers.Natural(size=size, max_copies=1000)
    found = delivered(mixed, epoch, shuffle=True, seed=seed, sampler=sampler)
    total = len(mixed) if size is None else size
    counts = np.bincount(found["dataset"], minlength=len(weights))
    assert counts.sum() == total
    for number, (weight, part) in enumerate(zip(weights, chosen, strict=True)):
        assert abs(counts[number] - total * weight / sum(weights)) < 1 + 1e-6
        of = np.array(found["index"])[np.array(found["dataset"]) == number]
        copies = np.bincount(of - int(mixed._part_starts()[number]), minlength=len(part))
        assert copies.max() - copies.min() <= 1


def test_samplers_are_fitted_part_by_part_where_there_are_weights(parts: list[ss.ShardDataset]) -> None:
    """Classes are even within each part's share; of a union they are even over all of it."""
    balanced = ss.samplers.ClassBalanced(max_copies=100, size=160)
    pair = parts[:2]
    labels = np.concatenate([part.column("label") for part in pair])
    by_weight = delivered(ss.mix(pair, weights=[3, 1]), shuffle=True, sampler=balanced)
    table = np.zeros((2, 4), dtype=int)
    np.add.at(table, (by_weight["dataset"], labels[by_weight["index"]]), 1)
    assert table.sum(1).tolist() == [120, 40]
    assert table[0].tolist() == [30] * 4
    held = np.bincount(pair[1].column("label"), minlength=4) > 0
    assert np.ptp(table[1][held]) <= 1
    union = delivered(ss.mix(pair), shuffle=True, sampler=balanced)
    assert np.bincount(labels[union["index"]]).tolist() == [40] * 4
    by_part = ss.samplers.ClassBalanced(column="dataset", size=160)
    assert np.bincount(delivered(ss.mix(pair), shuffle=True, sampler=by_part)["dataset"]).tolist() == [80, 80]


def test_equal_keys_of_two_parts_are_two_samples(parts: list[ss.ShardDataset]) -> None:
    """They have seeds of their own, so crops of their own; the first part's are those it has alone."""
    mixed = ss.mix([parts[0], parts[0].select(range(20))])
    seeds = {
        (int(d), key): int(seed)
        for batch in ss.Loader(mixed, batch_size=30, shuffle=True, drop_last=False)
        for d, key, seed, valid in zip(batch["dataset"], batch["key"], batch["seed"], batch["valid"], strict=True)
        if valid
    }
    alone = {
        key: int(seed)
        for batch in ss.Loader(parts[0], batch_size=30, shuffle=True, drop_last=False)
        for key, seed in zip(batch["key"], batch["seed"], strict=True)
    }
    assert len(seeds) == 114
    assert all(seeds[0, key] == alone[key] != seeds[1, key] for (d, key) in seeds if d == 1)


def test_weights_are_of_training(parts: list[ss.ShardDataset]) -> None:
    """Evaluation takes every item once: of a mixture by weight it is refused."""
    with pytest.raises(ss.OptionError, match=r"weights and shuffle=False: .* Mix without weights"):
        ss.Loader(ss.mix(parts, weights=[1, 1, 1]), batch_size=4)
    with pytest.raises(ss.OptionError, match=r"needs more than max_copies=10 of each of the 23 items"):
        ss.Loader(ss.mix(parts[:2], weights=[1, 99]), batch_size=4, shuffle=True, sampler=ss.samplers.Natural(size=500))


def test_selections_and_joins_reach_the_parts(parts: list[ss.ShardDataset]) -> None:
    """Rows by number, key, expression and subset; columns by a value that is unique over all parts."""
    mixed = ss.mix(parts, weights=[0.5, 0.3, 0.2])
    some = mixed.select(range(0, 177, 2))
    assert some.shares == mixed.shares
    assert [len(part) for part in some.datasets] == [47, 12, 30]
    assert some[50]["key"] == mixed[100]["key"]
    second = ss.mix(parts).select(pc.field("dataset") == 1)
    assert [(item["dataset"], item["number"]) for item in second] == [(1, i) for i in range(23)]
    assert len(ss.mix(parts).select(["item-00003", "item-00050"])) == 5  # of every part that has it
    folds = [ss.mix(parts).select(ss.subsets.fold(i, 3, held_out=True)) for i in range(3)]
    assert sorted(len(fold) for fold in folds) == [59, 59, 59]
    with pytest.raises(ss.OptionError, match="nothing of index-only/train#1 is left to fill its share"):
        mixed.select(range(94))
    apart = [
        part.join({"key": part.index["key"], "id": [n * 1000 + i for i in range(len(part))]})
        for n, part in enumerate(parts)
    ]
    joined = ss.mix(apart).join({"id": [0, 1005, 2059], "note": ["a", "b", "c"]}, on="id", missing="null")
    assert joined.joined == ("id", "note")
    assert [joined[i]["note"] for i in (0, 1, 99, 176)] == ["a", None, "b", "c"]
    notes = [note for batch in ss.Loader(joined, batch_size=60) for note in batch["note"]]
    assert [(i, note) for i, note in enumerate(notes) if note] == [(0, "a"), (99, "b"), (176, "c")]
    with pytest.raises(ss.OptionError, match="join the parts of a mixture before mixing"):
        ss.mix(parts).join({"key": ["item-00000"], "n": [1]}, missing="null")


def test_columns_joined_to_some_parts_alone_are_not_the_mixtures(parts: list[ss.ShardDataset]) -> None:
    """Its index has what all have with the same type; items still have what their part has."""
    own = parts[0].join({"key": parts[0].index["key"], "x": [0.5] * 94})
    mixed = ss.mix([own, parts[1]])
    assert "x" not in mixed.info.columns
    assert mixed[90:96]["x"] == [0.5] * 4 + [None] * 2
    with pytest.raises(ss.OptionError, match="column 'x' is there already"):
        mixed.join({"size": [1], "x": [1]}, on="size", missing="null", extra="ignore")
    other = parts[1].join({"key": parts[1].index["key"], "x": [3] * 23})
    assert "x" not in ss.mix([own, other]).info.columns  # float64 and int64
    both = ss.mix([own, parts[1].join({"key": parts[1].index["key"], "x": [2.0] * 23})])
    assert next(iter(ss.Loader(both, batch_size=96)))["x"].tolist() == [0.5] * 94 + [2.0] * 2


def test_the_digest_is_that_of_parts_and_shares(parts: list[ss.ShardDataset]) -> None:
    """Order, selection and weights count, names and the scale of weights do not; states are refused accordingly."""
    a, b, _ = parts
    made = [
        ss.mix([a, b]), ss.mix([b, a]), ss.mix([a, b], weights=[1, 1]), ss.mix([a, b], weights=[1, 2]),
        ss.mix([a, b.select([1])]), a,
    ]  # fmt: skip
    assert len({ds.digest for ds in made}) == len(made)
    assert ss.mix([a, b], weights=[2, 2], names=["x", "y"]).digest == made[2].digest
    assert pickle.loads(pickle.dumps(made[3])).digest == made[3].digest
    state = ss.Loader(made[2], batch_size=4, shuffle=True).state_dict()
    with pytest.raises(ss.StateError, match="digest"):
        ss.Loader(made[3], batch_size=4, shuffle=True).load_state_dict(state)


def test_mixtures_of_mixtures_are_taken_apart(parts: list[ss.ShardDataset]) -> None:
    """Inner shares times outer ones; sizes where no weights were given."""
    a, b, c = parts
    flat = ss.mix([ss.mix([a, b], weights=[0.7, 0.3]), c], weights=[0.5, 0.5])
    assert flat.shares == pytest.approx((0.35, 0.15, 0.5))
    assert flat.digest == ss.mix([a, b, c], weights=flat.shares).digest  # type: ignore[arg-type]
    assert ss.mix([ss.mix([a, b]), c]).digest == ss.mix([a, b, c]).digest
    assert ss.mix([ss.mix([a, b]), c], weights=[0.5, 0.5]).shares == pytest.approx((47 / 117, 11.5 / 117, 0.5))
    assert ss.mix([ss.mix([a, b], weights=[1, 3]), c]).shares == pytest.approx((117 / 708, 351 / 708, 60 / 177))
    named = ss.mix([ss.mix([a, b], names=["a", "b"]), c], names=["ab", "c"])
    assert named.names == ("ab/a", "ab/b", "c")
