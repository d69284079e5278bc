"""Pickles are read without running what they ask for."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shardstream.errors import SourceError
from shardstream.shard_writer.sources.pickle_safe import load_pickle


class Canary:
    """Unpickling this creates a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.path),))


def test_a_pickle_that_runs_code_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    """The canary is hatched by plain pickle, and not by ours."""
    data = pickle.dumps({"data": Canary(tmp_path / "canary")}, protocol=2)
    with pytest.raises(SourceError, match=r"data_batch_1.*(posix|nt)\.mkdir.*nothing was run"):
        load_pickle(data, "data_batch_1")
    assert not (tmp_path / "canary").exists()
    pickle.loads(data)
    assert (tmp_path / "canary").exists()


# Protocol 0 by hand: "c<module>\n<name>\n" pushes a global, "(...t" a tuple, "R" calls.
HOSTILE = {
    "os.system": b"cos\nsystem\n(S'true'\ntR.",
    "builtins.eval": b"cbuiltins\neval\n(S'1'\ntR.",
    "builtins.getattr": b"cbuiltins\ngetattr\n(S'1'\nS'x'\ntR.",
    "numpy.load": b"cnumpy\nload\n(S'x'\ntR.",
    "dotted names": b"\x80\x04\x8c\x05numpy\x8c\x11testing._utils.os\x93.",
    "a nested attribute of numpy": b"\x80\x04\x8c\x05numpy\x8c\x09f2py.diag\x93.",
    "a persistent id": b"Pother\n.",
    "object arrays": pickle.dumps({"data": np.array([{}, {}], dtype=object)}, protocol=2),
    "float arrays": pickle.dumps({"data": np.zeros((1, 3072))}, protocol=2),
    "no dictionary": pickle.dumps([1, 2]),
    "a huge memo index": b"\x80\x02]r\xff\xff\xff\x7f.",
    "nothing": b"",
    "text": b"<html>404</html>",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_whatever_is_no_cifar_pickle_is_a_source_error(data: bytes) -> None:
    """Never another exception, never a result."""
    with pytest.raises(SourceError, match="data_batch_1"):
        load_pickle(data, "data_batch_1")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_every_pickle_protocol_come_back(protocol: int, order: Any) -> None:
    """Re-saved copies use newer protocols; NumPy pickles differently in each."""
    pixels = np.asarray(np.random.default_rng(0).integers(0, 256, (5, 7), dtype=np.uint8), order=order)
    found = load_pickle(pickle.dumps({"data": pixels, "labels": [1, 2]}, protocol), "x")
    assert np.array_equal(found["data"], pixels)
    assert found["labels"] == [1, 2]


@pytest.mark.parametrize("batch", ["data_batch_1", "test_batch"])
def test_python_2_pickles_agree_under_both_readings(real_data: Path, tmp_path: Path, batch: str) -> None:
    """latin1 gives text keys, bytes gives byte keys; a copy saved from either reads the same."""
    data = (real_data / "cifar10/cifar-10-batches-py" / batch).read_bytes()
    text, raw = pickle.loads(data, encoding="latin1"), pickle.loads(data, encoding="bytes")
    assert b"data" in raw
    for copy in (data, pickle.dumps(text), pickle.dumps(raw)):
        found = load_pickle(copy, batch)
        assert np.array_equal(found.pop("data"), text["data"])
        assert found == {name: value for name, value in text.items() if name != "data"}


@pytest.mark.parametrize("kept", [1, 100, 50_000, 1_239_895])
def test_a_pickle_cut_anywhere_is_refused(real_data: Path, kept: int) -> None:
    """An interrupted download is never a smaller set."""
    data = (real_data / "cifar10/cifar-10-batches-py/data_batch_1").read_bytes()[:kept]
    with pytest.raises(SourceError, match=f"data_batch_1: {kept:,} bytes are no whole CIFAR pickle"):
        load_pickle(data, "data_batch_1")


def test_bytes_that_do_not_fill_the_claimed_shape_are_refused() -> None:
    """A pickle of 40 bytes may claim a terabyte."""
    data = pickle.dumps({"data": np.zeros((3, 5), np.uint8)}, protocol=2)
    assert data.count(b"K\x03K\x05\x86") == 1
    with pytest.raises(SourceError, match="no whole CIFAR pickle"):
        load_pickle(data.replace(b"K\x03K\x05\x86", b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86"), "x")
