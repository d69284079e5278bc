"""Datasets that the tests of the algebra share; nothing writes to them."""

from __future__ import annotations

import pytest

import shardstream as ss

from ..index_only import pack_index_only

SIZES = [9, 1, 40, 13]


@pytest.fixture(scope="session")
def ds(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    """63 rows, item-00000 to item-00062, in four shards."""
    return pack_index_only(tmp_path_factory.mktemp("i") / "out", SIZES)


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[ss.ShardDataset]:
    """94, 23 and 60 rows in shards of uneven sizes; keys item-00000 ... are in all."""
    layouts = ([1, 50, 2, 2, 31, 7, 1], [20, 3], [6] * 10)
    return [pack_index_only(tmp_path_factory.mktemp("i") / "out", sizes) for sizes in layouts]
