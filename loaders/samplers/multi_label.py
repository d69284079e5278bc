"""``MultiLabel``: items that hold several classes at once, such as EMOTIC's persons or COCO's images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...errors import OptionError
from .base import Rule, Sampler
from .classes import ClassRule, check_threshold, need_labels, repeats
from .columns import I64, counted, inverse, label_column
from .labels import LabelSets

if TYPE_CHECKING:
    from ..views import Items
    from .fit import Fitted

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Mode = Literal["repeat_factor", "rarest", "class_aware", "distribution_balanced"]


@dataclass(frozen=True, slots=True)
class SumRule:
    """An item weighs the sum of 1 / n_c over its classes."""

    column: str
    counts: I64 = field(repr=False)
    """(C,) items of the view that hold each class."""

    def weights(self, values: pa.Array, first: int) -> F64:  # noqa: ARG002 - wherever they are
        return LabelSets.of(values).summed(inverse(self.counts))


@dataclass(frozen=True, slots=True)
class MultiLabel(Sampler):
    """Rare classes of multi-label items more often. Classes that occur together rise together: none is ever uniform.

    ``repeat_factor``: LVIS's formula (see RepeatFactor), everybody at least once, the safe default.
    ``rarest``: an item weighs ``1 / n_c`` of its rarest class. ``class_aware``: the sum of ``1 / n_c`` over its classes,
    what a class drawn uniformly and then an item of it amounts to (Shen et al. 2016; Wu et al. 2020).
    ``distribution_balanced``: class-aware, and batches carry ``class_weight`` float32 (B, C), the re-balancing weights of
    Wu et al. 2020 (arXiv 2007.09654) for the loss: ``alpha + sigmoid(beta * (P_C / P_I - mu))`` with P_C = 1 / (C n_c)
    and P_I the sum of that over the item's classes; rows that are not valid are 0.

    Only ``repeat_factor`` takes items without a class; the others raise OptionError with their number.
    """

    mode: Mode = "repeat_factor"
    threshold: float = 0.1
    """``repeat_factor``: classes rarer than this share of the items are repeated."""
    column: str | None = None
    """Index column of the labels; default: the view's own."""
    alpha: float = 0.1
    beta: float = 10.0
    mu: float = 0.2
    """Of the re-balancing weight: the authors' values for COCO-MLT (mu 0.3 for VOC-MLT)."""

    def check(self) -> None:
        if self.mode not in get_args(Mode):
            raise OptionError(f"mode {self.mode!r} is not one of {', '.join(get_args(Mode))}.")
        check_threshold(self.threshold)
        if not (math.isfinite(self.alpha) and math.isfinite(self.mu) and 0 < self.beta < math.inf):
            raise OptionError(
                f"alpha={self.alpha!r} and mu={self.mu!r} are finite, beta={self.beta!r} is above 0; the authors' are the"
                " defaults."
            )

    @property
    def absolute(self) -> bool:
        return self.mode == "repeat_factor"

    @property
    def delivers(self) -> bool:
        return self.mode == "distribution_balanced"

    def rule(self, items: Items) -> ClassRule | SumRule:
        column = label_column(items, self.column)
        counts = counted(items, column)
        if self.mode == "repeat_factor":
            return ClassRule.of(column, counts, repeats(counts, len(items), self.threshold), empty=1.0)
        need_labels(items, column, _without(items, column))
        return ClassRule.of(column, counts, inverse(counts)) if self.mode == "rarest" else SumRule(column, counts)

    def fit(self, items: Items, seed: int) -> Fitted:
        if self.delivers and len(items.parts) > 1:
            raise OptionError(
                f"mode {self.mode!r} gives class weights of one set of classes, and a mixture has {len(items.parts)}; use"
                " 'class_aware', or one dataset."
            )
        return Sampler.fit(self, items, seed)

    def fields(self, rule: Rule, values: pa.Array) -> Mapping[str, NDArray[Any]]:
        if not self.delivers:
            return {}
        return {"class_weight": self._class_weights(cast("SumRule", rule), values)}

    def _class_weights(self, rule: SumRule, values: pa.Array) -> F32:
        """(n, C)   P_C / P_I = (1 / n_c) / (sum of 1 / n over the item's classes); of a class nobody holds, infinite."""
        inverse_counts = np.divide(1.0, rule.counts, out=np.full(len(rule.counts), np.inf), where=rule.counts > 0)
        ratio = inverse_counts[None, :] / rule.weights(values, 0)[:, None]
        with np.errstate(over="ignore"):  # exp of a large number: a sigmoid of 0
            weights: F32 = (self.alpha + 1 / (1 + np.exp(-self.beta * (ratio - self.mu)))).astype(np.float32)
        return weights


def _without(items: Items, column: str) -> int:
    """Items that hold no class."""
    return sum(int((LabelSets.of(chunk.values).sizes == 0).sum()) for chunk in items.scan(column))
