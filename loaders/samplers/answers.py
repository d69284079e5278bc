"""``AnswerBalanced``: questions by the type of their answer, complementary pairs kept (VQA v2)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...errors import OptionError
from .base import Sampler
from .classes import ClassRule, need_labels
from .columns import I64, class_names, counted, inverse, label_column
from .fit import Fitted, identity, warn
from .pairs import Groups, Kinds, PairedCopies, partners

if TYPE_CHECKING:
    from ..views import Items

F64 = NDArray[np.float64]
PAIRS, IDS = "question_pairs", "question_ids"
_ROUNDS, _LEAST = 1_000, 2.0**-40


@dataclass(frozen=True, slots=True)
class AnswerBalanced(Sampler):
    """view="question": each answer type gets its share of the epoch, its questions equally: target share / share.

    Complementary pairs (Goyal et al. 2017, arXiv 1612.00837: one question, two images, two answers) are kept: both
    members have the same number of copies in every epoch, since half a pair would bring back the prior that pairs were
    made against. A pair weighs the mean of its members; types whose pairs reach into other types are weighted so that
    the shares still hold, where pairs leave a way (``report`` tells). A partner that a selection left out leaves a single.
    Keeps 5 bytes a question (the others keep nothing per item). Raises OptionError for other views, questions without
    an answer type, and sizes that cannot be made of whole pairs.
    """

    targets: Mapping[str, float] | None = None
    """Answer type -> its part of the epoch, in any unit; every type that occurs is named. Default: all alike."""
    keep_pairs: bool | None = None
    """None: where the index has complementary pairs. True refuses splits without them, and mixtures."""
    column: str = "question_answer_types"
    """Another column with one type per question: ``question_types``."""

    def check(self) -> None:
        if self.targets is None:
            return
        given = dict(sorted(self.targets.items()))
        if not all(0 <= value < math.inf for value in given.values()) or not sum(given.values()) > 0:
            raise OptionError(f"targets {given} are no shares: give 0 or more to each answer type, and some to one.")
        object.__setattr__(self, "targets", given)

    def rule(self, items: Items) -> ClassRule:
        if items.view.kind != "question" or items.view.policy != "expand":
            raise OptionError(f"AnswerBalanced samples questions: pass view='question', not {str(items.view)!r}.")
        column = label_column(items, self.column)
        if pa.types.is_list(items.values(0, column).type):
            raise OptionError(f"column {column!r} holds several types for one question; name one that holds one.")
        counts = counted(items, column)
        need_labels(items, column, len(items) - int(counts.sum()))
        shares = self._shares(counts, class_names(items, column, len(counts)))
        return ClassRule.of(column, counts, shares * inverse(counts))

    def fit(self, items: Items, seed: int) -> Fitted:
        if not self._keeps(items):
            return Sampler.fit(self, items, seed)
        rule = self.rule(items)
        types, ids, pairs = (_whole(items, name) for name in (rule.column, IDS, PAIRS))
        partner = partners(ids, pairs)
        table = balanced(rule.table[:-1] * rule.counts, types, partner)
        kind, kinds = _kinds(table, types, partner)
        groups = Groups.of(kinds, len(items) if self.size is None else self.size, self.max_copies)
        warn(self, groups.fillings)
        copies = PairedCopies.made(groups, items.counts, kind, partner, seed)
        named = identity(self, copies.size, copies.digest)
        return Fitted(copies, [rule], groups.fillings, named, _notes(pairs, partner))

    def _keeps(self, items: Items) -> bool:
        parts = items.parts
        having = [PAIRS in part.ds.info.columns for part in parts]
        if self.keep_pairs is False or (self.keep_pairs is None and not any(having)):
            return False
        if not all(having) or len(parts) > 1:
            what = "a mixture" if len(parts) > 1 else f"split {parts[0].ds.info.name!r}, which has no {PAIRS!r} column,"
            raise OptionError(f"complementary pairs cannot be kept in {what}; pass keep_pairs=False.")
        return True

    def _shares(self, counts: I64, names: tuple[str, ...]) -> F64:
        """(T,) the part of the epoch that each type gets; adds up to 1."""
        held = [name for name, count in zip(names, counts, strict=True) if count]
        targets = dict.fromkeys(held, 1.0) if self.targets is None else self.targets
        absent = sorted({name for name, share in targets.items() if share} - set(held))
        missing = sorted(set(held) - set(targets))
        if absent or missing:
            raise OptionError(
                f"targets name {', '.join(absent) or 'nothing'} that no question has, and leave out"
                f" {', '.join(missing) or 'nothing'} that occurs; the types here are {', '.join(held)}."
            )
        shares = np.array([targets.get(name, 0.0) for name in names])
        return np.asarray(shares / shares.sum())


def balanced(shares: F64, types: I64, partner: I64) -> F64:
    """(T,) weights of types such that type t's items, pairs at their members' mean, add up to ``shares[t]``.

    With n_tu items of type t whose partner has type u:  sum_u n_tu (w_t + w_u) / 2 + singles_t w_t = share_t, solved by
    proportional fitting (w_t *= share_t / found_t), which keeps weights positive, and is share_t / n_t where no pair
    joins two types. Where pairs alone give a type more than its share, its weight ends at 2**-40 of the largest.
    """
    count, paired = len(shares), partner >= 0
    joined = np.bincount(types[paired] * count + types[partner[paired]], minlength=count * count).reshape(count, count)
    singles = np.bincount(types[~paired], minlength=count)
    system = np.diag(singles + joined.sum(1) / 2) + joined / 2
    asked = shares > 0
    weights = np.where(asked, shares / np.maximum(1, np.bincount(types, minlength=count)), 0.0)
    for _ in range(_ROUNDS):
        ratio = shares[asked] / (system @ weights)[asked]
        weights[asked] = np.maximum(weights[asked] * ratio, weights.max() * _LEAST)
        if np.abs(ratio - 1).max() < 1e-12:
            break
    return weights


def _kinds(table: F64, types: I64, partner: I64) -> tuple[I64, Kinds]:
    """(N,) kind of each item's unit, and the kinds: T of singles, then one for each two types that a pair joins."""
    count = len(table)
    other = np.where(partner >= 0, types[partner], 0)
    low, high = np.minimum(types, other), np.maximum(types, other)
    kind = np.where(partner >= 0, count + low * count + high, types)
    items = np.bincount(kind, minlength=count + count * count)
    units = np.concatenate([items[:count], items[count:] // 2])
    pairs = (table[:, None] + table[None, :]) / 2
    return kind, Kinds(np.concatenate([table, pairs.ravel()]), units, count)


def _notes(pairs: I64, partner: I64) -> list[str]:
    kept, alone = int((partner >= 0).sum()) // 2, int(((pairs >= 0) & (partner < 0)).sum())
    lost = [f"{alone:,} questions are singles, for their partner is not selected or has another one"] if alone else []
    return [f"{kept:,} complementary pairs, both members always equally often", *lost]


def _whole(items: Items, column: str) -> I64:
    """One integer for each item of the view, -1 where null."""
    if column not in items.ds.info.columns:
        raise OptionError(f"keeping pairs needs the index column {column!r}; pass keep_pairs=False, or pack again.")
    chunks = [
        chunk.values.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False) for chunk in items.scan(column)
    ]
    return np.asarray(np.concatenate(chunks))
