"""What a sampler does to an epoch, counted from the copies that the epoch really has. The index alone is read."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...errors import OptionError
from .base import Sampler
from .columns import I64, added, class_names, label_column
from .fit import Fitted
from .labels import LabelSets

if TYPE_CHECKING:
    from ..base import Dataset
    from ..views import Items

_SHOWN = 40


@dataclass(frozen=True, slots=True)
class ClassCount:
    """How often a class occurs."""

    name: str
    before: int
    """Items of the view that hold it."""
    after: int
    """Items of the epoch that hold it, copies counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerReport:
    """One epoch of a sampler; ``str`` is a table."""

    sampler: str
    unit: str
    """What is counted: image, person, question or caption."""
    column: str | None
    """Where the classes come from; None where the view has no labels."""
    items: int
    """Items of the view."""
    size: int
    """Items of the epoch."""
    classes: tuple[ClassCount, ...]
    """Those that occur."""
    largest_repeat: int
    absent: int
    """Items without a copy in this epoch."""
    weightless: int
    """Items of weight 0: absent in every epoch."""
    max_copies: float
    capped: int
    """Items whose weight was cut to ``max_copies``."""
    asked: float
    """Copies that the heaviest item would have without the cap."""
    effective_share: float
    """Effective sample size over items, (sum w)^2 / (N sum w^2) of the expected copies w: 1 where all are alike."""
    distinct_bytes: int
    """Bytes of the images that the epoch shows, each once."""
    repeated_bytes: int
    """Bytes of all copies after an item's first."""
    notes: tuple[str, ...] = ()

    @property
    def imbalance(self) -> tuple[float, float]:
        """Items of the most frequent class over those of the rarest, in the view and in the epoch."""
        pairs = [(found.before, found.after) for found in self.classes] or [(1, 1)]
        before, after = zip(*pairs, strict=True)
        return max(before) / min(before), max(after) / min(after) if min(after) else math.inf

    @property
    def extra_read(self) -> float:
        """Bytes of repeats over distinct bytes: what is decoded again; a shard's bytes are fetched once per epoch."""
        return self.repeated_bytes / self.distinct_bytes if self.distinct_bytes else 0.0

    def gain(self, name: str) -> float:
        """How many times larger a class's share of the epoch is than its share of the view."""
        found = next(found for found in self.classes if found.name == name)
        return (found.after / self.size) / (found.before / self.items)

    def __str__(self) -> str:
        title = f"{self.sampler}: an epoch of {self.size:,} from {self.items:,} {self.unit}s"
        return "\n".join([title, *self._table(), *self._facts()])

    def _table(self) -> list[str]:
        """Most frequent classes first; of many, the ends."""
        ordered = sorted(self.classes, key=lambda found: -found.before)
        shown = ordered if len(ordered) <= _SHOWN else [*ordered[: _SHOWN // 2], *ordered[-_SHOWN // 2 :]]
        if not shown:
            return []
        wide = max(len("class"), *(len(found.name) for found in shown))
        lines = [f"  {'class':<{wide}}  {'before':>9}  {'%':>6}  {'after':>9}  {'%':>6}  {'times':>6}"]
        for found in shown:
            before, after = f"{found.before:>9,}  {found.before / self.items:>6.2%}", f"{found.after:>9,}"
            share = f"{found.after / self.size:>6.2%}  {self.gain(found.name):>6.2f}"
            lines.append(f"  {found.name:<{wide}}  {before}  {after}  {share}")
        if len(shown) < len(ordered):
            lines.insert(1 + _SHOWN // 2, f"  ... {len(ordered) - _SHOWN:,} classes between")
        return lines

    def _facts(self) -> list[str]:
        before, after = self.imbalance
        cut = f"; max_copies={self.max_copies:g} cut {self.capped:,}, the heaviest asked for {self.asked:.1f} copies"
        return [
            f"  imbalance {before:.1f} before, {after:.1f} after; effective sample size {self.effective_share:.1%} of the items",
            f"  largest repeat {self.largest_repeat}{cut if self.capped else ''}",
            f"  left out {self.absent:,} {self.unit}s this epoch, {self.weightless:,} of them always (weight 0)",
            f"  {self.distinct_bytes / 1e6:,.1f} MB distinct, repeats read {self.extra_read:.1%} again",
            *(f"  {note}" for note in self.notes),
        ]


@dataclass(slots=True)
class _Tally:
    """Running sums over shards."""

    largest: int = 0
    absent: int = 0
    weightless: int = 0
    weight: float = 0.0
    squares: float = 0.0
    distinct: int = 0
    repeated: int = 0
    before: Counter[str] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)

    def add(self, copies: I64, expected: NDArray[np.float64], places: I64, nbytes: I64) -> None:
        """Items of one shard; ``places`` says which of its images, of ``nbytes`` each, an item is of."""
        self.largest = max(self.largest, int(copies.max(initial=0)))
        self.absent += int((copies == 0).sum())
        self.weightless += int((expected == 0).sum())
        self.weight += float(expected.sum())
        self.squares += float((expected**2).sum())
        self.distinct += int(nbytes[np.unique(places[copies > 0])].sum())
        self.repeated += int((np.maximum(copies - 1, 0) * nbytes[places]).sum())


def report(sampler: Sampler, ds: Dataset, view: str, seed: int, epoch: int) -> SamplerReport:
    """Visit every shard's index rows once."""
    from ..views import Items, View

    items = Items(ds, View.parse(view))
    fitted = sampler.fit(items, seed)
    tally, shard, columns = _Tally(), 0, []
    for part in items.parts:
        columns.append(_histogram_column(sampler, part))
        _count(tally, part, fitted, epoch, shard, columns[-1])
        shard += len(part.counts)
    return SamplerReport(
        sampler=str(sampler),
        unit=items.view.kind,
        column=columns[0],
        items=len(items),
        size=fitted.copies.size,
        classes=tuple(ClassCount(name, count, tally.after[name]) for name, count in tally.before.items() if count),
        largest_repeat=tally.largest,
        absent=tally.absent,
        weightless=tally.weightless,
        max_copies=sampler.max_copies,
        capped=sum(filling.capped for filling in fitted.fillings),
        asked=max((filling.asked for filling in fitted.fillings), default=1.0),
        effective_share=tally.weight**2 / (len(items) * tally.squares),
        distinct_bytes=tally.distinct,
        repeated_bytes=tally.repeated,
        notes=tuple(fitted.notes),
    )


def _count(tally: _Tally, part: Items, fitted: Fitted, epoch: int, first: int, column: str | None) -> None:
    before, after = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    for shard, count in enumerate(part.counts.tolist()):
        copies = fitted.copies.of(epoch, first + shard)
        places, _ = part.locate(np.full(count, shard), np.arange(count))
        tally.add(copies, fitted.copies.expected(first + shard), places, _sizes(part.ds, shard))
        if column is not None:
            sets = LabelSets.of(part.values(shard, column))
            before, after = added(before, sets.counts()), added(after, sets.counts(copies))
    if column is not None:
        names = class_names(part, column, len(before))
        tally.before.update(dict(zip(names, before.tolist(), strict=False)))  # names go on where no item holds them
        tally.after.update(dict(zip(names, after.tolist(), strict=False)))


def _histogram_column(sampler: Sampler, items: Items) -> str | None:
    """The sampler's own column of labels, else the view's; None where there is none."""
    try:
        return label_column(items, getattr(sampler, "column", None))
    except OptionError:
        return None


def _sizes(ds: Dataset, shard: int) -> I64:
    """(selected rows,) bytes of all members of each sample of a shard."""
    members = ds.fetcher.rows(shard).members.values()
    total: I64 = np.sum([member.size for member in members], axis=0)[ds.rows_of(shard)]
    return total
