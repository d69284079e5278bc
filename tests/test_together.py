"""Pictures of a batch decoded by several threads: the same pictures, errors and counts as by one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

import shardstream as ss
from shardstream.errors import UndecodableImage
from shardstream.loaders import pictures
from shardstream.loaders.together import Crew, each

from .toy import pack_toy


class Working:
    """Counts how often a thread helped, by its name."""

    def __init__(self) -> None:
        self.helped: list[str] = []

    @contextmanager
    def __call__(self) -> Iterator[None]:
        self.helped.append(threading.current_thread().name)
        yield


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_results_stand_in_the_order_of_the_items(threads: int) -> None:
    """By a crew as by one; the first error in that order is raised, whichever came first."""

    def work(number: int) -> int:
        if number in (7, 3):
            time.sleep(0.01 if number == 3 else 0)
            raise ValueError(str(number))
        return number * number

    def batch(step: int) -> list[int]:
        return each(work, [[5, 1, 4], [3, 7, 1], []][step])

    with Crew(threads, nullcontext) as crew:
        first, failing, empty = (crew.submit(batch, step) for step in range(3))
        assert first.result() == [25, 1, 16]
        assert empty.result() == []
        with pytest.raises(ValueError, match="3"):
            failing.result()
    assert each(work, [2]) == [4]


def test_nothing_is_taken_after_what_failed() -> None:
    """But what was begun is waited for: no thread is still at work when the error is raised."""
    taken: list[int] = []

    def work(number: int) -> None:
        taken.append(number)
        if number == 1:
            raise ValueError("one")
        time.sleep(0.005)

    with Crew(2, nullcontext) as crew, pytest.raises(ValueError, match="one"):
        crew.submit(lambda _: each(work, range(100)), 0).result()
    assert len(taken) <= 4


def test_threads_without_a_batch_take_pictures_of_others() -> None:
    """At the end of an epoch, too; each item is done once."""
    working, names = Working(), dict[int, str]()
    together = threading.Barrier(3)

    def work(number: int) -> int:
        names[number] = threading.current_thread().name
        if number < 3:
            together.wait(10)  # passes only where three threads are at it
        return number

    with Crew(3, working) as crew:
        assert crew.submit(lambda _: each(work, range(9)), 0).result() == list(range(9))
    assert len(set(names.values())) == 3
    assert len(working.helped) == 2


def test_the_last_batches_are_helped_too() -> None:
    """By threads that have made theirs."""
    together = threading.Barrier(2)

    def batch(step: int) -> list[int]:
        return each(lambda _: together.wait(10) if step == 5 else step, range(2))

    with Crew(2, nullcontext) as crew:
        *others, last = [crew.submit(batch, step) for step in range(6)]
        assert [future.result() for future in others] == [[step, step] for step in range(5)]
        assert sorted(last.result()) == [0, 1]  # passes only where two threads are at it


def test_a_thread_with_a_batch_to_begin_helps_nobody() -> None:
    """As long as every thread has one."""
    working, release = Working(), threading.Event()

    def batch(step: int) -> list[int]:
        release.wait(10)
        return each(int, [step, step])

    with Crew(2, working) as crew:
        begun = [crew.submit(batch, step) for step in range(12)]
        release.set()
        assert [future.result() for future in begun] == [[step, step] for step in range(12)]
        assert len(working.helped) <= 3  # of the last three batches


def test_another_thread_works_alone() -> None:
    """Helpers are those of a crew."""

    def name(_: int) -> str:
        return threading.current_thread().name

    other: list[str] = []
    thread = threading.Thread(target=lambda: other.extend(each(name, range(2))), name="other")
    thread.start()
    thread.join()
    assert other == ["other", "other"]


def test_a_batch_that_is_left_behind_ends() -> None:
    """The loop is left while the first batch is shared: its threads end, quietly."""
    release = threading.Event()

    def batch(step: int) -> list[int]:
        release.wait(10)
        return each(int, range(50))

    crew = Crew(2, nullcontext)
    future = crew.submit(batch, 0)
    closing = threading.Thread(target=crew.__exit__, args=(None, None, None))
    closing.start()
    time.sleep(0.05)  # the pool takes nothing new by now
    release.set()
    closing.join(10)
    assert not closing.is_alive()
    assert future.result() == list(range(50))


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_first_batch_is_made_before_others_are_begun(
    tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that all threads are there for it; every picture is decoded once."""
    seen: list[str] = []
    original: Any = pictures.decode_parts

    def watched(data: Any, where: object, *rest: Any) -> Any:
        seen.append(str(where))
        return original(data, where, *rest)

    monkeypatch.setattr(pictures, "decode_parts", watched)
    ds = pack_toy(tmp_path / "out", 24)
    loader = ss.Loader(ds, batch_size=6, shuffle=True, num_workers=workers, worker_kind="thread")
    first, *later = list(loader)
    assert all(any(repr(key) in where for where in seen[:6]) for key in first["key"])
    assert len(seen) == len(set(seen)) == 24
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
