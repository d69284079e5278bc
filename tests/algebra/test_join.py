"""``ds.join``: columns matched by value, in index, items, batches, samplers, selections and digest."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pytest
import torch
from torch.utils.data import DataLoader

import shardstream as ss

from ..toy import pack_toy
from .bare_index import bare_index
from .tables import ROWS, key, table

COLUMNS: dict[str, Any] = {
    "score": lambda i: i / 8,
    "group": lambda i: i % 5,
    "hard": lambda i: i % 3 == 0,
    "note": lambda i: f"note {i}",
    "tags": lambda i: [f"t{k}" for k in range(i % 3)],
    "seen": lambda i: list(range(i % 4)),
}


@pytest.fixture(scope="module")
def joined(ds: ss.ShardDataset) -> ss.ShardDataset:
    return ds.join(table(**COLUMNS))


def test_every_row_gets_its_own_values(ds: ss.ShardDataset, joined: ss.ShardDataset) -> None:
    """In the index, in items, slices and single columns, whatever the order of the table."""
    for name, make in COLUMNS.items():
        assert joined.index_columns([name])[name].to_pylist() == [make(i) for i in range(ROWS)]
        assert joined[40][name] == make(40)
        assert joined[5:20][name] == [make(i) for i in range(5, 20)]
        assert joined.shard_column(2, name).to_pylist() == [make(i) for i in range(10, 50)]
    assert joined.index_columns(["group", "label"]).column_names in (["group", "label"], ["label", "group"])
    assert joined.index_columns(["label"]).column_names == ["label"]
    assert joined.column("group").tolist() == [i % 5 for i in range(ROWS)]
    assert joined.index.column_names == [*ds.index.column_names, *COLUMNS]
    kinds = {name: joined.info.columns[name] for name in COLUMNS}
    assert list(kinds.values()) == ["float64", "int64", "bool", "string", "list<string>", "list<int64>"]
    assert ds.index.column_names == ds.index_columns(None).column_names
    assert "score" not in ds.info.columns
    assert "score" not in ds[0]


def test_batches_carry_the_columns(joined: ss.ShardDataset) -> None:
    """Numbers and bools as tensors, texts and lists as lists; rows that fill a batch hold nothing."""
    last = list(ss.Loader(joined, batch_size=50))[-1]
    valid = 13
    assert last["score"].dtype == torch.float64
    assert last["score"].tolist() == [i / 8 for i in range(50, ROWS)] + [0.0] * 37
    assert last["group"].dtype == torch.int64
    assert last["group"].tolist() == [i % 5 for i in range(50, ROWS)] + [-1] * 37
    assert last["hard"].dtype == torch.bool
    assert last["hard"].tolist() == [i % 3 == 0 for i in range(50, ROWS)] + [False] * 37
    assert last["note"] == [f"note {i}" for i in range(50, ROWS)] + [""] * 37
    assert last["seen"] == [list(range(i % 4)) for i in range(50, ROWS)] + [[]] * 37
    assert last["valid"].sum() == valid


def test_workers_and_pickles_have_the_columns(joined: ss.ShardDataset) -> None:
    """Processes of DataLoader give the same batches; a pickled copy is the same dataset."""
    alone, apart = (
        [batch["note"] for batch in ss.Loader(joined, batch_size=20, num_workers=workers)] for workers in (0, 2)
    )
    assert alone == apart
    again = pickle.loads(pickle.dumps(joined))
    assert (again.digest, again[33]["note"]) == (joined.digest, "note 33")
    plain = DataLoader(joined, batch_size=None, sampler=[4, 62])  # type: ignore[arg-type]
    assert [item["note"] for item in plain] == ["note 4", "note 62"]


def test_select_and_join_commute(ds: ss.ShardDataset, joined: ss.ShardDataset) -> None:
    """The same rows with the same values have the same digest, whichever came first."""
    rows = list(range(2, ROWS, 3))
    before = ds.select(rows).join(table(**COLUMNS), extra="ignore")
    after = joined.select(rows)
    assert before.digest == after.digest
    assert [item["note"] for item in before] == [item["note"] for item in after] == [f"note {i}" for i in rows]
    third = joined.select(pc.field("hard"))
    assert third.column("group").tolist() == [i % 5 for i in range(0, ROWS, 3)]
    twice = ds.join(table(score=COLUMNS["score"])).join(table(note=COLUMNS["note"]))
    swapped = ds.join(table(note=COLUMNS["note"])).join(table(score=COLUMNS["score"]))
    assert twice.digest == swapped.digest
    assert twice.joined == ("score", "note")
    assert twice[9]["score"] == swapped[9]["score"] == 9 / 8


def test_the_digest_is_that_of_names_types_and_values(ds: ss.ShardDataset) -> None:
    """Other values, names, types or nulls are another dataset; another order or type of table is not."""
    base = table(score=lambda i: i)
    others = [
        table(score=lambda i: i + (i == 40)),
        table(other=lambda i: i),
        table(score=float),
        table(score=lambda i: str(i)),
        table(score=lambda i: None if i == 40 else i),
        table(score=lambda i: [i]),
        table(score=lambda i: [i] if i != 40 else []),
        table(score=lambda i: [i] if i != 40 else None),
    ]
    # the same values and letters, cut elsewhere
    cuts = ({0: [1], 1: [2, 3]}, {0: [1, 2], 1: [3]}), ({0: "a", 1: "bc"}, {0: "ab", 1: "c"})
    for pair, rest in zip(cuts, ([], ""), strict=True):
        others += [table(score=lambda i, cut=cut, rest=rest: cut.get(i, rest)) for cut in pair]
    digests = [ds.join(columns).digest for columns in (base, *others)]
    assert len({*digests, ds.digest}) == 14
    ordered = {"score": np.arange(ROWS, dtype=np.int32), "key": [key(i) for i in range(ROWS)]}
    assert ds.join(ordered).digest == digests[0]
    chunked = pa.concat_tables([pa.table(base).slice(0, 10), pa.table(base).slice(10)])
    assert ds.join(chunked).digest == digests[0]


def test_a_state_of_other_values_is_refused(ds: ss.ShardDataset, joined: ss.ShardDataset) -> None:
    """Joined columns are part of what a state belongs to."""
    state = ss.Loader(joined, batch_size=4, shuffle=True).state_dict()
    ss.Loader(joined, batch_size=4, shuffle=True).load_state_dict(state)
    with pytest.raises(ss.StateError, match="digest"):
        ss.Loader(ds, batch_size=4, shuffle=True).load_state_dict(state)


def test_samplers_take_joined_columns(ds: ss.ShardDataset) -> None:
    """Weights and classes that the packed index does not have."""
    weighted = ds.join(table(weight=lambda i: float(i in (7, 50)), half=lambda i: i // 32))
    sampler = ss.samplers.Weighted("weight", size=10)
    found = [n for b in ss.Loader(weighted, batch_size=5, shuffle=True, sampler=sampler) for n in b["index"].tolist()]
    assert sorted(found) == [7] * 5 + [50] * 5
    balanced = ss.samplers.ClassBalanced(column="half", size=60)
    loader = ss.Loader(weighted.select(range(40)), batch_size=60, shuffle=True, sampler=balanced)
    assert np.bincount(next(iter(loader))["half"]).tolist() == [30, 30]


def test_a_joined_label_labels_a_split_without_one(tmp_path: Path) -> None:
    """Hidden labels become the label column: items, batches (-100 where there is none) and samplers take it."""
    bare = bare_index(tmp_path / "out", ["a", "b", "c"], {"n": ("int64", [5, 6, 7])}, [2, 1])
    assert not bare.labelled
    ds = bare.join({"key": ["c", "a"], "label": [1, 0]}, missing="null")
    assert (ds.info.label_column, ds.column("label").tolist()) == ("label", [0, -1, 1])
    assert ds.fetcher.rows(0).label is not None
    assert [int(n) for n in np.concatenate([ds.fetcher.rows(s).label for s in (0, 1)])] == [0, -100, 1]  # type: ignore[arg-type]
    with pytest.raises(ss.OptionError, match="column 'label' is there already"):
        ds.join({"key": ["a", "b", "c"], "label": [1, 2, 3]})


def test_labels_of_pictures_come_from_a_table(tmp_path: Path) -> None:
    """Beside pixels: a toy split whose numbers are joined by an integer column."""
    toy = pack_toy(tmp_path / "out", 20)
    numbers = [item["number"] for item in toy]
    ds = toy.join({"key": [toy[i]["key"] for i in range(20)], "rank": numbers})
    again = ds.join({"rank": list(range(20)), "square": [n * n for n in range(20)]}, on="rank")
    for batch in ss.Loader(again, batch_size=6, shuffle=True, drop_last=False):
        kept = batch["valid"]
        assert batch["image"].shape[1:] == (3, 12, 10)
        assert batch["square"][kept].tolist() == [int(k.split("-")[1]) ** 2 for k in batch["key"] if k]


def test_rows_without_a_partner_are_counted(ds: ss.ShardDataset) -> None:
    """Refused with their number, or null where asked: -1, NaN, '' and [] in batches."""
    short: dict[str, Any] = {"key": [key(i) for i in range(60)], "n": list(range(60)), "x": [0.5] * 60}
    short |= {"note": ["t"] * 60, "seen": [[1]] * 60}
    with pytest.raises(
        ss.OptionError, match=r"of 63 rows of 'train', 3 keys \('item-00060', .*\) are not in the table"
    ):
        ds.join(short)
    with pytest.raises(ss.OptionError, match=r"key 'item-00062' is not in the table; missing='null'"):
        ds.select([62, 3]).join(short, extra="ignore")
    nulls = ds.join(short, missing="null")
    assert nulls[61]["n"] is None
    last = list(ss.Loader(nulls, batch_size=59))[1]
    assert last["n"][:4].tolist() == [59, -1, -1, -1]
    assert [math.isnan(value) for value in last["x"][:5].tolist()] == [False, True, True, True, False]
    assert (last["note"][:2], last["seen"][:2]) == (["t", ""], [[1], []])


def test_table_rows_without_a_partner_are_counted(ds: ss.ShardDataset) -> None:
    """Refused with their number, or left out where asked."""
    long = {"key": [key(i) for i in range(66)], "n": list(range(66))}
    with pytest.raises(ss.OptionError, match=r"of 66 rows of the table, 3 keys .* are not in 'train'; extra='ignore'"):
        ds.join(long)
    assert ds.join(long, extra="ignore").column("n").tolist() == list(range(63))
    both = {"key": [key(1), "x"], "n": [1, 2]}
    assert ds.join(both, missing="null", extra="ignore").column("n").tolist()[:3] == [-1, 1, -1]


def test_shards_alone_lack_joined_columns(joined: ss.ShardDataset) -> None:
    """A webdataset pipeline over the tars would lose them without a word."""
    with pytest.raises(ss.OptionError, match="which lack score, group"):
        joined.webdataset()
    assert "joined score, group" in repr(joined)
