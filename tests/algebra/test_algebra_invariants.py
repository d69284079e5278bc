"""Every promise about epochs holds on selections, joins and mixtures, and on any of them upon others."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shardstream as ss

from ..index_only import pack_index_only
from ..order.test_invariants import dealt
from ..toy_people import people_key, people_source, toy_people_record

OPERATIONS = ("select", "subset", "keys", "join", "expression", "mix", "weigh")


def applied(ds: Any, operation: str, parts: list[ss.ShardDataset], turn: int) -> Any:
    """The dataset after one more operation; ``turn`` makes columns of several joins different."""
    match operation:
        case "select":
            return ds.select(np.flatnonzero(np.arange(len(ds)) % 4 != 1))
        case "subset":
            return ds.select(ss.subsets.fold(1, 3, by="label"))
        case "keys":
            keys = dict.fromkeys(ds.index_columns(["key"])["key"].to_pylist())
            return ds.select([key for key in keys if int(key[-1]) < 8])
        case "join":
            joined = [part.join(weights_of(part, turn)) for part in ds.datasets]
            mixed = isinstance(ds, ss.loaders.MixedDataset)
            return ss.mix(joined, weights=ds.shares) if mixed else joined[0]
        case "expression":
            return ds.select(pc.field("size") < 55)
        case "mix":
            return ss.mix([ds, parts[1], parts[2].select(range(40))])
        case _:
            return ss.mix([ds, parts[1]], weights=[2, 1])


def weights_of(part: Any, turn: int) -> dict[str, Any]:
    keys = part.index_columns(["key"])["key"].to_pylist()
    return {"key": keys, f"weight{turn}": [1 + i % 3 for i in range(len(keys))]}


CASES: dict[str, Any] = {
    "operations": st.lists(st.sampled_from(OPERATIONS), min_size=1, max_size=3),
    "world": st.integers(1, 9),
    "workers": st.integers(0, 3),
    "batch": st.integers(1, 40),
    "seed": st.integers(0, 2),
    "epoch": st.integers(0, 2),
    "view": st.sampled_from(["image", "caption"]),
    "sampler": st.sampled_from(["none", "balanced", "repeat"]),
    "shuffle": st.booleans(),
}
SAMPLERS: dict[str, Any] = {
    "none": ss.samplers.Natural(max_copies=100),
    "balanced": ss.samplers.ClassBalanced(0.5, max_copies=100, column="label"),
    "repeat": ss.samplers.RepeatFactor(threshold=0.3, column="label", max_copies=100),
}


def made(parts: list[ss.ShardDataset], case: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A dataset, and the options of its stream that fit it."""
    ds: Any = parts[0]
    for turn, operation in enumerate(case["operations"]):
        ds = applied(ds, operation, parts, turn)
    options = {"seed": case["seed"], "view": case["view"], "shuffle": case["shuffle"] or ds.shares is not None}
    if options["shuffle"] and (case["sampler"] != "none" or ds.shares is not None):
        options["sampler"] = SAMPLERS[case["sampler"]]
    return ds, options | {"drop_last": False}


@settings(max_examples=40)
@given(**CASES)
def test_every_copy_comes_exactly_once(parts: list[ss.ShardDataset], **case: Any) -> None:
    """Over all ranks and workers: each item as often as the sampler says, by default once; shares to within one item."""
    ds, options = made(parts, case)
    epoch, world, batch = case["epoch"], case["world"], case["batch"]
    stream = ss.Stream(ds, global_batch_size=batch, **options)
    copies = [stream.sampled.copies.of(epoch, shard) for shard in range(len(ds.counts))]
    wanted: Counter[int] = Counter()
    for shard, counts in enumerate(copies):
        places, _ = stream.items.locate(np.full(len(counts), shard), np.arange(len(counts)))
        for place, count in zip(places.tolist(), counts.tolist(), strict=True):
            wanted[int(ds.shard_start(np.array([shard]))[0]) + place] += count
    steps = dealt(ds, world, case["workers"], epoch, global_batch_size=batch, **options)
    found = Counter(index for step in steps for index, _ in step)
    assert found == +wanted
    if "sampler" not in options:
        items = np.ones(len(ds)) if case["view"] == "image" else ds.column("n_captions")
        assert [found[i] for i in range(len(ds))] == items.tolist()
    if ds.shares is not None:
        ends = np.searchsorted(np.cumsum([len(part) for part in ds.datasets]), sorted(found.elements()), side="right")
        counts = np.bincount(ends, minlength=len(ds.datasets))
        assert (np.abs(counts - stream.size * np.array(ds.shares)) < 1 + 1e-4).all()


@settings(max_examples=25)
@given(**CASES)
def test_global_batches_are_the_same_for_every_world_that_divides_them(
    parts: list[ss.ShardDataset], **case: Any
) -> None:
    """And for every number of workers."""
    ds, options = made(parts, case)
    options |= {"global_batch_size": case["batch"] * case["world"]}
    alone = dealt(ds, 1, 0, case["epoch"], **options)
    together = dealt(ds, case["world"], case["workers"], case["epoch"], **options)
    assert [sorted(step) for step in alone] == [sorted(step) for step in together]


@settings(max_examples=20)
@given(**CASES, share=st.floats(0, 1))
def test_a_new_world_goes_on_where_another_stopped(parts: list[ss.ShardDataset], share: float, **case: Any) -> None:
    """At any step, with another batch size: together the epoch, once."""
    ds, options = made(parts, case)
    batch, epoch = case["batch"], case["epoch"]
    before = dealt(ds, case["world"], case["workers"], epoch, global_batch_size=batch, **options)
    steps = int(share * len(before))
    position = min(steps * batch, ss.Stream(ds, **options).size)
    after = dealt(ds, 10 - case["world"], 0, epoch, position, global_batch_size=batch + 3, **options)
    rows = Counter(row for step in [*before[:steps], *after] for row in step)
    assert rows == Counter(row for step in before for row in step)


MIXED: dict[str, Any] = {
    "a selection": lambda parts: parts[0].select(ss.subsets.fraction(0.5, by="label")),
    "a join": lambda parts: parts[0].join(weights_of(parts[0], 0)).select(pc.field("weight0") > 1),
    "a mixture": lambda parts: ss.mix([parts[0], applied(parts[2], "join", parts, 0)], weights=[0.3, 0.7]),
    "a union": lambda parts: ss.mix(parts).select(ss.subsets.fold(0, 2)),
}


@pytest.mark.parametrize("kind", list(MIXED))
def test_a_loader_resumes_at_every_step(parts: list[ss.ShardDataset], kind: str) -> None:
    """To the end of the next epoch; what was joined and where it comes from is restored with the rows."""
    make = lambda: ss.Loader(MIXED[kind](parts), batch_size=9, shuffle=True, seed=2, sampler=sampler)  # noqa: E731
    sampler = ss.samplers.RepeatFactor(threshold=0.3, column="label")
    loader = make()
    states, told = [loader.state_dict()], []
    for batch in itertools.chain(loader, loader):
        told.append(seen(batch))
        states.append(loader.state_dict())
    assert len(told) > 8
    for step, state in enumerate(states[:-1]):
        again = make()
        again.load_state_dict(state, strict=True)
        rest = [seen(batch) for _ in range(2) for batch in again]
        assert rest[: len(told) - step] == told[step:]


def seen(batch: ss.Batch) -> list[Any]:
    names = [name for name in ("index", "copy", "seed", "dataset", "weight0") if name in batch]
    return [batch["key"], *(batch[name].tolist() for name in names)]


def test_views_take_joined_lists_part_by_part(tmp_path: Any) -> None:
    """Expanded captions: each item its own entry in batches, weights and selections; nulls are nulls of each part."""
    ds = pack_index_only(tmp_path / "out", [9, 30])
    keys, numbers = ds.index["key"].to_pylist(), ds.column("n_captions").tolist()
    lists = {"caption_weight": [[i + k / 10 for k in range(n)] for i, n in enumerate(numbers)]}
    lists["caption_kind"] = [[f"{i}.{k}" for k in range(n)] for i, n in enumerate(numbers)]
    joined = ds.join({"key": keys, **lists})
    for batch in ss.Loader(joined, view="caption", batch_size=7, shuffle=True, drop_last=False):
        for row, (key, caption) in enumerate(zip(batch["key"], batch["caption"], strict=True)):
            if key:
                number, part = int(key[-5:]), int(caption[0])
                assert batch["caption_weight"][row] == number + part / 10
                assert batch["caption_kind"][row] == f"{number}.{part}"
            else:
                assert (batch["caption_weight"][row], batch["caption_kind"][row]) == (0.0, "")
    random = list(ss.Loader(joined, view="caption:random", batch_size=7, shuffle=True, drop_last=False))
    drawn = [(b["caption"][r][0], b["caption_kind"][r][-1]) for b in random for r in range(7) if b["key"][r]]
    assert len({part for part, _ in drawn}) == 3
    assert all(part == kind for part, kind in drawn)
    whole = next(iter(ss.Loader(joined, batch_size=39)))
    assert whole["caption_weight"] == lists["caption_weight"]
    heavy = ss.samplers.Weighted("caption_weight", size=200)
    copies = ss.Stream(joined, view="caption", batch_size=1, shuffle=True, sampler=heavy).sampled.copies
    expected = np.concatenate([copies.expected(shard) for shard in (0, 1)])
    wanted = np.array([value for row in lists["caption_weight"] for value in row])
    assert np.allclose(expected, wanted * 200 / wanted.sum(), atol=1e-3)
    some = ds.join({"key": keys[:4], **{name: values[:4] for name, values in lists.items()}}, missing="null")
    assert some.index["caption_kind"].to_pylist()[2:6] == [*lists["caption_kind"][2:4], [], [None]]
    assert numbers[4:6] == [0, 1]


def test_persons_of_two_splits_mix_with_what_was_joined_to_each(tmp_path: Any) -> None:
    """The person view over a weighted mixture: body, categories and joined weight of a row are those of its person."""
    records = [toy_people_record(i) for i in range(24)]
    source = people_source({"a": records[:10], "b": records[10:]})
    source.pack(tmp_path / "out", "a")
    parts = [ss.open(tmp_path / "out", name) for name in ("a", "b")]
    weight_of = {
        (people_key(record), person["person"]): 100 * i + person["person"] + 1.0
        for i, record in enumerate(records)
        for person in record["persons"]
    }
    joined = [
        part.join({"key": part.index["key"], "person_weight": [
            [weight_of[item["key"], person["person"]] for person in item["persons"]] for item in part
        ]})
        for part in parts
    ]  # fmt: skip
    mixed = ss.mix(joined, weights=[0.5, 0.5])
    loader = ss.Loader(mixed, view="person", batch_size=8, shuffle=True, drop_last=False, seed=1)
    told: Counter[int] = Counter()
    for batch in loader:
        assert batch["body"].shape[1:] == (3, 128, 128)
        for row, key in enumerate(batch["key"]):
            if key:
                person = int(batch["person_id"][row])
                record = next(record for record in records if people_key(record) == key)
                wanted = next(each for each in record["persons"] if each["person"] == person)
                assert batch["person_weight"][row] == weight_of[key, person]
                assert batch["categories"][row].nonzero().flatten().tolist() == wanted["categories"]
                told[int(batch["dataset"][row])] += 1
    assert abs(told[0] - told[1]) <= 1
    assert sum(told.values()) == len(weight_of)


@pytest.mark.parametrize("wrong", [[[0.5]], [[]]])
def test_lists_named_for_a_view_have_one_entry_a_part(tmp_path: Any, wrong: Any) -> None:
    """Others are refused when they are joined, with the row and both numbers; under another name they are just lists."""
    ds = pack_index_only(tmp_path / "out", [3])
    numbers = ds.column("n_captions").tolist()
    assert numbers == [0, 1, 2]
    table = {"key": ds.index["key"].to_pylist(), "caption_x": [[], [1.0], wrong[0]]}
    with pytest.raises(
        ss.OptionError, match=rf"'caption_x' holds {len(wrong[0])} entries for row 2, where n_captions is 2"
    ):
        ds.join(table)
    table["values"] = table.pop("caption_x")
    assert ds.join(table)[2]["values"] == wrong[0]


def test_a_column_that_hides_a_field_of_a_view_is_refused(tmp_path: Any) -> None:
    """``caption`` is a field of the caption view alone: there it is refused, elsewhere it is a column."""
    ds = pack_index_only(tmp_path / "out", [3])
    joined = ds.join({"key": ds.index["key"], "caption": ["a", "b", "c"]})
    assert next(iter(ss.Loader(joined, batch_size=3)))["caption"] == ["a", "b", "c"]
    with pytest.raises(ss.OptionError, match="joined column 'caption' has the name of a batch field of this view"):
        next(iter(ss.Loader(joined, view="caption", batch_size=3)))
