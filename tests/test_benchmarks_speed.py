"""The speed benchmark: sides answer in turn, epochs are looked at before they are timed, ratios are what they say."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

FOLDER = Path(__file__).parents[1] / "benchmarks"
MODULES = ("checks", "process_tree", "rounds", "side", "venvs")


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The benchmark's own modules, importable as its scripts import them."""
    monkeypatch.syspath_prepend(str(FOLDER / "peers"))
    monkeypatch.syspath_prepend(str(FOLDER))
    import checks
    import process_tree
    import rounds
    import venvs

    yield SimpleNamespace(checks=checks, process_tree=process_tree, rounds=rounds, venvs=venvs)
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A run of ours and the decode calls alone, on one batch of photos."""
    folder = tmp_path_factory.mktemp("speed")
    words = ["--only", "eval", "--peers", "", "--scale", "0.07", "--rounds", "2", "--json", str(folder / "out.json")]
    command = [sys.executable, "-P", str(FOLDER / "speed.py"), *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "| ours-thread |" in done.stdout
    return json.loads((folder / "out.json").read_text())


def test_ours_and_its_ceiling_deliver_the_same_pictures(result: dict[str, Any]) -> None:
    """Threads, processes and the bare decode calls: all images, one kind, within two levels of Pillow's."""
    (recipe,) = result["recipes"]
    assert recipe["failed"] == {}
    assert set(recipe["checks"]) == {"ours-thread", "ours-process", "limit"}
    for check in recipe["checks"].values():
        assert (check["images"], check["kind"]) == (70, "(3, 224, 224) torch.float32")
        assert check["levels_from_pillow"]["largest"] < 2.001
    assert {len(side["seconds"]) for side in recipe["sides"]} == {2}
    assert set(recipe["ours-thread over"]) == {"limit"}


def _expect(folder: Path, recipe: str, **arrays: Any) -> str:
    (folder / "expected" / recipe).mkdir(parents=True)
    for name, values in arrays.items():
        np.save(folder / "expected" / recipe / f"{name}.npy", np.array(values))
    return str(folder)


def test_an_epoch_of_other_images_is_not_timed(files: SimpleNamespace, tmp_path: Path) -> None:
    """A label too few, one twice, other bytes, mixed shapes: each is refused with what is wrong."""
    folder = _expect(tmp_path, "cifar", labels=[0, 1], crc=[zlib.crc32(bytes([n] * 12)) for n in (7, 8)])

    def look(values: list[int], labels: list[int]) -> Any:
        check = files.checks.Check(folder, "cifar")
        images = torch.tensor(values, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2)
        check.add(images, torch.tensor(labels))
        return check.result()

    assert look([7, 8], [0, 1])["same_bytes"]
    for values, labels in (([7], [0]), ([7, 8, 8], [0, 1, 1]), ([7, 9], [0, 1])):
        with pytest.raises(ValueError, match="contents of the epoch are not those of the set"):
            look(values, labels)
    with pytest.raises(ValueError, match="labels of the epoch are not those of the set: 1 missing, 1 that"):
        look([7, 8], [0, 0])
    with pytest.raises(TypeError, match="one label each"):
        look([7, 8], [0])


def test_evaluation_is_measured_in_grey_levels_from_pillow(files: SimpleNamespace, tmp_path: Path) -> None:
    """A picture three levels brighter than its class's is three levels off."""
    reference = np.full((2, 3, 224, 224), 100, dtype=np.uint8)
    check = files.checks.Check(_expect(tmp_path, "eval", labels=[1], eval=reference), "eval")
    mean, std = (torch.tensor(values)[:, None, None] for values in (files.checks.MEAN, files.checks.STD))
    check.add(((torch.full((1, 3, 224, 224), 103.0) / 255 - mean) / std), torch.tensor([1]))
    assert check.result()["levels_from_pillow"]["mean"] == pytest.approx(3, abs=1e-3)


def test_each_round_begins_with_the_next_side(files: SimpleNamespace) -> None:
    """No side always runs on another's heels."""
    said: list[str] = []

    def side(name: str) -> Any:
        return SimpleNamespace(name=name, ask=lambda word: said.append(name + word) or {"images": 1, "seconds": 1.0})

    found = files.rounds.alternate([side("a"), side("b"), side("c")], 4)
    assert said == [letter + "go" for letter in "abcbcacababc"]
    assert {name: len(runs) for name, runs in found.items()} == {"a": 4, "b": 4, "c": 4}


def test_a_ratio_is_that_of_the_medians_with_the_extremes_of_the_rounds(files: SimpleNamespace) -> None:
    """Ours 100, 200, 300 images/s, theirs 100, 50, 100: 200 over 100, rounds from 1 to 4."""
    ours = [{"images": 100, "seconds": 1 / n} for n in (1, 2, 3)]
    theirs = [{"images": 100, "seconds": s} for s in (1, 2, 1)]
    assert files.rounds.ratio(ours, theirs) == {"ratio": 2.0, "rounds": [1.0, 4.0]}


SIDE = """
import sys
from side import Side, main
import torch
def open_epoch(job):
    def epoch():
        for _ in range(3):
            yield torch.zeros(2, 3, 4, 4), torch.zeros(2)
        if job.images == 9: raise KeyError("no such image")
    return epoch
print("noise of an import")
main(Side(settings={"cifar": "here"}, open=open_epoch))
"""


def test_a_side_is_timed_in_its_own_process_and_its_failure_says_why(files: SimpleNamespace, tmp_path: Path) -> None:
    """What it prints does not disturb; a recipe that it does not know is left out; an exception reaches the message."""
    script = tmp_path / "some_side.py"
    script.write_text(SIDE)
    program = files.rounds.Program("x", Path(sys.executable), script, {"PYTHONPATH": str(FOLDER / "peers")})

    def job(recipe: str, images: int) -> str:
        return json.dumps({"recipe": recipe, "folder": "", "images": images, "batch": 2, "workers": 2})

    assert not program.prepare(job("read", 6))
    assert program.prepare(job("cifar", 6))
    with files.rounds.Running(program, job("cifar", 6), tmp_path / "log") as running:
        assert running.ready["settings"] == "here"
        timed = running.ask("go")
    assert timed["images"] == 6
    assert 0 < timed["first_batch_s"] <= timed["seconds"]
    assert timed["peak_rss_mb"] > 50
    with (
        files.rounds.Running(program, job("cifar", 9), tmp_path / "log") as running,
        pytest.raises(files.rounds.SideFailedError, match="no such image"),
    ):
        running.ask("go")


def test_time_and_memory_of_workers_count(files: SimpleNamespace) -> None:
    """A child that works for a while is in the tree's CPU time, also after it has ended."""
    before = files.process_tree.cpu_seconds()
    subprocess.run([sys.executable, "-c", "for _ in range(5_000_000): pass"], check=True)
    assert files.process_tree.cpu_seconds() - before > 0.02
    assert files.process_tree.peak_rss() >= files.process_tree.pss() > 0


def test_every_peer_has_pinned_requirements_and_takes_part(files: SimpleNamespace) -> None:
    """One name, one list of exact versions, one script; none that is missing."""
    assert len(files.venvs.PEERS) == 9
    for name in files.venvs.PEERS:
        lines = [line for line in files.venvs.wanted(name).splitlines()[1:] if not line.startswith("#")]
        assert lines
        assert all("==" in line for line in lines)
        assert (FOLDER / "peers" / f"speed_{name.replace('-', '_')}.py").is_file()
