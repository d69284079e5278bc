"""``ds.select``: keys, functions, selections of selections; what is hashed and what is refused."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import shardstream as ss

from ..index_only import pack_index_only


def numbers(ds: Any) -> list[int]:
    return [item["number"] for item in ds]


def test_keys_select_their_rows_in_canonical_order(ds: ss.ShardDataset) -> None:
    """Lists, numpy arrays and Arrow columns of text."""
    keys = ["item-00050", "item-00003", "item-00009"]
    for given in (
        keys,
        tuple(keys),
        np.array(keys),
        np.array(keys, dtype=object),
        pa.array(keys),
        pa.chunked_array([keys]),
    ):
        assert numbers(ds.select(given)) == [3, 9, 50]
    assert len(ds.select([])) == 0


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["item-00001", "nobody"], r"key 'nobody' is not in 'train', whose keys look like 'item-00000'"),
        ([f"x{i}" for i in range(5)], r"5 keys \('x0', 'x1', 'x2', \.\.\.\) are not in 'train'"),
        (["item-00001", "item-00001"], r"key 'item-00001' is given twice; a sampler repeats"),
        ("item-00001", r"rows are the text 'item-00001'; give a list"),
        ([b"item-00001"], r"rows are \|S10; give integers, a mask of bool, keys"),
        (["item-00001", 3], r"rows are <U"),
    ],
)
def test_keys_that_do_not_fit_are_named(ds: ss.ShardDataset, keys: Any, message: str) -> None:
    """Unknown ones with their number, repeated ones, other things."""
    with pytest.raises(ss.OptionError, match=message):
        ds.select(keys)


def odd(ds: Any) -> Any:
    return pc.bit_wise_and(pc.field("size"), 1) == 1


def first_ten_keys(ds: Any) -> list[str]:
    return ds.index_columns(["key"])["key"].to_pylist()[:10]


def test_functions_of_the_dataset_compose(ds: ss.ShardDataset) -> None:
    """A function may return keys, rows, a mask, an expression, another function; each sees what was selected so far."""
    assert numbers(ds.select(odd).select(first_ten_keys)) == list(range(1, 20, 2))
    assert numbers(ds.select(first_ten_keys).select(odd)) == [1, 3, 5, 7, 9]
    assert numbers(ds.select(lambda _: lambda _: [-1])) == [62]
    assert numbers(ds.select(odd).select(lambda ds: np.arange(len(ds)) == 3)) == [7]


def test_a_selection_of_a_selection_is_one_selection(ds: ss.ShardDataset) -> None:
    """The same rows have the same digest however they were chosen; others have another."""
    twice, once = ds.select(odd).select([0, 4, 5]), ds.select([1, 9, 11])
    assert numbers(twice) == [1, 9, 11]
    assert twice.digest == once.digest
    assert len({ds.digest, ds.select(odd).digest, once.digest, ds.select([1, 9]).digest}) == 4
    assert ds.select(range(len(ds))).digest != ds.digest  # a selection says so, even of all
    assert pickle.loads(pickle.dumps(twice)).digest == once.digest
    assert pickle.loads(pickle.dumps(twice))[2]["number"] == 11


def test_index_columns_and_items_of_a_selection_agree(ds: ss.ShardDataset) -> None:
    """Row i of the index is item i, on selections of selections that leave shards empty."""
    part = ds.select(odd).select(lambda ds: ds.column("size") > 20)
    assert part.column("size").tolist() == numbers(part) == list(range(21, 63, 2))
    assert part.counts.tolist() == [0, 0, 15, 6]
    assert [part.locate(i)[0] for i in (0, 14, 15)] == [2, 2, 3]
    assert part[-1]["number"] == 61
    assert part[:3]["number"] == [21, 23, 25]


def test_an_expression_reads_the_index_in_pieces(ds: ss.ShardDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Index files are read one by one, and rows are counted on over them."""
    from shardstream.shard_writer import index

    monkeypatch.setattr(index, "SHARDS_PER_FILE", 2)
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        pieces = pack_index_only(Path(folder) / "out", [3, 4, 2, 5, 6])
        assert len(pieces.info.index) == 3
        assert numbers(pieces.select(odd)) == list(range(1, 20, 2))
        assert numbers(pieces.select(odd).select(pc.field("size") > 10)) == list(range(11, 20, 2))
