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
import pyarrow.parquet as pq
import pytest
import torch
from torch.utils.data import DataLoader

import shardstream as ss

from ..helpers import tree
from ..index_only import pack_index_only
from ..toy import pack_toy
from .bare_index import bare_index

ROWS = 63


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    return pack_index_only(tmp_path_factory.mktemp("i") / "out", [9, 1, 40, 13])


def key(number: int) -> str:
    return f"item-{number:05d}"


def table(**columns: Any) -> dict[str, Any]:
    """One row for each of the dataset's, in another order."""
    order = np.random.default_rng(0).permutation(ROWS).tolist()
    made: dict[str, Any] = {"key": [key(i) for i in order]}
    return made | {name: [make(i) for i in order] for name, make in columns.items()}


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


FULL = {"key": [key(i) for i in range(ROWS)]}


@pytest.mark.parametrize(
    ("source", "on", "message"),
    [
        ({"key": [key(1), key(1)], "n": [1, 2]}, "key", r"key 'item-00001' is there more than once in the table"),
        ({"label": [0, 1], "n": [1, 2]}, "label", r"4 labels .* are there more than once in the index of 'train'"),
        ({"key": [key(1), None], "n": [1, 2]}, "key", r"column 'key' of the table is null in 1 rows"),
        ({"key": [1, 2], "n": [1, 2]}, "key", r"column 'key' is int64 in the table and string in the index"),
        ({"size": ["1", "2"], "n": [1, 2]}, "size", r"column 'size' is string in the table and int64 in the index"),
        ({"size": [1.0, 2.0], "n": [1, 2]}, "size", r"column 'size' is double in the table and int64"),
        ({"name": ["a"], "n": [1]}, "key", r"the table has no column 'key' to join on; its columns are name, n"),
        ({"name": ["a"], "n": [1]}, "name", r"on='name' is no index column of single values; those are key, label, n_captions"),
        ({"labels": ["a"], "n": [1]}, "labels", r"on='labels' is no index column of single values"),
        (FULL, "key", r"the table has no column beside 'key'"),
        (FULL | {"label": [0] * ROWS}, "key", r"join replaces nothing, and column 'label' is there already"),
        (FULL | {"width": [0] * ROWS, "captions": [0] * ROWS}, "key", r"2 columns \('captions', 'width'\) are there"),
        (FULL | {"json": [0] * ROWS}, "key", r"column 'json' is there already"),
        (FULL | {"number": [0] * ROWS}, "key", r"column 'number' is there already"),
        (FULL | {"image": [0] * ROWS}, "key", r"column 'image' is there already"),
        (FULL | {"seed": [0] * ROWS}, "key", r"column 'seed' is there already"),
        (FULL | {"n": [None] * ROWS}, "key", r"column 'n' is null; an index holds int64"),
        (FULL | {"n": pa.array([0] * ROWS, pa.timestamp("s"))}, "key", r"column 'n' is timestamp\[s\]; an index holds"),
        (FULL | {"n": [{"a": 1}] * ROWS}, "key", r"column 'n' is struct<a: int64>; an index holds"),
        (FULL | {"n": pa.array([2**63] * ROWS, pa.uint64())}, "key", r"'n' is uint64 and does not fit int64 without loss"),
        (FULL | {"n": [True, None, *[False] * (ROWS - 2)]}, "key", r"column 'n' is bool and null in 1 rows"),
        ({"key": ["a"], "n": [1, 2]}, "key", r"the table to join has no equal columns"),
        ({"key": ["a", "b"], "n": [1, "x"]}, "key", r"the table to join has no equal columns"),
        ([1, 2], "key", r"cannot join a list; give an Arrow table, a dict of columns, or a file"),
    ],
)  # fmt: skip
def test_tables_that_do_not_fit_are_refused(ds: ss.ShardDataset, source: Any, on: str, message: str) -> None:
    """Values twice or null, other types, names that exist, types that no index holds."""
    with pytest.raises(ss.OptionError, match=message):
        ds.join(source, on)


def test_options_that_do_not_exist_are_named(ds: ss.ShardDataset) -> None:
    """``missing`` and ``extra`` are closed lists."""
    for options in ({"missing": "drop"}, {"extra": "null"}):
        with pytest.raises(ss.OptionError, match="is not one of 'error', "):
            ds.join(table(n=int), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array(range(ROWS), pa.int8()), "int64"),
        (pa.array(range(ROWS), pa.uint64()), "int64"),
        (pa.array(np.arange(ROWS, dtype=np.float32) / 3), "float64"),
        (pa.array([f"{i}" for i in range(ROWS)], pa.large_string()), "string"),
        (pa.array([f"{i % 3}" for i in range(ROWS)]).dictionary_encode(), "string"),
        (pa.array([[i, i] for i in range(ROWS)], pa.list_(pa.int32(), 2)), "list<int64>"),
        (pa.array([[0.5]] * ROWS, pa.large_list(pa.float32())), "list<float64>"),
        (pa.array([[[i]] for i in range(ROWS)], pa.list_(pa.list_(pa.int16()))), "list<list<int64>>"),
    ],
)  # fmt: skip
def test_types_of_fewer_bits_widen_without_loss(ds: ss.ShardDataset, values: pa.Array, kind: str) -> None:
    """Every value is the same afterwards."""
    made = ds.join(FULL | {"n": values})
    assert made.info.columns["n"] == kind
    assert made.index["n"].to_pylist() == values.to_pylist()


def test_data_frames_are_tables(ds: ss.ShardDataset) -> None:
    """Whatever speaks Arrow's stream interface: pandas 2.2 and polars do."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(FULL | {"n": range(ROWS)})
    assert ds.join(frame).digest == ds.join(FULL | {"n": list(range(ROWS))}).digest


def test_files_are_read_where_they_lie(ds: ss.ShardDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parquet and CSV, by path, by name and by address; the dataset's own files stay as they are."""
    before = tree(Path(ds.store.url))
    made = pa.table(table(score=COLUMNS["score"], group=COLUMNS["group"]))
    pq.write_table(made, tmp_path / "facts.parquet")
    pyarrow.csv.write_csv(made, tmp_path / "facts.csv")
    digest = ds.join(made).digest
    monkeypatch.chdir(tmp_path)
    for source in (tmp_path / "facts.parquet", "facts.csv", f"file://{tmp_path}/facts.csv"):
        assert ds.join(source).digest == digest
    assert tree(Path(ds.store.url)) == before
    for name, message in [("facts.xlsx", r"no \.parquet and no \.csv"), ("none.csv", r"there is no table .*none\.csv")]:
        with pytest.raises(ss.OptionError, match=message):
            ds.join(tmp_path / name)
    (tmp_path / "bad.parquet").write_bytes(b"nothing")
    with pytest.raises(ss.OptionError, match=r"bad\.parquet cannot be read as a table"):
        ds.join(tmp_path / "bad.parquet")


def test_keys_of_digits_stay_text_in_a_csv(tmp_path: Path) -> None:
    """COCO's keys have leading zeros, which a guess at types would drop."""
    ds = bare_index(tmp_path / "out", ["000000000139", "000000000285"], {}, [2])
    (tmp_path / "facts.csv").write_text("key,n\n000000000285,7\n000000000139,5\n")
    assert ds.join(tmp_path / "facts.csv").column("n").tolist() == [5, 7]
    numbered = bare_index(tmp_path / "two", ["a", "b"], {"image_id": ("int64", [139, 285])}, [2])
    (tmp_path / "ids.csv").write_text("image_id,n\n285,7\n139,5\n")
    assert numbered.join(tmp_path / "ids.csv", on="image_id").column("n").tolist() == [5, 7]


def test_shards_alone_lack_joined_columns(joined: ss.ShardDataset) -> None:
    """A webdataset pipeline over the tars would lose them without a word."""
    with pytest.raises(ss.OptionError, match="which lack score, group"):
        joined.webdataset()
    assert "joined score, group" in repr(joined)
