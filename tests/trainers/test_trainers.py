"""Each trainer's example: exactly once over its ranks, the loss falls, stopped mid-epoch it goes on on other ranks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import shardstream as ss

from .jobs import (
    BATCH,
    Step,
    assert_equal_steps,
    assert_exactly_once,
    assert_loss_falls,
    batches,
    plain,
    recorded,
    run,
    torchrun,
)


def upto(steps: list[Step], last: int) -> list[Step]:
    """What a checkpoint after step ``last`` knows of."""
    return [step for step in steps if step.step <= last]


def test_ddp_sees_each_digit_once_and_goes_on_on_three_ranks(digits: Path, tmp_path: Path) -> None:
    """Two epochs on two ranks; then a third, on three. The batches are those of one rank."""
    saved, first, more = (tmp_path / name for name in ("last.pt", "first", "more"))
    shown = run(torchrun(2, "ddp_train", digits, "--epochs", "2", "--checkpoint", saved, "--record", first))
    assert shown.splitlines()[1].startswith("epoch 1")
    assert float(shown.split()[-1]) > 0.95
    run(torchrun(3, "ddp_train", digits, "--epochs", "3", "--checkpoint", saved, "--record", more))
    assert_equal_steps(recorded(first), ranks=2)
    assert_equal_steps(recorded(more), ranks=3)
    assert_exactly_once([*recorded(first), *recorded(more)], digits, epochs=3)
    assert_loss_falls(recorded(first))
    alone = ss.Loader(ss.open(digits, split="train"), batch_size=BATCH, shuffle=True, world=ss.World(0, 1))
    expected = [Counter(batch["key"]) for _ in range(3) for batch in alone]
    assert list(batches([*recorded(first), *recorded(more)]).values()) == expected


def test_ddp_trains_on_real_photos_of_all_sizes(real_data: Path, tmp_path: Path) -> None:
    """ImageNet as it is packed, one epoch on two ranks, then one on a single rank."""
    out, saved = tmp_path / "imagenet", tmp_path / "last.pt"
    ss.write("imagenet", real_data / "imagenet", out=out)
    given = ("--crop", "32", "--global-batch-size", "24", "--checkpoint", saved, "--record", tmp_path / "record")
    run(torchrun(2, "ddp_train", out, "--epochs", "1", *given))
    assert_equal_steps(recorded(tmp_path / "record"), ranks=2)
    run(torchrun(1, "ddp_train", out, "--epochs", "2", *given))
    assert_exactly_once(recorded(tmp_path / "record"), out, epochs=2, batch=24)


@pytest.mark.parametrize("stop", [14, 21])
def test_lightning_resumes_after_an_epoch_and_within_one(
    lightning_run: tuple[Path, list[Step]], digits: Path, tmp_path: Path, stop: int
) -> None:
    """Lightning starts its own two ranks; its checkpoint goes on in one process."""
    folder, first = lightning_run
    checkpoint, record = folder / f"step={stop}.ckpt", tmp_path / "more"
    shown = run(plain("lightning_train", digits, "--epochs", "2", "--resume", checkpoint, "--out", tmp_path / "out",
                      "--record", record, "--epochs", "3"))  # fmt: skip
    assert_exactly_once([*upto(first, stop), *recorded(record)], digits, epochs=3)
    again = batches(recorded(record))
    assert {step: keys for step, keys in again.items() if step[0] < 2} == {
        step: keys for step, keys in batches(first).items() if step[1] > stop
    }
    assert "of 1438" in shown


@pytest.fixture(scope="module")
def lightning_run(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Step]]:
    """Two epochs on two ranks that Lightning starts itself, a checkpoint every seven steps."""
    pytest.importorskip("lightning")
    folder = tmp_path_factory.mktemp("lightning")
    arguments = ("--devices", "2", "--epochs", "2", "--save-every", "7", "--out", folder, "--record", folder / "record")
    shown = run(plain("lightning_train", digits, *arguments))
    assert shown.count("of 1438") == 2, "validation counts every picture once"
    return folder, recorded(folder / "record")


def test_lightning_sees_each_digit_once(lightning_run: tuple[Path, list[Step]], digits: Path) -> None:
    """No DistributedSampler is put in, and no epoch is repeated."""
    _, steps = lightning_run
    assert_exactly_once(steps, digits, epochs=2)
    assert_equal_steps(steps, ranks=2)
    assert_loss_falls(steps)


def test_lightning_with_part_of_each_epoch_takes_another_part_each_time(digits: Path, tmp_path: Path) -> None:
    """limit_train_batches leaves the loader early: the next epoch is the next one's order all the same."""
    pytest.importorskip("lightning")
    record = tmp_path / "record"
    run(plain("lightning_train", digits, "--epochs", "2", "--limit-train-batches", "0.5", "--out", tmp_path / "out",
              "--record", record))  # fmt: skip
    found = batches(recorded(record))
    assert len(found) == 14
    assert found[0, 1] != found[1, 8]


def test_accelerate_neither_dispatches_nor_splits_again(digits: Path, tmp_path: Path) -> None:
    """Two ranks leave at step 8 of an epoch, after a checkpoint at 5; three go on there."""
    pytest.importorskip("accelerate")
    first, more, out = tmp_path / "first", tmp_path / "more", tmp_path / "out"
    run(torchrun(2, "accelerate_train", digits, "--out", out, "--record", first, "--stop-at", "8"))
    shown = run(torchrun(3, "accelerate_train", digits, "--out", out, "--record", more, "--resume", "--epochs", "2"))
    assert {len(step.keys) for step in recorded(first)} == {BATCH // 2}, "each rank reads its half"
    assert {len(step.keys) for step in recorded(more)} == {BATCH // 3}
    assert_equal_steps(recorded(more), ranks=3)
    assert_exactly_once([*upto(recorded(first), 5), *recorded(more)], digits, epochs=2)
    assert_loss_falls([*recorded(first), *recorded(more)])
    assert shown.count("of 1438") == 2


@pytest.mark.parametrize(("accumulate", "save", "stop"), [(1, 7, 21), (3, 2, 8)])
def test_the_hf_trainer_resumes_within_an_epoch(
    digits: Path, tmp_path: Path, accumulate: int, save: int, stop: int
) -> None:
    """Two ranks, then one from a checkpoint of the second epoch; with batches that do not fill the last step, too."""
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    first, more, out = tmp_path / "first", tmp_path / "more", tmp_path / "out"
    options = ("--epochs", "2", "--accumulate", str(accumulate), "--save-every", str(save), "--out", out)
    shown = run(torchrun(2, "hf_trainer", digits, *options, "--record", first))
    assert shown.count("'eval_asked': 1438") == 2
    assert_exactly_once(recorded(first), digits, epochs=2)
    assert_equal_steps(recorded(first), ranks=2)
    if accumulate == 1:
        assert_loss_falls(recorded(first))
    run(plain("hf_trainer", digits, *options, "--record", more, "--resume", out / f"checkpoint-{stop}"))
    assert {step.epoch for step in recorded(more)} == {1}
    assert_exactly_once([*upto(recorded(first), stop), *recorded(more)], digits, epochs=2)


def test_ray_train_goes_on_when_a_worker_dies(digits: Path, tmp_path: Path) -> None:
    """Rank 1 is lost after step 8 of the first epoch; Ray starts two others from the checkpoint of step 5."""
    pytest.importorskip("ray")
    record = tmp_path / "record"
    shown = run(
        plain("ray_train", digits, "--epochs", "1", "--die-at", "8", "--out", tmp_path / "out", "--record", record),
        RAY_TRAIN_HEALTH_CHECK_INTERVAL_S="0.5",
        RAY_USAGE_STATS_ENABLED="0",
    )
    steps = recorded(record)
    for rank in range(2):
        assert [step.step for step in steps if step.rank == rank] == [*range(1, 9), *range(1, 10)]
    kept = [*(s for r in range(2) for s in [s for s in steps if s.rank == r][:5]), *restarted(steps)]
    assert_exactly_once(kept, digits, epochs=1)
    assert_loss_falls(steps)
    assert "epoch 0  loss" in shown


def restarted(steps: list[Step]) -> list[Step]:
    """What each rank did after the loss."""
    return [step for rank in range(2) for step in [s for s in steps if s.rank == rank][8:]]
