"""The benchmarks run, say what they measured, and refuse to compare sides that deliver different things."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).parents[1] / "benchmarks"
CASES = {"pack/photos", "pack/pixels", "pack/pixels+statistics", "stream/raw", "stream/train224"}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one quick run wrote; its temporary files go below pytest's folder."""
    folder = tmp_path_factory.mktemp("bench")
    command = [sys.executable, "-P", str(FOLDER / "run.py"), "--quick", "--json", str(folder / "out.json")]
    # Another process: the peer's warnings and workers must not meet this one's filters.
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "| stream/raw |" in done.stdout
    return json.loads((folder / "out.json").read_text())


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ModuleType, ModuleType, ModuleType]]:
    """The files ``measure``, ``packing`` and ``streaming``, importable as ``run.py`` imports them."""
    names = ("material", "measure", "packing", "streaming")
    monkeypatch.syspath_prepend(str(FOLDER))
    import measure
    import packing
    import streaming

    yield measure, packing, streaming
    for name in names:
        sys.modules.pop(name, None)


def test_a_run_says_when_where_and_with_what_it_measured(result: dict[str, Any]) -> None:
    """Date, commit, versions and processor are there; the machine's name is not."""
    import platform

    assert {"date", "commit", "machine", "versions", "cases"} <= result.keys()
    assert set(result["machine"]) == {"cpu", "cores", "memory_gb", "system"}
    assert {"python", "shardstream", "webdataset", "torch"} <= result["versions"].keys()
    assert platform.node() not in json.dumps(result).split('"')


def test_every_case_reports_both_sides_and_a_ratio(result: dict[str, Any]) -> None:
    """Medians, spread and the raw seconds of each side, at least three rounds, ratio = peer's time / ours."""
    assert {case["case"] for case in result["cases"]} == CASES
    for case in result["cases"]:
        medians = []
        for side in ("ours", "webdataset"):
            seconds = sorted(case[side]["seconds"])
            assert len(seconds) == case["repeats"] >= 3
            assert case[side]["median_seconds"] == seconds[len(seconds) // 2]
            medians.append(case[side]["median_seconds"])
        assert case["ratio"] == pytest.approx(medians[1] / medians[0], rel=0.05)
        assert case["ratio_rounds"]["min"] <= case["ratio_rounds"]["max"]


def test_both_sides_of_every_case_did_the_same_work(result: dict[str, Any]) -> None:
    """As many samples on each side, the same bytes where bytes are compared, the same labels, shape and dtype."""
    by_name = {case["case"]: case for case in result["cases"]}
    for case in by_name.values():
        assert case["ours"]["samples"] == case["webdataset"]["samples"] > 0
    assert by_name["pack/photos"]["same"] == {
        "members": 3 * by_name["pack/photos"]["ours"]["samples"],
        "same_bytes": True,
    }
    assert by_name["stream/raw"]["same"]["same_bytes"]
    assert by_name["stream/raw"]["ours"]["bytes"] == by_name["stream/raw"]["webdataset"]["bytes"]
    assert by_name["stream/train224"]["same"]["shape"] == [3, 224, 224]
    assert by_name["stream/train224"]["same"]["dtype"] == "torch.float32"
    assert by_name["stream/train224"]["ours"]["bytes"] == by_name["stream/train224"]["webdataset"]["bytes"]


def _shard(folder: Path, members: dict[str, bytes]) -> Path:
    folder.mkdir()
    with tarfile.open(folder / "x.tar", "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return folder


def test_packing_is_not_compared_where_one_byte_differs(tmp_path: Path, modules: tuple[ModuleType, ...]) -> None:
    """JSON may be spaced differently; an image may not differ and no member may be missing."""
    packing = modules[1]
    ours = _shard(tmp_path / "a", {"k.jpg": b"abc", "k.json": b'{"a":1}'})
    same = _shard(tmp_path / "b", {"k.json": b'{"a": 1}', "k.jpg": b"abc"})
    assert packing.same_members(ours, same) == {"members": 2, "same_bytes": True}
    for name, other in (("c", {"k.jpg": b"abd", "k.json": b'{"a":1}'}), ("d", {"k.jpg": b"abc"})):
        with pytest.raises(RuntimeError, match="different members"):
            packing.same_members(ours, _shard(tmp_path / name, other))


def test_streams_are_not_compared_where_samples_differ(modules: tuple[ModuleType, ...]) -> None:
    """A missing sample, other bytes, other labels or another dtype end the benchmark."""
    streaming = modules[2]
    sample = {"__key__": "k", "jpg": b"abc"}
    assert streaming.same_samples(iter([sample]), iter([{**sample, "__url__": "x"}]))["samples"] == 1
    for other in ([], [{**sample, "jpg": b"abd"}], [{**sample, "__key__": "l"}]):
        with pytest.raises(RuntimeError, match="different samples"):
            streaming.same_samples(iter([sample]), iter(other))
    images, labels = torch.zeros(2, 3, 4, 4), torch.tensor([1, 2])
    assert streaming.same_batches(iter([(images, labels)]), iter([(images, labels.flip(0))]))["samples"] == 2
    for bad in ((images.double(), labels), (images, labels + 1), (images[:, :, :2], labels)):
        with pytest.raises(RuntimeError, match="different epochs"):
            streaming.same_batches(iter([(images, labels)]), iter([bad]))


def test_sides_take_turns_at_going_first_and_are_tidied_before_each_run(modules: tuple[ModuleType, ...]) -> None:
    """Neither side always runs on the other's heels; the check comes before anything timed."""
    measure, log = modules[0], []

    def side(name: str) -> Any:
        return lambda: log.append(name) or measure.Work(1, 1)

    case = measure.Case(
        name="x",
        what="",
        ours=side("a"),
        webdataset=side("b"),
        check=lambda: log.append("check") or {},
        tidy=lambda: log.append("-"),
    )
    measured = measure.compare(case, 3)
    assert "".join(log).replace("-", "") == "checkabbaab"
    assert log[2:-1:2] == ["-"] * 6
    assert measured["repeats"] == 3
