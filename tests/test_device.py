"""On the way to a device: the next batch is copied while this one is worked on, and nothing else changes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import torch

import shardstream as ss
from shardstream.loaders import Batch, loader
from shardstream.loaders.device import Copy, ahead_of

from .toy import pack_toy


@dataclass
class Noted:
    """A copier that stays where it is and writes down what happens, in order."""

    notes: list[str] = field(default_factory=list)

    def begin(self, batch: Batch) -> Copy:
        self.notes.append(f"begin {batch['index'][0]}")
        return NotedCopy(self, batch)

    def settle(self) -> None:
        self.notes.append("settle")

    @property
    def flying(self) -> int:
        """Copies begun that have not arrived."""
        return sum(note.startswith("begin") - note.startswith("arrive") for note in self.notes)


@dataclass
class NotedCopy:
    copier: Noted
    batch: Batch

    def arrive(self) -> Batch:
        self.copier.notes.append(f"arrive {self.batch['index'][0]}")
        return self.batch


def numbered(count: int, fails: bool = False) -> Iterator[Batch]:
    yield from (Batch(index=[number]) for number in range(count))
    if fails:
        raise ValueError("the batch after them")


def arrived(copy: Copy) -> Batch:
    return copy.arrive()


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    return pack_toy(tmp_path_factory.mktemp("device") / "out", 50)


@pytest.mark.parametrize("ahead", [0, 1, 3, 9])
def test_batches_come_in_order_with_at_most_so_many_copies_ahead(ahead: int) -> None:
    """When one is delivered the next are on their way already, never more than asked for."""
    copier, delivered = Noted(), []
    for batch in ahead_of(numbered(7), copier, ahead, arrived):
        delivered.append(batch["index"][0])
        assert copier.flying == min(ahead, 7 - len(delivered))
    assert delivered == list(range(7))


def test_a_step_is_settled_before_the_next_batch_is_taken() -> None:
    """So that the memory of batches on the device is bounded."""
    copier = Noted()
    list(ahead_of(numbered(3), copier, 1, arrived))
    assert copier.notes == [
        "begin 0", "begin 1", "arrive 0", "settle", "begin 2", "arrive 1", "settle", "arrive 2",
    ]  # fmt: skip


@pytest.mark.parametrize("ahead", [0, 1, 4])
def test_an_error_of_a_batch_comes_in_its_turn(ahead: int) -> None:
    """What was begun before it is delivered first."""
    delivered: list[int] = []

    def deliver() -> None:
        for batch in ahead_of(numbered(3, fails=True), Noted(), ahead, arrived):
            delivered.append(batch["index"][0])

    with pytest.raises(ValueError, match="after them"):
        deliver()
    assert delivered == [0, 1, 2]


@pytest.mark.parametrize("bad", [0, 2, 4])
def test_nothing_is_delivered_after_a_batch_that_failed_on_the_device(bad: int) -> None:
    """Copies that were begun after it are dropped, also at the end of the epoch."""
    delivered: list[int] = []

    def failing(copy: Copy) -> Batch:
        batch = copy.arrive()
        if batch["index"][0] == bad:
            raise ValueError("on the device")
        return batch

    def deliver() -> None:
        for batch in ahead_of(numbered(5), Noted(), 2, failing):
            delivered.append(batch["index"][0])

    with pytest.raises(ValueError, match="on the device"):
        deliver()
    assert delivered == list(range(bad))


def test_leaving_early_drops_what_is_in_flight() -> None:
    """No batch arrives that nobody takes."""
    copier = Noted()
    batches = ahead_of(numbered(9), copier, 2, arrived)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert [note for note in copier.notes if note.startswith("arrive")] == ["arrive 0"]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("ahead", [1, 3])
def test_a_state_does_not_count_batches_that_were_copied_ahead(
    ds: ss.ShardDataset, monkeypatch: pytest.MonkeyPatch, workers: int, ahead: int
) -> None:
    """Resuming at every step goes on with the batch after the delivered one; metrics count the delivered ones."""
    monkeypatch.setattr(loader, "copier_of", lambda _: Noted())

    def made() -> ss.Loader:
        return ss.Loader(
            ds, batch_size=6, shuffle=True, drop_last=False, device="cuda", pin_memory=False, device_ahead=ahead,
            num_workers=workers, worker_kind="thread",
        )  # fmt: skip

    whole = [batch["key"] for batch in ss.Loader(ds, batch_size=6, shuffle=True, drop_last=False)]
    for step in range(1, len(whole)):
        first, second = made(), made()
        taken = [batch["key"] for batch in itertools.islice(first, step)]
        second.load_state_dict(first.state_dict())
        assert taken + [batch["key"] for batch in second] == whole
        assert first.metrics().images == 6 * step


def test_the_transform_runs_on_each_batch_once_when_it_is_delivered(
    ds: ss.ShardDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In order, and not on what is only in flight."""
    copier, seen = Noted(), []
    monkeypatch.setattr(loader, "copier_of", lambda _: copier)

    def transform(batch: Batch) -> Batch:
        seen.append(int(batch["index"][0]))
        return batch

    batches = iter(ss.Loader(ds, batch_size=10, device="cuda", pin_memory=False, transform=transform))
    for number in range(5):
        assert next(batches)["index"][0] == 10 * number
        assert seen == [10 * done for done in range(number + 1)]


def test_a_negative_number_of_copies_is_refused(ds: ss.ShardDataset) -> None:
    """With the value."""
    with pytest.raises(ss.OptionError, match="-1"):
        ss.Loader(ds, device_ahead=-1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_cuda_device_gets_the_same_pictures_while_it_is_busy(ds: ss.ShardDataset, workers: int) -> None:
    """Two epochs, with kernels that keep the caller's stream behind the copies, and memory that is used again."""
    options = {"batch_size": 5, "shuffle": True, "num_workers": workers, "worker_kind": "thread"}
    there, here = ss.Loader(ds, device="cuda", device_ahead=2, **options), ss.Loader(ds, **options)
    for _ in range(2):
        kept = []
        for batch in there:
            torch.cuda._sleep(20_000_000)
            kept.append(batch["image"].float().sum((1, 2, 3)))  # read after the sleep, on the caller's stream
        expected = [batch["image"].float().sum((1, 2, 3)) for batch in here]
        for mine, theirs in zip(kept, expected, strict=True):
            torch.testing.assert_close(mine.cpu(), theirs)
