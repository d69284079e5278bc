"""``bench``: each stage alone does only its own work, and the command prints what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import shardstream as ss
from shardstream.cli import main
from shardstream.loaders.alone import held, loader_of, stages_of

from .toy import pack_toy


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    return pack_toy(tmp_path_factory.mktemp("bench") / "out", 40)


@pytest.mark.parametrize(("workers", "kind"), [(0, "process"), (2, "process"), (2, "thread")])
def test_a_stage_alone_does_nothing_else(ds: ss.ShardDataset, workers: int, kind: str) -> None:
    """Times that each was gone through in one epoch of 40 pictures in five batches."""
    transform = ss.presets.cifar_train(size=8, padding=2)
    times = {}
    for stage in ("fetch", "decode", "transform"):
        loader = loader_of(
            stage, ds, batch_size=8, shuffle=True, transform=transform, num_workers=workers, worker_kind=kind
        )  # type: ignore[arg-type]
        list(loader)
        found = loader.metrics()
        assert (found.images, found.batches) == (40, 5)
        times[stage] = tuple(found.stages[name].times for name in ("fetch", "decode", "transform"))
    assert times["fetch"] == (40, 0, 0)
    assert times["decode"] == (0, 40, 5)  # the transform that only plans
    fetched, decoded, transformed = times["transform"]
    assert transformed >= 5
    assert fetched == decoded <= 8 * max(1, workers)  # each worker's first batch


def test_pictures_that_are_held_are_those_of_the_dataset(ds: ss.ShardDataset) -> None:
    """The same pixels from memory, without a touch of the shards."""
    start = ds.fetcher.counters.bytes_delivered
    memory, before = held(ds), ds.fetcher.counters.bytes_delivered
    assert len(memory) == 40
    loader = ss.Loader(memory, batch_size=40)
    (mine,) = loader
    assert ds.fetcher.counters.bytes_delivered == before
    assert loader.metrics().reading.bytes_delivered == before - start
    (theirs,) = ss.Loader(ds, batch_size=40)
    assert mine["key"] == theirs["key"]
    assert bool((mine["image"] == theirs["image"]).all())


def test_the_command_prints_every_stage_and_the_sentence(
    ds: ss.ShardDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a table, and with --json as numbers that agree with themselves."""
    url = ds.store.url
    command = ["bench", url, "--workers", "2", "--worker-kind", "thread", "--batch-size", "8", "--batches", "6"]
    assert main([*command, "--size", "8"]) == 0
    printed = capsys.readouterr().out
    for stage in ("fetch", "decode", "transform", "assemble", "deliver", "loop: wait", "loop: step", "whole loader"):
        assert stage in printed
    assert "limit" in printed.splitlines()[-1]
    assert main([*command, "--preset", "none", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["alone"]) == ["fetch", "decode"]
    assert all(rates["images_per_second"] > 0 for rates in found["alone"].values())
    assert found["whole"]["batches"] == 6
    assert found["whole"]["images"] == 48
    assert found["whole"]["bottleneck"]["sentence"]


def test_the_device_alone_gets_one_batch_again_and_again(ds: ss.ShardDataset) -> None:
    """One batch is read and decoded, all are moved and transformed on the device."""
    calls: list[str] = []

    def transform(batch: ss.Batch) -> ss.Batch:
        calls.append(batch["image"].device.type)
        return batch

    loader = loader_of("device", ds, batch_size=8, shuffle=True, transform=transform, device="meta", num_workers=2)
    list(loader)
    found = loader.metrics()
    assert calls == ["meta"] * 5
    assert (found.images, found.stages["decode"].times) == (40, 8)
    assert found.stages["device"].busy > 0


def test_a_stage_that_a_loader_does_not_have_is_refused(ds: ss.ShardDataset) -> None:
    """Without a transform, or on the CPU."""
    assert stages_of(ds, {}) == ("fetch", "decode")
    for stage in ("transform", "device"):
        with pytest.raises(ss.OptionError, match=stage):
            loader_of(stage, ds, batch_size=8)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--preset", "cifar_train", "--size", "8"], "--size 8"),
        (["--seconds", "0"], "--seconds 0"),
        (["--batches", "0"], "--batches 0"),
        (["--workers", "-1"], "num_workers"),
        (["--batch-size", "2000000"], "2,000,000"),
    ],
)
def test_options_that_cannot_be_are_refused(
    ds: ss.ShardDataset, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    """In one line, with exit code 1."""
    assert main(["bench", ds.store.url, *options]) == 1
    assert said in capsys.readouterr().err


def test_without_an_address_only_simulating_is_possible(capsys: pytest.CaptureFixture[str]) -> None:
    """The message says both ways."""
    assert main(["bench"]) == 1
    assert "--simulate" in capsys.readouterr().err
