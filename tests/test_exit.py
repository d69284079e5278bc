"""Processes that read Parquet end as they should: Arrow's threads hold nothing that needs the interpreter."""

from __future__ import annotations

import io
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shardstream.shard_writer.parquet import opened, owned, whole


@pytest.fixture
def parquet() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"a": np.arange(1_000)}), buffer, row_group_size=100)
    return buffer.getvalue()


def test_an_open_file_does_not_hold_the_bytes_it_was_opened_from(parquet: bytes) -> None:
    """So no thread of Arrow can be the last to hold them while the interpreter ends, which aborts the process."""
    before = sys.getrefcount(parquet)
    file = opened(parquet)
    assert sys.getrefcount(parquet) == before
    assert file.read()["a"].to_pylist() == list(range(1_000))


def test_whole_reads_all_rows_or_named_columns(parquet: bytes) -> None:
    """As pyarrow reads them."""
    assert whole(parquet).equals(pq.read_table(io.BytesIO(parquet)))
    assert whole(parquet, ["a"]).column_names == ["a"]


@pytest.mark.parametrize("size", [0, 1, 4_097])
def test_a_copy_is_equal(size: int) -> None:
    """Of any length."""
    data = bytes(i % 251 for i in range(size))
    assert owned(data).to_pybytes() == data
