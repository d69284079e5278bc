"""``bench``: how fast a loader is, stage by stage; ``--simulate``: what an epoch costs, without touching data."""

from __future__ import annotations

import json
import math
from argparse import Namespace
from typing import Any

from rich.table import Table

from ..errors import OptionError
from ..loaders import OrderSpec, ShardDataset, Simulation, open_dataset, simulate
from ..loaders.simulate import Scene
from ..shard_writer.plan import parse_size
from .bench_run import run_bench
from .bench_table import result_table, summary
from .commands import storage_options
from .progress import console


def bench(options: Namespace) -> int:
    """``shardstream bench``."""
    return _simulated(options) if options.simulate else _measured(options)


def _measured(options: Namespace) -> int:
    if options.url is None:
        raise OptionError("bench measures a dataset: give its address, or --simulate with --rows and --shards.")
    result = run_bench(options)
    if options.json:
        console.print(json.dumps(result.as_dict(), indent=1), soft_wrap=True)
        return 0
    made_by = f"{options.workers} {options.worker_kind} workers" if options.workers else "no workers"
    console.print(result_table(result, f"{options.url}: batches of {options.batch_size}, {options.preset}, {made_by}"))
    console.print(summary(result), soft_wrap=True)
    return 0


def _simulated(options: Namespace) -> int:
    found = simulate(_scene(options))
    if options.json:
        console.print(json.dumps(found.as_dict(), indent=1), soft_wrap=True)
    else:
        console.print(_table(found))
        console.print(advice(found), highlight=False)
    return 0


def _scene(options: Namespace) -> Scene:
    block, batch = parse_size(options.block), options.global_batch or 256
    if options.url is None:
        spec = OrderSpec.for_size(options.rows, True, options.seed, options.shuffle_window, options.shuffle_lanes)
        return Scene.even(
            options.rows, options.shards, parse_size(options.row_size),
            ranks=options.ranks, global_batch=batch, block=block, spec=spec,
        )  # fmt: skip
    ds = open_dataset(options.url, options.split, storage_options=storage_options(options.storage_option))
    spec = OrderSpec.for_size(len(ds), True, options.seed, options.shuffle_window, options.shuffle_lanes)
    return Scene(
        items=ds.counts, shard_bytes=_mean_bytes(ds), ranks=options.ranks, global_batch=batch, block=block, spec=spec
    )


def _mean_bytes(ds: ShardDataset) -> int:
    return max(1, sum(shard.bytes for shard in ds.info.shards) // len(ds.info.shards))


def _table(found: Simulation) -> Table:
    title = f"{found.rows:,} rows in {found.shards:,} shards on {found.ranks:,} ranks, {found.lanes:,} lanes"
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in _lines(found):
        table.add_row(name, value)
    return table


def advice(found: Simulation) -> str:
    """What to change, in one sentence."""
    shared = found.ranks // math.gcd(found.ranks, found.lanes)
    if shared > 1:
        lanes = found.ranks * -(-found.lanes // found.ranks)
        return (
            f"{found.ranks:,} ranks do not divide {found.lanes:,} lanes, so {shared:,} of them read each lane:"
            f" --shuffle-lanes {lanes} gives every rank its own."
        )
    if found.fetch_ratio > 1.1:
        return f"A rank reads {found.fetch_ratio:.2f} times what it uses: take smaller blocks or larger shards."
    return "Every rank reads its own shards."


def _lines(found: Simulation) -> list[tuple[str, Any]]:
    opened = f"{found.shards_opened:,.1f} (most {found.shards_opened_most:,}, ideal {found.shards_ideal:,.1f})"
    return [
        ("shards a rank opens", opened),
        ("bytes fetched / delivered", f"{found.fetch_ratio:.3f} (most {found.fetch_ratio_most:.3f})"),
        ("reads per GB delivered", f"{found.gets_per_gb:,.0f}"),
        ("shards open at once, per rank", f"{found.open_at_once:,}"),
        ("cache need, per rank", f"{found.cache_bytes / 1e6:,.0f} MB"),
        ("neighbours travel", f"{found.neighbour_travel:.1%} of a uniform shuffle"),
        ("shards in a global batch", f"{found.batch_shards:.1%} of a uniform shuffle"),
        ("planning an epoch", f"{found.planning_seconds * 1e3:,.1f} ms, {found.planning_bytes / 1e6:,.1f} MB"),
    ]
