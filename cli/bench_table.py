"""The result of ``bench`` as a table: what each stage does alone, and what the whole loader's time went to."""

from __future__ import annotations

from rich.table import Table

from ..loaders.meter import LOOP_STAGES
from ..loaders.metrics import WORKER_STAGES, Metrics, StageName
from .bench_run import Result

COLUMNS = ("stage", "alone images/s", "alone MB/s", "busy", "waiting")


def result_table(result: Result, title: str) -> Table:
    """A row per stage. Busy and waiting are shares of the workers' time, or of the loop's, in the whole loader."""
    table = Table(title=title, title_justify="left")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "stage" else "right")
    for name in WORKER_STAGES:
        table.add_row(name, *_alone(result, name), *_shares(result.whole, name))
    table.add_section()
    for loop in LOOP_STAGES:
        table.add_row(f"loop: {loop}", *_alone(result, loop), *_shares(result.whole, loop))
    table.add_section()
    table.add_row("whole loader", *_rates(result.whole), "", "")
    return table


def summary(result: Result) -> str:
    """What does not fit into the table, and the bottleneck."""
    whole = result.whole
    queue = (
        f"{whole.queue_depth:.1f} of {whole.queue_limit} batches ready when one was asked for" if whole.workers else ""
    )
    measured = f"{whole.batches:,} batches in {whole.seconds:.1f} s"
    return "\n".join([f"{measured}; {queue}" if queue else measured, whole.bottleneck.sentence])


def _alone(result: Result, name: StageName) -> tuple[str, str]:
    found = next((metrics for stage, metrics in result.alone.items() if stage == name), None)
    return ("", "") if found is None else _rates(found)


def _rates(metrics: Metrics) -> tuple[str, str]:
    nbytes = metrics.bytes_per_second / 1e6
    return f"{metrics.images_per_second:,.0f}", f"{nbytes:,.1f}" if nbytes else ""


def _shares(metrics: Metrics, stage: StageName) -> tuple[str, str]:
    return f"{metrics.share(stage, of='busy'):.1%}", f"{metrics.share(stage, of='waiting'):.1%}"
