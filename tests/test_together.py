"""The first batch of an epoch is decoded by all threads: the same pictures, errors and counts as by one."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import shardstream as ss
from shardstream.errors import UndecodableImage
from shardstream.loaders import pictures
from shardstream.loaders.together import Helpers, each

from .toy import pack_toy


def test_results_stand_in_the_order_of_the_items() -> None:
    """With helpers as without; the first error in that order is raised."""

    def work(number: int) -> int:
        if number in (7, 3):
            raise ValueError(str(number))
        return number * number

    with Helpers(3):
        assert each(work, [5, 1, 4]) == [25, 1, 16]
        with pytest.raises(ValueError, match="3"):
            each(work, [1, 3, 7])
    assert each(work, [2]) == [4]


def test_helpers_are_those_of_the_thread_that_called_them() -> None:
    """Another thread works alone, and so does this one afterwards."""

    def name(_: int) -> str:
        return threading.current_thread().name

    with Helpers(2):
        assert all(name.startswith("shardstream-first") for name in each(name, range(4)))
        other: list[str] = []
        thread = threading.Thread(target=lambda: other.extend(each(name, range(2))), name="other")
        thread.start()
        thread.join()
        assert other == ["other", "other"]
    assert each(name, range(1)) == [threading.current_thread().name]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_first_batch_alone_is_shared(tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pictures come from helpers, later ones from the thread of their batch."""
    seen: list[tuple[bool, str]] = []
    original: Any = pictures.decode_parts

    def watched(data: Any, where: object, *rest: Any) -> Any:
        seen.append((threading.current_thread().name.startswith("shardstream-first"), str(where)))
        return original(data, where, *rest)

    monkeypatch.setattr(pictures, "decode_parts", watched)
    ds = pack_toy(tmp_path / "out", 24)
    loader = ss.Loader(ds, batch_size=6, shuffle=True, num_workers=workers, worker_kind="thread")
    first, *later = list(loader)
    shared = {where for helped, where in seen if helped}
    assert all(any(repr(key) in where for where in shared) for key in first["key"])
    assert len(shared) == 6
    assert len(seen) == 24
    assert len(later) == 3


def test_what_helpers_do_is_counted(tmp_path: Path) -> None:
    """Each picture once, whoever decoded it; a batch's parts are not longer than the batch."""
    ds = pack_toy(tmp_path / "out", 24)
    loader = ss.Loader(ds, batch_size=6, shuffle=True, num_workers=2, worker_kind="thread")
    for _ in loader:
        pass
    stages = loader.metrics().stages
    assert stages["decode"].times == 24
    assert stages["assemble"].busy > 0


def test_damage_in_the_first_batch_is_raised_in_its_turn(tmp_path: Path) -> None:
    """With the name of the sample."""
    ds = pack_toy(tmp_path / "out", 24)

    def broken(data: Any, where: object, *rest: Any) -> Any:
        raise UndecodableImage(f"{where}: no")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "decode_parts", broken)
        loader = ss.Loader(ds, batch_size=6, shuffle=False, num_workers=2, worker_kind="thread")
        with pytest.raises(UndecodableImage, match="train-00000'"):
            next(iter(loader))
