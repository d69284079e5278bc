"""Packed digits: 1,797 real pictures that scikit-learn ships, of which 1,438 train."""

from __future__ import annotations

from pathlib import Path

import pytest

import shardstream as ss


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("digits") / "shards"
    ss.write("digits", out=out, shard_size="64KB")
    return out
