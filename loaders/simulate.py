"""What an epoch costs and how well it is shuffled, computed from the order itself: no data is touched.

A rank whose world W divides the lanes L reads whole lanes, which lie side by side:

    sequence of shards    |----s7----|----s2----|----s9----|----s4----| ...
    cuts of a rank                [=============================]            opens 4 shards, the outer two in part
    blocks it fetches            [####|####|####|####|####|####|####]        of at least ``block`` bytes

Otherwise W / gcd(W, L) ranks share each lane, and each of them reads all of its blocks.
"""

from __future__ import annotations

import math
import resource
import time
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from .epoch import Epoch
from .order import EpochOrder, OrderSpec, reversed_digits
from .samplers.systematic import Copies, OneEach

I64 = NDArray[np.int64]
_SAMPLED_RANKS = 16
_SAMPLED_WINDOWS = 64
_SAMPLED_PLACES = 4_096
_SAMPLED_BATCHES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is simulated: a dataset's size, the job, and how storage is read."""

    items: I64
    """(S,) items of each shard."""
    shard_bytes: int
    """Mean bytes of a shard."""
    ranks: int = 1
    global_batch: int = 256
    block: int = 4_000_000
    """Bytes of one read, at least; a part of a block that is needed is fetched as a whole block."""
    spec: OrderSpec
    copies: Copies | None = None
    """A fitted sampler over the same shards; None: every item once."""

    def __post_init__(self) -> None:
        for name in ("shard_bytes", "ranks", "global_batch", "block"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} must be at least 1, not {getattr(self, name)}.")
        if not len(self.items) or int(self.items.sum()) < 1:
            raise OptionError("there are no items to simulate; give rows and shards of at least 1.")

    @classmethod
    def even(
        cls, rows: int, shards: int, row_bytes: int, *, ranks: int, global_batch: int, block: int, spec: OrderSpec
    ) -> Scene:
        """Equal shards, to within one row."""
        if shards < 1 or rows < shards:
            raise OptionError(f"{rows:,} rows in {shards:,} shards: give at least one row a shard.")
        counts = np.full(shards, rows // shards, dtype=np.int64)
        counts[: rows % shards] += 1
        size = max(1, rows * row_bytes // shards)
        return cls(items=counts, shard_bytes=size, ranks=ranks, global_batch=global_batch, block=block, spec=spec)


@dataclass(frozen=True, slots=True)
class Simulation:
    """Figures of one epoch. Those of ranks are the mean and the largest over ranks sampled evenly from all."""

    rows: int
    shards: int
    ranks: int
    lanes: int
    window: int
    shards_opened: float
    """Shards that a rank opens in an epoch."""
    shards_opened_most: int
    shards_ideal: float
    fetch_ratio: float
    """Bytes fetched / bytes delivered, with reads of at least a block."""
    fetch_ratio_most: float
    gets_per_gb: float
    """Reads per 10^9 delivered bytes, if every block is a request of its own."""
    open_at_once: int
    """Shards that a rank reads from at any moment."""
    cache_bytes: int
    """What a rank holds so that no block is fetched twice: the window of each of its lanes."""
    neighbour_travel: float
    """How far apart two neighbours of a shard come in the epoch, as a share of what a uniform shuffle gives (1.0)."""
    batch_shards: float
    """Different shards in a global batch, as a share of what a uniform shuffle gives."""
    batch_repeats: float
    """Share of a global batch's items that stand in it already: copies that a sampler made."""
    planning_seconds: float
    planning_bytes: int
    """What planning an epoch adds to this process's peak memory."""

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def simulate(scene: Scene, epoch: int = 0) -> Simulation:
    """Compute the figures; memory stays below 100 bytes a shard whatever the number of rows."""
    before, start = _resident(), time.perf_counter()
    plan = Epoch(OneEach(scene.items) if scene.copies is None else scene.copies, scene.spec, epoch)
    order = plan.order
    planned, grown = time.perf_counter() - start, max(0, _resident() - before)
    ranks = np.unique(np.linspace(0, scene.ranks - 1, min(scene.ranks, _SAMPLED_RANKS)).astype(np.int64))
    reads = [_reads(order, scene, int(rank)) for rank in ranks]
    opened, fetched, delivered = (np.array(column, dtype=np.float64) for column in zip(*reads, strict=True))
    ratios = fetched * scene.block / delivered
    lanes = _lanes_of(scene)
    window = min(scene.spec.window, -(-order.items // scene.spec.lanes))
    mixed, repeats = _batches(plan, scene)
    return Simulation(
        rows=order.items,
        shards=len(scene.items),
        ranks=scene.ranks,
        lanes=scene.spec.lanes,
        window=scene.spec.window,
        shards_opened=float(opened.mean()),
        shards_opened_most=int(opened.max()),
        shards_ideal=len(scene.items) / scene.ranks,
        fetch_ratio=float(fetched.sum() * scene.block / delivered.sum()),
        fetch_ratio_most=float(ratios.max()),
        gets_per_gb=float(fetched.sum() / delivered.sum() * 1e9),
        open_at_once=lanes,
        cache_bytes=int(lanes * (window * _item_bytes(order, scene) + scene.block)),
        neighbour_travel=_neighbour_travel(order, scene.spec),
        batch_shards=mixed,
        batch_repeats=repeats,
        planning_seconds=planned,
        planning_bytes=grown,
    )


def _lanes_of(scene: Scene) -> int:
    """Lanes that one rank takes items from."""
    return scene.spec.lanes // math.gcd(scene.spec.lanes, scene.ranks) if scene.spec.shuffle else 1


def _reads(order: EpochOrder, scene: Scene, rank: int) -> tuple[int, int, float]:
    """Shards opened, blocks fetched and bytes delivered by one rank."""
    spans = _spans(order, scene, rank)
    shard_starts = order.starts
    row_bytes = _item_bytes(order, scene)
    blocks = 0
    shards: list[I64] = []
    for first, stop in spans:
        low = int(np.searchsorted(shard_starts, first, side="right")) - 1
        high = int(np.searchsorted(shard_starts, stop, side="left"))
        inside = np.arange(low, high)
        begin = (np.maximum(shard_starts[inside], first) - shard_starts[inside]) * row_bytes
        end = (np.minimum(shard_starts[inside + 1], stop) - shard_starts[inside]) * row_bytes
        blocks += int((np.ceil(end / scene.block) - np.floor(begin / scene.block)).sum())
        shards.append(inside[end > begin])
    delivered = order.items / scene.ranks * row_bytes
    return len(np.unique(np.concatenate(shards))), blocks, delivered


def _spans(order: EpochOrder, scene: Scene, rank: int) -> list[tuple[int, int]]:
    """Stretches of the sequence that a rank reads, joined where they touch."""
    if not scene.spec.shuffle:
        return [(rank * order.items // scene.ranks, (rank + 1) * order.items // scene.ranks)]
    shared = math.gcd(scene.spec.lanes, scene.ranks)
    cuts = np.sort(reversed_digits(scene.spec.lanes)[rank % shared :: shared])
    bounds = order.cut_bounds
    spans: list[tuple[int, int]] = []
    for cut in cuts.tolist():
        first, stop = int(bounds[cut]), int(bounds[cut + 1])
        if spans and spans[-1][1] == first:
            first = spans.pop()[0]
        spans.append((first, stop))
    return [span for span in spans if span[1] > span[0]]


def _neighbour_travel(order: EpochOrder, spec: OrderSpec) -> float:
    """Mean distance in the epoch of items that are neighbours in their shard, over a uniform shuffle's N / 3."""
    if not spec.shuffle or order.items < 2:
        return 0.0
    per_lane = order.items // spec.lanes
    window = min(spec.window, max(1, per_lane))
    if window < 2:  # lanes alone: neighbours follow each other, a round of all lanes apart
        return min(1.0, spec.lanes * 3 / order.items)
    offsets = np.unique(np.linspace(0, window - 1, min(window, _SAMPLED_PLACES)).astype(np.int64))
    numbers = np.unique(np.linspace(0, max(0, per_lane // window - 1), _SAMPLED_WINDOWS).astype(np.int64))
    distances = []
    for turn, number in enumerate(numbers.tolist()):
        lane = turn * 7 % spec.lanes
        positions = (number * window + offsets) * spec.lanes + lane
        positions = positions[positions < order.items]
        inside = np.argsort(order.sequence(positions), kind="stable")
        distances.append(np.abs(np.diff(positions[inside])))
    return float(np.concatenate(distances).mean() / (order.items / 3))


def _batches(plan: Epoch, scene: Scene) -> tuple[float, float]:
    """Of sampled global batches: different shards, over what a uniform draw gives; and the share of repeated items."""
    size = min(scene.global_batch, len(plan))
    starts = np.unique(np.linspace(0, len(plan) - size, _SAMPLED_BATCHES).astype(np.int64))
    shards, distinct = [], []
    for start in starts.tolist():
        shard, item, _ = plan.locate(np.arange(start, start + size))
        shards.append(len(np.unique(shard)))
        distinct.append(len(np.unique(np.stack([shard, item]), axis=1).T))
    shares = np.diff(plan.order.starts) / len(plan)
    expected = float((1 - (1 - shares) ** size).sum())
    return float(np.mean(shards)) / expected, 1 - float(np.mean(distinct)) / size


def _item_bytes(order: EpochOrder, scene: Scene) -> float:
    """Mean bytes that an item of the epoch stands for; a copy is read once with the item it repeats."""
    return scene.shard_bytes * len(scene.items) / order.items


def _resident() -> int:
    """Peak bytes of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
