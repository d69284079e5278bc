"""Metrics: every picture is counted once wherever it was decoded, and the stage that was made slow is the one named."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

import shardstream as ss
from shardstream.loaders import Metrics, meter, pictures
from shardstream.loaders.fetch import Fetcher
from shardstream.loaders.metrics import LOOP_STAGES, WORKER_STAGES
from shardstream.loaders.stages import DECODE, FETCH, Column

from .toy import pack_toy

COUNT = 60
SLOW = 0.004
MADE: list[dict[str, Any]] = [
    {"num_workers": 0},
    {"num_workers": 2, "worker_kind": "thread"},
    {"num_workers": 2},
    {"num_workers": 2, "persistent_workers": True},
    {"num_workers": 1, "persistent_workers": True, "multiprocessing_context": "spawn"},
]


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    return pack_toy(tmp_path_factory.mktemp("metrics") / "out", COUNT)


def measured(ds: ss.ShardDataset, epochs: int = 1, step: Callable[[], Any] = int, **options: Any) -> Metrics:
    """Metrics of a loader after some epochs with a training step."""
    loader = ss.Loader(ds, **{"batch_size": 8, "shuffle": True, "drop_last": False, **options})
    for _ in range(epochs):
        for _ in loader:
            step()
    return loader.metrics()


def name_of(options: dict[str, Any]) -> str:
    return "-".join(map(str, options.values()))


@pytest.mark.parametrize("options", MADE, ids=name_of)
def test_every_picture_is_counted_once_wherever_it_was_decoded(ds: ss.ShardDataset, options: dict[str, Any]) -> None:
    """Two epochs, in this process, in threads, and in processes that end, live on or are spawned."""
    found = measured(ds, 2, transform=ss.transforms.RandomHorizontalFlip(), **options)
    assert (found.images, found.batches) == (2 * COUNT, 16)
    assert found.stages["decode"].times == found.stages["fetch"].times == 2 * COUNT
    assert found.stages["transform"].times == found.stages["assemble"].times == 16
    assert min(found.stages[name].busy for name in ("fetch", "decode", "transform", "assemble")) > 0
    assert found.reading.bytes_delivered == 2 * sum(
        int(ds.fetcher.rows(s).members["png"].size.sum()) for s in range(len(ds.counts))
    )


def test_the_images_of_all_ranks_are_the_epoch(ds: ss.ShardDataset) -> None:
    """Rows that only fill a batch are not counted."""
    found = [measured(ds, world=ss.World(rank, 7), batch_size=5).images for rank in range(7)]
    assert sum(found) == COUNT


def test_without_workers_the_stages_lie_inside_the_loops_waiting(ds: ss.ShardDataset) -> None:
    """What the loop itself makes, it waits for."""
    found = measured(ds, step=lambda: time.sleep(SLOW))
    making = sum(found.stages[name].busy + found.stages[name].waiting for name in WORKER_STAGES[:-1])
    assert 0 < making <= found.stages["wait"].waiting
    assert found.stages["step"].busy >= 8 * SLOW


def slow(function: Callable[..., Any]) -> Callable[..., Any]:
    def slowed(*arguments: Any) -> Any:
        time.sleep(SLOW)
        return function(*arguments)

    return slowed


@pytest.mark.parametrize("options", MADE[:2], ids=name_of)
@pytest.mark.parametrize("stage", ["fetch", "decode", "transform", "step"])
def test_the_stage_that_was_made_slow_is_named(
    ds: ss.ShardDataset, monkeypatch: pytest.MonkeyPatch, stage: str, options: dict[str, Any]
) -> None:
    """And holds at least the time that it was slowed by."""
    given: dict[str, Any] = dict(options)
    if stage == "fetch":
        monkeypatch.setattr(Fetcher, "_member", slow(Fetcher._member))
    elif stage == "decode":
        monkeypatch.setattr(pictures, "decode_parts", slow(pictures.decode_parts))
    elif stage == "transform":
        given["transform"] = lambda batch: time.sleep(10 * SLOW) or batch
    found = measured(ds, step=(lambda: time.sleep(10 * SLOW)) if stage == "step" else int, **given)
    assert found.stages[stage].busy >= 8 * 10 * SLOW * 0.7
    assert found.bottleneck.limit == stage
    for share in found.bottleneck.figures.values():
        assert f"{share:.0%}" in found.bottleneck.sentence


def test_the_loops_time_is_that_in_loops_and_no_other(ds: ss.ShardDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of our own: steps of a second, an hour between epochs, a loop that is left early."""
    now = [1.0]
    monkeypatch.setattr(meter, "perf_counter", lambda: now[0])
    loader = ss.Loader(ds, batch_size=10)
    for _ in range(2):
        for _ in loader:
            now[0] += 1
        now[0] += 3600
    for _ in loader:
        now[0] += 1
        break
    now[0] += 3600
    assert loader.metrics().stages["step"].busy == loader.metrics().seconds == 13


def test_the_difference_of_two_is_a_time_between(ds: ss.ShardDataset) -> None:
    """Each figure of the second epoch alone."""
    loader = ss.Loader(ds, batch_size=8)
    list(loader)
    before = loader.metrics()
    list(loader)
    between = loader.metrics() - before
    assert (between.images, between.batches, between.stages["decode"].times) == (COUNT, 8, COUNT)
    assert before.seconds + between.seconds == pytest.approx(loader.metrics().seconds)


@pytest.mark.parametrize("options", MADE[1:3], ids=name_of)
def test_the_queue_holds_at_most_its_limit_and_fills_while_the_loop_is_busy(
    ds: ss.ShardDataset, options: dict[str, Any]
) -> None:
    """Also in the epoch after one that was left early."""
    loader = ss.Loader(ds, batch_size=4, prefetch_factor=3, **options)
    list(itertools.islice(loader, 3))
    for _ in loader:
        time.sleep(10 * SLOW)
    found = loader.metrics()
    assert found.queue_limit == 6
    assert 0 < found.queue_depth <= 6


def test_an_unmetered_stream_and_reading_by_hand_count_nothing(ds: ss.ShardDataset) -> None:
    """Stages cost nothing where nobody asks, and count on no loader's clock."""
    loader = ss.Loader(ds, batch_size=8)
    for epoch in range(2):
        list(ss.Stream(ds, batch_size=8))
        with FETCH, DECODE:
            assert ds[3]["image"].size == (10, 12)
        found = loader.metrics()
        assert found.images == found.stages["decode"].times == epoch * COUNT
        assert (found.seconds > 0) == (found.worker_seconds > 0) == (found.bottleneck.limit != "") == bool(epoch)
        list(loader)


@pytest.mark.parametrize("options", MADE[1:3], ids=name_of)
def test_each_worker_counts_in_a_row_of_its_own(ds: ss.ShardDataset, options: dict[str, Any]) -> None:
    """Two that wrote one row would lose counts."""
    loader = ss.Loader(ds, batch_size=4, **options)
    for _ in loader:
        time.sleep(SLOW)
    assert loader.stream.meter is not None
    made = [int(loader.stream.meter.row(number)[Column.BATCHES]) for number in range(2)]
    assert sum(made) == 15
    assert min(made) > 0


def test_a_loader_inside_the_loop_of_another_counts_on_its_own(ds: ss.ShardDataset) -> None:
    """Validation in the middle of training."""
    train, val = ss.Loader(ds, batch_size=30), ss.Loader(ds, batch_size=60)
    for _ in train:
        list(val)
    assert (train.metrics().stages["decode"].times, val.metrics().stages["decode"].times) == (COUNT, 2 * COUNT)


def test_a_failed_batch_ends_its_stages(ds: ss.ShardDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes after it is counted as before, and it is not counted as delivered."""
    loader = ss.Loader(ds, batch_size=8, drop_last=False)
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "decode_parts", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            list(loader)
    assert loader.metrics().images == 0
    list(loader)
    assert loader.metrics().images == COUNT


def test_the_plain_form_is_json_and_holds_what_the_value_holds(ds: ss.ShardDataset) -> None:
    """For logs and trackers."""
    found = measured(ds)
    plain = json.loads(json.dumps(found.as_dict()))
    assert plain["images"] == COUNT
    assert set(plain["stages"]) == {*WORKER_STAGES, *LOOP_STAGES}
    assert plain["stages"]["decode"]["busy"] == found.stages["decode"].busy
    assert plain["bottleneck"]["sentence"] == str(found.bottleneck)


# Of the text format 0.0.4: comment lines, and samples of a name, quoted labels and a float.
LINE = re.compile(r'[a-z_]+(\{([a-z_]+="(\\.|[^"\\\n])*",?)*\})? -?[0-9.e+-]+')


def test_prometheus_text_is_well_formed_and_says_the_same(ds: ss.ShardDataset) -> None:
    """One TYPE per name, before its samples; label values escaped; every counter is named _total."""
    found = measured(ds)
    text = found.prometheus({"job": 'a "b"\\\n', "rank": "0"})
    kinds: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.split()[2:]
            assert name not in kinds
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            assert LINE.fullmatch(line), line
            assert re.split(r"[{ ]", line)[0] == list(kinds)[-1]
    assert text.endswith("\n")
    assert all(name.endswith("_total") == (kind == "counter") for name, kind in kinds.items())
    assert f'shardstream_images_total{{job="a \\"b\\"\\\\\\n",rank="0"}} {COUNT}\n' in text
    assert f'{{stage="decode"}} {found.stages["decode"].busy!r}\n' in found.prometheus()


@pytest.mark.parametrize("label", ["", "1st", "a-b", "__name", "stage"])
def test_a_label_that_prometheus_does_not_take_is_refused(ds: ss.ShardDataset, label: str) -> None:
    """Before a scrape fails far away."""
    with pytest.raises(ss.OptionError, match="label"):
        measured(ds).prometheus({label: "x"})
