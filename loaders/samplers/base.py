"""What a sampler is: index columns in, a weight for every item out. No image is read.

columns of the index ── rule(items) ──> Rule ── weights(column) ──> one weight an item ── fit ──> Copies
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...errors import OptionError

if TYPE_CHECKING:
    from ..base import Dataset
    from ..views import Items
    from .fit import Fitted
    from .report import SamplerReport

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]


class Rule(Protocol):
    """A sampler that knows its dataset's class counts: a pure function of an item's own column. Picklable."""

    @property
    def column(self) -> str | None:
        """The index column that it reads; None where it reads none."""
        ...

    def weights(self, values: pa.Array, first: int) -> F64:
        """(n,) finite weights >= 0 of consecutive items from their values of the column; only proportions count.

        ``first`` is the first one's number in the view, for rules that know items by their place.
        """
        ...


@runtime_checkable
class Classed(Rule, Protocol):
    """A rule of a few weights: items of a class weigh the same, and an epoch has its share of every class exactly."""

    @property
    def table(self) -> F64:
        """(K,) weight of an item of each class."""
        ...

    def classes(self, values: pa.Array, first: int) -> I64:
        """(n,) class of each item, in [0, K); its weight is ``table[class]``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler(ABC):
    """How often each item comes in an epoch. The epoch has exactly ``size`` items, whatever the world and workers.

    Realised by seeded systematic sampling: an item, and a class of items that weigh the same, has less than one copy
    more or fewer than its (capped) weight says, unbiased over epochs. Copies of an item are spread apart and augmented
    differently (``batch["copy"]``). Classes beyond 4 million numbers of (shards x classes) are exact on average only.
    """

    size: int | None = None
    """Items of an epoch; None: as many as the view has (RepeatFactor: as many as its repeats add up to)."""
    max_copies: float = 10.0
    """The most copies of an item in an epoch; what is cut off goes to the others. ``report`` counts it, a warning
    says so. A fraction is rounded up."""

    def __post_init__(self) -> None:
        if self.size is not None and (type(self.size) is not int or self.size < 1):
            raise OptionError(f"size must be a whole number of at least 1, not {self.size!r}.")
        if not self.max_copies >= 1:
            raise OptionError(f"max_copies must be at least 1, not {self.max_copies!r}; for no bound pass math.inf.")
        self.check()

    def __str__(self) -> str:
        """The options that are not at their defaults."""
        given = {each.name: (getattr(self, each.name), each.default) for each in fields(self)}
        shown = [f"{name}={value!r}" for name, (value, default) in given.items() if value != default]
        return f"{type(self).__name__}({', '.join(shown)})"

    def check(self) -> None:  # noqa: B027 - most options are right whatever their value
        """Raise OptionError for options that make no sense, whatever the dataset."""

    @abstractmethod
    def rule(self, items: Items) -> Rule:
        """Count classes over the whole view, never per shard or rank. Raises OptionError for columns that do not fit."""

    @property
    def absolute(self) -> bool:
        """Whether weights are copies as they stand: without ``size`` an epoch has as many items as they add up to."""
        return False

    @property
    def delivers(self) -> bool:
        """Whether ``fields`` adds something to batches."""
        return False

    def fit(self, items: Items, seed: int) -> Fitted:
        """The copies of every item of a view."""
        from .fit import fit

        return fit(self, items, seed)

    def fields(self, rule: Rule, values: pa.Array) -> Mapping[str, NDArray[Any]]:  # noqa: ARG002 - most add none
        """Batch fields (n, ...) that a loss needs with this sampler, from the items' values of the rule's column."""
        return {}

    def report(self, ds: Dataset, view: str = "image", *, seed: int = 0, epoch: int = 0) -> SamplerReport:
        """What an epoch of this view holds, counted from its copies: classes before and after, repeats, bytes.

        The same options give what ``Loader`` delivers (before ``drop_last``). Reads the index alone.
        """
        from .report import report

        return report(self, ds, view, seed, epoch)
