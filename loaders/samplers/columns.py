"""Which column of the index holds a view's labels, and how often each class occurs in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...errors import OptionError
from .labels import LabelSets

if TYPE_CHECKING:
    from ..base import Dataset
    from ..views import Items

I64 = NDArray[np.int64]
LABEL_COLUMNS = ("labels", "person_labels", "question_answer_types")


def class_counts(ds: Dataset, view: str = "image", column: str | None = None) -> I64:
    """(C,) items of a view that hold each class, for loss weights: images, persons, questions or captions.

    ``column`` as samplers choose it: the view's own labels. C is the number of named classes, or the largest label + 1.
    """
    from ..views import Items, View

    items = Items(ds, View.parse(view))
    return counted(items, label_column(items, column))


def label_column(items: Items, asked: str | None) -> str:
    """The column that holds a view's labels: the one asked for, else that of the view's own parts, else the label."""
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


def class_names(items: Items, column: str, count: int = 0) -> tuple[str, ...]:
    """Names of a column's classes, by class number; numbers for those up to ``count`` that the dataset does not name."""
    names = items.ds.manifest.classes.get(column, ())
    return (*names, *map(str, range(len(names), count)))


def counted(items: Items, column: str) -> I64:
    """(C,) items of the view that hold each class; an item that holds it several times counts once."""
    total = np.zeros(len(class_names(items, column)), dtype=np.int64)
    for chunk in items.scan(column):
        total = added(total, LabelSets.of(chunk.values).counts())
    if not total.any():
        raise OptionError(f"column {column!r} holds no label in split {items.ds.info.name!r}; name another column.")
    return total


def added(total: I64, counts: I64) -> I64:
    """The sum of two histograms, as long as the longer one."""
    longer, shorter = (total, counts) if len(total) >= len(counts) else (counts, total)
    longer = longer.copy()
    longer[: len(shorter)] += shorter
    return longer


def inverse(counts: I64, power: float = 1.0) -> NDArray[np.float64]:
    """(C,) ``counts ** -power``; 0 for classes that nobody holds, which no item asks for."""
    found, held = np.zeros(len(counts)), counts[counts > 0].astype(np.float64)
    # division and roots are exact to the last bit on every machine, powers need not be
    found[counts > 0] = 1 / {0.5: np.sqrt(held), 1.0: held}.get(power, held**power)
    return found
