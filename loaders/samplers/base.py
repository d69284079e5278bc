"""What a sampler is: index columns in, a weight for every item out. No image is read.

columns of the index ── rule(items) ──> Rule ── weights(column) ──> one weight an item ── fit ──> Copies
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...errors import OptionError
from .labels import LabelSets

if TYPE_CHECKING:
    from ..views import Items
    from .fit import Fitted

F64 = NDArray[np.float64]
LABEL_COLUMNS = ("labels", "person_labels", "question_answer_types")


class Rule(Protocol):
    """A sampler that knows its dataset's class counts: a pure function of an item's own column. Picklable."""

    @property
    def column(self) -> str | None:
        """The index column that it reads; None where every item weighs the same."""
        ...

    def weights(self, values: pa.Array) -> F64:
        """(n,) finite weights >= 0 of items from their values of the column; only proportions count."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler(ABC):
    """How often each item comes in an epoch. The epoch has exactly ``size`` items, whatever the world and workers.

    Realised by seeded systematic sampling: an item has less than one copy more or fewer than its (capped) weight
    says, unbiased over epochs. Copies of an item are spread apart and augmented differently (``batch["copy"]``).
    """

    size: int | None = None
    """Items of an epoch; None: as many as the view has (RepeatFactor: as many as its repeats add up to)."""
    max_copies: float = 10.0
    """The most that an item's weight may ask for; what is cut off goes to the others, and ``report`` counts it."""

    @abstractmethod
    def rule(self, items: Items) -> Rule:
        """Count classes over the whole view, never per shard or rank. Raises OptionError for columns that do not fit."""

    def natural_size(self, items: Items, rule: Rule) -> int:  # noqa: ARG002 - RepeatFactor's depends on its rule
        """The size of an epoch where none was asked for."""
        return len(items)

    def fit(self, items: Items, seed: int) -> Fitted:
        """The copies of every item of a view."""
        from .fit import fit

        return fit(self, items, seed)

    def fields(self, rule: Rule, values: pa.Array) -> Mapping[str, NDArray[Any]]:  # noqa: ARG002 - most add none
        """Batch fields (n, ...) that a loss needs with this sampler, from the items' values of the rule's column."""
        return {}


def label_column(items: Items, asked: str | None) -> str:
    """The column that holds a view's labels: the one asked for, else the label, or that of the view's own parts."""
    columns, own = items.ds.info.columns, items.view.kind
    if asked is not None:
        if asked not in columns:
            raise OptionError(f"column {asked!r} is not in the index, which has {', '.join(columns) or 'none'}.")
        return asked
    parts = [name for name in LABEL_COLUMNS if name.startswith(f"{own}_")]
    for name in (*parts, items.ds.info.label_column, "labels"):
        if name in columns:
            return str(name)
    raise OptionError(
        f"view {str(items.view)!r} of split {items.ds.info.name!r} has no label column; pass column= one of"
        f" {', '.join(columns) or 'none'}, or join one with ds.join."
    )


def class_counts(items: Items, column: str) -> F64:
    """(C,) items of the view that hold each class."""
    total = np.zeros(0)
    for chunk in items.scan(column):
        counts = LabelSets.of(chunk.values).counts()
        longer, shorter = (total, counts) if len(total) >= len(counts) else (counts, total)
        total = longer.copy()
        total[: len(shorter)] += shorter
    if not total.any():
        raise OptionError(f"column {column!r} holds no label in split {items.ds.info.name!r}; name another column.")
    return total
