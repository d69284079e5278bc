"""Metrics in Prometheus' text format, version 0.0.4 (prometheus.io, "Exposition formats"), without a dependency."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..errors import OptionError

if TYPE_CHECKING:
    from .metrics import Metrics

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True, slots=True)
class _Family:
    """One metric: its samples by the stage they are of, '' where they are of none."""

    name: str
    kind: Literal["counter", "gauge"]
    text: str
    samples: Mapping[str, float]


def exposition(metrics: Metrics, labels: Mapping[str, str]) -> str:
    """All figures as text, each with these labels; raises OptionError for a label that Prometheus does not take."""
    wrong = [name for name in labels if not _LABEL.fullmatch(name) or name.startswith("__") or name == "stage"]
    if wrong:
        raise OptionError(f"label {wrong[0]!r} is none: letters, digits and _ (not __ in front), and not 'stage'.")
    return "".join(line for family in _families(metrics) for line in _lines(family, labels))


def _families(m: Metrics) -> Iterator[_Family]:
    busy = {name: stage.busy for name, stage in m.stages.items()}
    waiting = {name: stage.waiting for name, stage in m.stages.items()}
    times = {name: float(stage.times) for name, stage in m.stages.items()}
    yield _Family("stage_busy_seconds_total", "counter", "Seconds of work, summed over the workers.", busy)
    yield _Family("stage_waiting_seconds_total", "counter", "Seconds of waiting, summed over the workers.", waiting)
    yield _Family("stage_operations_total", "counter", "Members, pictures or batches that went through.", times)
    for name, text, value in (
        ("images", "Images delivered to the training loop.", m.images),
        ("batches", "Batches delivered to the training loop.", m.batches),
        ("loop_seconds", "Seconds in loops over the loader.", m.seconds),
        ("worker_processor_seconds", "Seconds that workers spent on a processor making batches.", m.processor),
        ("queue_depth_sum", "Batches ready when one was asked for, summed over queue_depth_count.", m.queued),
        ("queue_depth_count", "Times that a batch was asked for.", m.asked),
        ("fetched_bytes", "Bytes that came from remote storage.", m.reading.bytes_fetched),
        ("read_bytes", "Bytes of members handed out.", m.reading.bytes_delivered),
        ("storage_requests", "Requests to remote storage.", m.reading.gets),
        ("blocks_hit", "Times that a wanted block was at hand.", m.reading.blocks_hit),
        ("blocks_missed", "Blocks that were fetched.", m.reading.blocks_missed),
        ("shards_opened", "Shards that bytes were read from, summed over processes.", m.reading.shards_opened),
    ):
        yield _Family(f"{name}_total", "counter", text, {"": value})
    yield _Family("workers", "gauge", "Workers that make batches.", {"": m.workers})
    yield _Family("queue_limit", "gauge", "Batches that may be ready or in the making.", {"": m.queue_limit})


def _lines(family: _Family, labels: Mapping[str, str]) -> Iterator[str]:
    name = f"shardstream_{family.name}"
    yield f"# HELP {name} {family.text}\n# TYPE {name} {family.kind}\n"
    for stage, value in family.samples.items():
        pairs = {**labels, "stage": stage} if stage else labels
        inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in pairs.items())
        yield f"{name}{{{inside}}} {value!r}\n" if inside else f"{name} {value!r}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
