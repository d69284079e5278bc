"""``ss.mix``: several datasets as one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..errors import OptionError
from .base import Dataset
from .mix_info import Labels
from .mixed import MixedDataset, Recipe, check_parts


def mix(
    datasets: Sequence[Dataset],
    weights: Sequence[float] | None = None,
    names: Sequence[str] | None = None,
    *,
    labels: Labels = "same",
) -> MixedDataset:
    """Several datasets as one, for ``Loader``, samplers, selections, views and joins.

    ``weights`` (of which only proportions count) say what share of every epoch each part gets, exactly to within one
    item; a part's items then come equally often to within one copy, or as a sampler fitted to that part says. None:
    the union, every item once. An epoch has as many items as all parts together, or the sampler's ``size``. Mixtures
    among ``datasets`` are taken apart, their weights multiplied.

    Parts must agree in whether they are labelled, and in the classes of columns that they share; ``labels="separate"``
    keeps labels that count different classes apart: ``batch["label"]`` then belongs to ``batch["dataset"]``, and no
    sampler takes it for one column. Raises OptionError, naming the difference.
    """
    if labels not in ("same", "separate"):
        raise OptionError(f"labels={labels!r} is not one of 'same', 'separate'.")
    if not datasets or not all(isinstance(part, Dataset) for part in datasets):
        kinds = ", ".join(type(part).__name__ for part in datasets) or "none"
        raise OptionError(f"mix takes a list of datasets, as ss.open gives them; these are {kinds}.")
    for what, given in (("weights", weights), ("names", names)):
        if given is not None and len(given) != len(datasets):
            raise OptionError(f"{len(given)} {what} were given for {len(datasets)} datasets; give one each.")
    recipe = _taken_apart(datasets, _normal(weights), names, labels)
    check_parts(recipe.parts, recipe.shares, recipe.names)
    return MixedDataset(recipe)


def _normal(weights: Sequence[float] | None) -> list[float] | None:
    if weights is None:
        return None
    total = math.fsum(weights)
    if not all(math.isfinite(weight) and weight > 0 for weight in weights) or not math.isfinite(total):
        raise OptionError(
            f"weights are {list(weights)}; give finite numbers above 0, and leave out what shall not come."
        )
    return [float(weight / total) for weight in weights]


def _taken_apart(
    datasets: Sequence[Dataset], weights: Sequence[float] | None, names: Sequence[str] | None, labels: Labels
) -> Recipe:
    """One flat mixture: inner shares times outer ones, sizes standing in for weights that were not given."""
    parts = [part for ds in datasets for part in ds.datasets]
    shares = None
    if weights is not None or any(ds.shares for ds in datasets):
        whole = max(1, sum(map(len, datasets)))
        outer = weights or [len(ds) / whole for ds in datasets]
        inner = [ds.shares or [len(part) / max(1, len(ds)) for part in ds.datasets] for ds in datasets]
        shares = tuple(share * of for share, row in zip(outer, inner, strict=True) for of in row)
    found: list[str] = []
    for number, ds in enumerate(datasets):
        given = None if names is None else names[number]
        own = ds.names if isinstance(ds, MixedDataset) else [f"{ds.manifest.name}/{ds.info.name}"]
        found += own if given is None else [given] if len(own) == 1 else [f"{given}/{name}" for name in own]
    return Recipe(tuple(parts), shares, _unique(found), labels)


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """Names that stand there several times get numbers."""
    return tuple(
        name if names.count(name) == 1 else f"{name}#{names[:place].count(name)}" for place, name in enumerate(names)
    )
