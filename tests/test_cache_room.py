"""The room of a cache: its bound holds for every order of events, and what a dead process left is dropped."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardstream.loaders.blocks import Grid
from shardstream.loaders.room import Room, claim_of

LIMIT, SPARE = 1000, 300


def size_of(folder: Path) -> int:
    """Bytes of files and claims, as an owner of the disk would count them."""
    return sum(file.stat().st_size for file in folder.iterdir() if file.suffix != ".lock")


def keep(room: Room, name: str, size: int, rolls: bool = False) -> bool:
    """Make a file of so many bytes; whether there was room."""
    target = room.folder / name
    with room.claim(target) as claim:
        if not room.reserve(claim, size, rolls=rolls):
            return False
        os.replace(claim_of(target), target)
    return True


def die(room: Room, name: str, size: int) -> None:
    """Claim room for a file and never make it: what SIGKILL leaves."""
    part = claim_of(room.folder / name)
    with room.claim(room.folder / name) as claim:
        room.reserve(claim, size, rolls=False)
        os.rename(part, room.folder / "aside.lock")  # out of the way of its giving up
    os.rename(room.folder / "aside.lock", part)


EVENTS = st.tuples(st.sampled_from(["keep", "roll", "die", "remove", "drop"]), st.integers(0, 7), st.integers(1, 400))


@given(st.lists(EVENTS, max_size=40))
def test_no_order_of_events_exceeds_the_bound_or_loses_room(events: list[tuple[str, int, int]]) -> None:
    """Files kept, rolled, dropped, removed behind our back, makers killed; then everything pinned still fits."""
    with tempfile.TemporaryDirectory() as folder:
        room = Room(Path(folder), LIMIT, SPARE)
        for event, number, size in events:
            pinned, rolling = room.folder / f"{number}.block", room.folder / f"{number}.rolling"
            if event == "keep" and not pinned.exists():
                keep(room, pinned.name, size)
            elif event == "roll" and not rolling.exists():
                keep(room, rolling.name, size, rolls=True)
            elif event == "die":
                die(room, f"dead{number}.block", size)
            elif event == "remove":
                pinned.unlink(missing_ok=True)
            elif event == "drop":
                room.give_up(pinned)
                assert not pinned.exists()
            assert size_of(room.folder) <= LIMIT
            assert sum(file.stat().st_size for file in room.folder.glob("*.rolling")) <= SPARE
        for file in room.folder.glob("*.block"):
            room.give_up(file)
        assert keep(room, "whole.block", LIMIT - SPARE)


def test_the_oldest_rolling_files_make_room_and_pinned_ones_never(tmp_path: Path) -> None:
    """First come, first dropped."""
    room = Room(tmp_path, LIMIT, SPARE)
    assert keep(room, "a.block", 700)
    assert not keep(room, "b.block", 1)
    for number in range(20):
        assert keep(room, f"{number:02}.rolling", 100, rolls=True)
        os.utime(tmp_path / f"{number:02}.rolling", ns=(number, number))
    assert sorted(file.name for file in tmp_path.glob("*.rolling")) == ["18.rolling", "19.rolling"]
    assert (tmp_path / "a.block").stat().st_size == 700


@pytest.mark.parametrize("damage", [b"", b"12", b"x" * 40, b"1" * 41])
def test_a_damaged_ledger_is_counted_anew(tmp_path: Path, damage: bytes) -> None:
    """Whatever is written there."""
    room = Room(tmp_path, LIMIT)
    assert keep(room, "a.block", 600)
    (tmp_path / "used.lock").write_bytes(damage)
    assert not keep(room, "b.block", 401)
    assert keep(room, "b.block", 400)


def test_files_that_somebody_removed_give_their_room_back(tmp_path: Path) -> None:
    """The ledger does not know; it is counted before anything is refused."""
    room = Room(tmp_path, LIMIT)
    assert keep(room, "a.block", 1000)
    (tmp_path / "a.block").unlink()
    assert keep(room, "b.block", 1000)


def test_processes_that_claim_at_once_share_the_bound(tmp_path: Path) -> None:
    """Four of them want 2,400 bytes of 1,000: just 33 files of 30 bytes fit, however they meet."""
    room = Room(tmp_path, LIMIT)
    gate, opener = os.pipe()
    children = []
    for number in range(4):
        children.append(os.fork())
        if children[-1] == 0:
            made = 99
            try:
                os.close(opener)
                os.read(gate, 1)  # all start when it is closed
                made = sum(keep(room, f"{number}-{file}.block", 30) for file in range(20))
            finally:
                os._exit(made)
    os.close(opener)
    assert sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children) == 33
    os.close(gate)
    assert size_of(tmp_path) == 990


def test_a_claim_that_is_taken_over_counts_once(tmp_path: Path) -> None:
    """Its bytes were counted for the one that died."""
    room = Room(tmp_path, LIMIT)
    die(room, "a.block", 600)
    assert keep(room, "a.block", 600)
    assert keep(room, "b.block", 400)
    assert not keep(room, "c.block", 1)


@contextmanager
def forked() -> Iterator[None]:
    """A child that was forked here and sleeps; it has every file open that we have."""
    child = os.fork()
    if child == 0:
        time.sleep(1000)  # until it is killed
        os._exit(1)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_child_forked_while_a_lock_is_held_does_not_keep_it(tmp_path: Path) -> None:
    """Neither the ledger's nor a claim's; whoever waited for it goes on while the child lives."""
    room, made = Room(tmp_path, LIMIT), list[bool]()
    waiting = threading.Thread(target=lambda: made.append(keep(room, "a.block", 10)), daemon=True)
    with ExitStack() as child:
        with room.claim(tmp_path / "a.block") as claim, room._ledger():
            waiting.start()
            while len(opened(claim)) < 2:
                time.sleep(0.001)
            child.enter_context(forked())
        waiting.join(30)
        assert made == [True]


def opened(file: BinaryIO) -> list[str]:
    """Our descriptors of a file."""
    links = ((number, f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd"))
    return [
        number
        for number, link in links
        if os.path.exists(link) and os.path.samefile(link, f"/proc/self/fd/{file.fileno()}")
    ]


@given(st.integers(1, 10_000), st.integers(1, 3_000), st.data())
def test_blocks_cover_a_shard_once_and_are_no_smaller_than_asked(total: int, block: int, data: st.DataObject) -> None:
    """Side by side, from its first byte to its last; a range lies in the blocks that it is said to lie in."""
    grid = Grid(total, block)
    bounds = [grid.bounds(number) for number in range(grid.count)]
    assert [start for start, _ in bounds] == [0, *(stop for _, stop in bounds[:-1])]
    assert bounds[-1][1] == total
    assert all(stop - start >= block for start, stop in bounds) or bounds == [(0, total)]
    start = data.draw(st.integers(0, total - 1))
    stop = data.draw(st.integers(start + 1, total))
    assert grid.covering(start, stop) == [(a, b) for a, b in bounds if a < stop and b > start]
