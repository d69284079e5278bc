"""Tables that ``ds.join`` reads, widens or refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import shardstream as ss

from ..helpers import tree
from .bare_index import bare_index
from .tables import FULL, ROWS, key, table


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
    made = pa.table(table(score=lambda i: i / 8, group=lambda i: i % 5))
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
