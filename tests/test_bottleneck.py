"""The sentence: one limit, two figures, and a remedy that is open to this loader."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shardstream.loaders.metrics import Metrics, StageTime

BUSY = {"fetch": 1.0, "decode": 6.0, "transform": 2.0, "assemble": 1.0, "deliver": 0.0, "device": 0.0, "step": 1.0}
WAITING = {"start": 0.0, "wait": 9.0}


def metrics(busy: dict[str, float] | None = None, waiting: dict[str, float] | None = None, **fields: object) -> Metrics:
    """A loader whose loop starves on decoding, with some figures changed."""
    work, idle = {**BUSY, **(busy or {})}, {**WAITING, **(waiting or {})}
    base = Metrics(
        stages={name: StageTime(work.get(name, 0.0), idle.get(name, 0.0), 10) for name in {**work, **idle}},
        images=640, batches=10, workers=2, worker_kind="process", persistent_workers=False, cores=8, processor=9.5,
        queued=0, asked=10, queue_limit=4,
    )  # fmt: skip
    return replace(base, **fields)


@pytest.mark.parametrize(
    ("found", "limit", "remedy"),
    [
        (metrics(), "decode", "num_workers=4"),
        (metrics(workers=0), "decode", "num_workers=2"),
        (metrics(workers=6), "decode", "num_workers=8"),
        (metrics(workers=8, cores=8), "decode", "decode less"),
        (metrics(cores=2), "decode", "decode less"),
        (metrics(processor=3.0), "decode", "kept off the processors"),
        (metrics(cores=1, workers=1), "decode", "decode less"),
        (metrics({"transform": 7.0}, processor=14.0, cores=2), "transform", "GPU"),
        (metrics({"assemble": 7.0}, processor=14.0, cores=2), "assemble", "carry less"),
        (metrics({"fetch": 7.0}), "fetch", "num_workers=4"),
        (metrics({"fetch": 7.0}, cores=2), "fetch", "disk"),
        (metrics(waiting={"fetch": 8.0}), "fetch", "block_bytes"),
        (metrics(waiting={"deliver": 15.0}), "deliver", "worker_kind='thread'"),
        (metrics(waiting={"deliver": 15.0}, worker_kind="thread"), "deliver", "use a larger prefetch_factor"),
        (metrics(waiting={"start": 12.0}), "start", "persistent_workers=True"),
        (metrics(waiting={"start": 12.0}, persistent_workers=True), "start", "longer epochs"),
        (metrics({"step": 100.0}), "step", "faster model"),
        (metrics({"step": 40.0, "device": 60.0}), "device", "send less"),
    ],
)
def test_the_limit_is_named_with_two_figures_and_a_remedy(found: Metrics, limit: str, remedy: str) -> None:
    """Each branch, on figures made by hand."""
    said = found.bottleneck
    assert said.limit == limit
    assert remedy in said.sentence
    assert len(said.figures) == 2
    assert all(0 <= share <= 1 and f"{share:.0%}" in said.sentence for share in said.figures.values())
    assert said.sentence.endswith(".")
    assert said.sentence.count(". ") == 0


def test_the_figures_are_the_shares_that_were_measured() -> None:
    """9 of 10 seconds waited for, 6 of 10 spent on decoding."""
    assert metrics().bottleneck.figures == {"wait": pytest.approx(0.9), "decode": pytest.approx(0.6)}


def test_a_thread_loader_is_not_told_to_keep_processes() -> None:
    """A remedy that is not open to it would be noise."""
    assert "persistent" not in metrics(waiting={"start": 12.0}, worker_kind="thread").bottleneck.sentence
