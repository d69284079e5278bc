"""``ss.subsets``: parts of a dataset for ``ds.select``, chosen by hashed keys.

A row's number depends on its key and the seed alone, so the same images are chosen however they lie in shards, on every
machine, and from every selection that holds them.

    train, held_out = ds.select(ss.subsets.fold(0, 5)), ds.select(ss.subsets.fold(0, 5, held_out=True))
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..counted import mix, text_word
from ..errors import OptionError
from .listed import Listed, read_lines
from .quota import quotas

if TYPE_CHECKING:
    from .base import Dataset

I64 = NDArray[np.int64]
Subset = Callable[["Dataset"], I64]
_FRACTION, _FOLD, _TAIL = (text_word(f"subsets/{name}") for name in ("fraction", "fold", "long_tail"))

__all__ = ["Subset", "fold", "fraction", "listed", "long_tail"]


def fraction(share: float, seed: int = 0, by: str | None = None) -> Subset:
    """``round(share * len(ds))`` rows; a larger share of the same seed contains a smaller one.

    ``by`` an index column (``"label"``: the split's label) takes of each of its values its share, to within one row.
    Raises OptionError unless 0 < share <= 1.
    """
    if not 0 < share <= 1:
        raise OptionError(f"a fraction is above 0 and at most 1, not {share!r}.")
    return partial(_fraction, share=share, seed=seed, by=by)


def fold(number: int, of: int, seed: int = 0, by: str | None = None, *, held_out: bool = False) -> Subset:
    """The rows to train on in fold ``number`` of ``of``; ``held_out=True``: the others, to validate on.

    Held-out folds are disjoint, together everything, and differ by at most one row; with ``by`` also in each value of
    that index column.
    """
    if of < 2 or not 0 <= number < of:
        raise OptionError(f"fold {number} of {of}: there are at least 2, and they count from 0.")
    return partial(_fold, number=number, of=of, seed=seed, by=by, held_out=held_out)


def long_tail(imbalance: float, column: str | None = None, seed: int = 0, *, largest: int | None = None) -> Subset:
    """``int(largest * imbalance ** (c / (C - 1)))`` rows of class c: CIFAR-LT (Cui et al. 2019, arXiv 1901.05555).

    ``imbalance`` is the last class over the first, 0.01 for CIFAR-10-LT with ratio 100. ``column``: default the label.
    ``largest``: default the rows of the largest class. Stronger cuts contain weaker ones. Raises OptionError for a class
    that has fewer rows than the formula asks for, or would get none.
    """
    if not 0 < imbalance <= 1:
        raise OptionError(f"imbalance is the last class over the first, 0.01 for a ratio of 100, not {imbalance!r}.")
    if largest is not None and largest < 1:
        raise OptionError(f"largest must be at least 1, not {largest}.")
    return partial(_long_tail, imbalance=imbalance, column=column, seed=seed, largest=largest)


def listed(source: str | os.PathLike[str] | Iterable[str]) -> Subset:
    """The rows that a published list names: its address, or its lines. Blank lines do not count.

    A line is a key, or a path whose last parts without extension are one, and then possibly its label: ImageNet-LT's
    ``train/n01440764/n01440764_10026.JPEG 0``. Raises OptionError, with counts, for lines without a row, rows that are
    named twice, and labels that are not the index's.
    """
    return Listed(read_lines(source) if isinstance(source, str | os.PathLike) else tuple(source))


def _fraction(ds: Dataset, *, share: float, seed: int, by: str | None) -> I64:
    strata, order = _ordered(ds, by, seed, _FRACTION)
    sizes = np.bincount(strata)
    taken = quotas(sizes.tolist(), int(share * len(ds) + 0.5))
    return np.sort(_first_of_each(order, sizes, taken))


def _fold(ds: Dataset, *, number: int, of: int, seed: int, by: str | None, held_out: bool) -> I64:
    _, order = _ordered(ds, by, seed, _FOLD)
    # one value after another, dealt in turns: neither a value's rows nor all of them differ by more than one
    folds = np.empty(len(order), dtype=np.int64)
    folds[order] = np.arange(len(order)) % of
    return np.flatnonzero((folds == number) == held_out)


def _long_tail(ds: Dataset, *, imbalance: float, column: str | None, seed: int, largest: int | None) -> I64:
    name = _column(ds, "label" if column is None else column)
    labels = ds.column(name)
    if labels.min(initial=0) < 0:
        raise OptionError(f"column {name!r} is null or negative in {(labels < 0).sum():,} rows, which have no class.")
    classes = ds.manifest.classes.get(name, ())
    sizes = np.bincount(labels, minlength=len(classes))
    most = int(sizes.max(initial=0)) if largest is None else largest
    wanted = np.array(
        [int(most * imbalance ** (c / max(1, len(sizes) - 1))) for c in range(len(sizes))], dtype=np.int64
    )
    short = np.flatnonzero((sizes < wanted) | (wanted < 1))
    if len(short):
        number = int(short[0])
        shown = f"{number} ({classes[number]})" if number < len(classes) else str(number)
        raise OptionError(
            f"a long tail of {most:,} to {wanted[-1]:,} takes {wanted[number]:,} rows of class {shown}, which has"
            f" {sizes[number]:,}; choose another largest= or imbalance."
        )
    order = np.lexsort((_hashed(ds, seed, _TAIL), labels))
    return np.sort(_first_of_each(order, sizes, wanted))


def _first_of_each(order: I64, sizes: I64, taken: I64) -> I64:
    """The first ``taken`` of each stratum's rows, where ``order`` holds one stratum's after another's."""
    place = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return order[place < np.repeat(taken, sizes)]


def _ordered(ds: Dataset, by: str | None, seed: int, stage: int) -> tuple[I64, I64]:
    """(N,) stratum of each row, and rows by stratum, then by hash."""
    strata = np.zeros(len(ds), dtype=np.int64) if by is None else _strata(ds, _column(ds, by))
    return strata, np.lexsort((_hashed(ds, seed, stage), strata))


def _strata(ds: Dataset, name: str) -> I64:
    """(N,) rank of each row's value among the column's values; rows without one are a stratum of their own."""
    values = ds.index_columns([name])[name]
    if pa.types.is_list(values.type) or pa.types.is_floating(values.type):
        raise OptionError(f"column {name!r} holds {values.type}; strata come from integers, texts or bools.")
    known = pc.unique(values.drop_null())
    ranks = pc.index_in(values, value_set=known.take(pc.array_sort_indices(known)))
    found: I64 = ranks.cast(pa.int64()).fill_null(len(known)).to_numpy()
    return found


def _column(ds: Dataset, name: str) -> str:
    """The column itself, or the label column for ``"label"``."""
    if name in ds.info.columns:
        return name
    if name == "label" and ds.info.label_column is not None:
        return ds.info.label_column
    columns = ", ".join(ds.info.columns) or "none"
    raise OptionError(f"column {name!r} is not in the index of {ds.info.name!r}, which has {columns}.")


def _hashed(ds: Dataset, seed: int, stage: int) -> NDArray[np.uint64]:
    """(N,) a number of each row's key."""
    words = [np.zeros(0, dtype=np.uint64)]
    for chunk in ds.scan(["key"]):
        words.append(np.array([text_word(key) for key in chunk.table["key"].to_pylist()], dtype=np.uint64))
    return mix(seed, stage, np.concatenate(words))
