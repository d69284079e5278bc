"""EMOTIC's numbers over complete results only: average precision per category, errors of valence, arousal, dominance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import OptionError
from ..base import Dataset
from .average_precision import DEFINITIONS, Definition
from .coco_ground_truth import records
from .emotic_results import VAD, EmoticResults, Person, categories


@dataclass(frozen=True, slots=True, kw_only=True)
class EmoticScore:
    """Numbers of one split or selection; ``notes`` says in words what they leave out."""

    definition: Definition
    """Of average precision: the three differ by several points, so state it with the number."""
    persons: int
    ap: Mapping[str, float]
    """Category -> average precision, 0..1; NaN where no person has it."""
    mean_ap: float
    """Over the categories that somebody has."""
    vad_mae: Mapping[str, float] | None
    """Mean absolute error per dimension on the scale of 1..10, over persons whose annotation is a number; None where
    none were predicted."""
    mean_vad_mae: float | None
    """Mean of the three."""
    vad_absent: Mapping[str, int]
    """Dimension -> persons without an annotation, left out of its error."""

    @property
    def absent(self) -> tuple[str, ...]:
        """Categories that no person has."""
        return tuple(name for name, value in self.ap.items() if np.isnan(value))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers must know."""
        found = [f"average precision by the definition {self.definition!r}"]
        if self.absent:
            left = len(self.ap) - len(self.absent)
            found.append(
                f"none of {self.persons:,} persons has {', '.join(self.absent)}: mean AP is over the other {left}"
            )
        if self.vad_mae is not None and any(self.vad_absent.values()):
            counts = ", ".join(f"{count:,} of {name}" for name, count in self.vad_absent.items() if count)
            found.append(f"annotations absent and left out: {counts}")
        return tuple(found)


def score_emotic(ds: Dataset, results: EmoticResults, definition: Definition = "sklearn") -> EmoticScore:
    """Average precision per category and mean absolute error of valence, arousal and dominance.

    A category is true of a person where at least one annotator named it. ``definition``: ``sklearn`` (not
    interpolated; needs the extra ``eval``), ``voc`` (all points, interpolated) or ``11point``. Persons are put in
    order first, so ranks play no part. Raises OptionError unless every usable person of ``ds`` was added once and
    nobody else; persons whose box is empty (``dropped_persons``) are none.
    """
    if definition not in DEFINITIONS:
        raise OptionError(f"definition={definition!r} is not one of {', '.join(map(repr, DEFINITIONS))}.")
    names = categories(ds)
    if names != results.categories:
        raise OptionError(f"results have {len(results.categories)} categories, the dataset {len(names)} or other ones.")
    truth = _truth(ds)
    _complete(truth, results)
    persons, rows = results.table()
    labels = np.zeros((len(persons), len(names)), dtype=np.bool_)
    for row, person in enumerate(persons):
        labels[row, truth[person]["categories"]] = True
    precision = {name: _ap(definition, labels[:, c], rows[:, c]) for c, name in enumerate(names)}
    vad = np.array([truth[person]["vad"] for person in persons], dtype=np.float64)  # null becomes NaN
    errors = _vad_errors(rows[:, -3:], vad, persons)
    return EmoticScore(
        definition=definition,
        persons=len(persons),
        ap=precision,
        mean_ap=_mean(np.array(list(precision.values()))),
        vad_mae=errors,
        mean_vad_mae=None if errors is None else float(np.mean(list(errors.values()))),
        vad_absent=dict(zip(VAD, np.isnan(vad).sum(0).tolist(), strict=True)),
    )


def emotic_class_weights(counts: Sequence[int] | NDArray[Any]) -> torch.Tensor:
    """Loss weights 1 / ln(1.2 + n) for categories that n training persons have: (C,) float32; 0.0001 where n is 0.

    The EMOTIC authors' (rkosti/emotic, getWeightNormalization; "static" in Tandon-A/emotic). They take the place of a
    balanced sampler: use one of them.
    """
    n = torch.as_tensor(np.asarray(counts, dtype=np.float64))
    if n.ndim != 1 or not bool((n >= 0).all()):
        raise OptionError(f"counts must be one number of persons per category, not {np.asarray(counts).tolist()!r}.")
    return torch.where(n > 0, 1 / torch.log(1.2 + n), 0.0001).float()


def _truth(ds: Dataset) -> dict[Person, Mapping[str, Any]]:
    keys = ds.index_columns(["key"])["key"].to_pylist()
    return {
        (key, person["person"]): person
        for key, record in zip(keys, records(ds), strict=True)
        for person in record["persons"]
    }


def _complete(truth: Mapping[Person, Any], results: EmoticResults) -> None:
    if not truth:
        raise OptionError("there is nobody to score: the dataset or selection has no usable person.")
    foreign = sorted(results.by_person.keys() - truth.keys())
    if foreign:
        raise OptionError(
            f"{len(foreign):,} results are of nobody in the dataset, such as person {foreign[0][1]} of {foreign[0][0]!r}."
            " Were they of another split or selection?"
        )
    missing = sorted(truth.keys() - results.by_person.keys())
    if missing:
        raise OptionError(
            f"{len(missing):,} of the {len(truth):,} persons were never added, such as person {missing[0][1]} of"
            f" {missing[0][0]!r}: the score would be that of a part. Add every batch of every rank (gather()), or score a"
            " selection, ds.select(...)."
        )


def _ap(definition: Definition, labels: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    return DEFINITIONS[definition](labels, scores) if labels.any() else float("nan")


def _vad_errors(
    predicted: NDArray[np.float64], truth: NDArray[np.float64], persons: Sequence[Person]
) -> dict[str, float] | None:
    given = np.isnan(predicted).sum(1) == 0
    if not given.any():
        return None
    if not given.all():
        key, person = persons[int(np.argmin(given))]
        raise OptionError(
            f"{int((~given).sum()):,} of {len(given):,} persons have no vad, such as person {person} of {key!r}."
        )
    errors = np.abs(predicted - truth)
    return {name: _mean(errors[:, column]) for column, name in enumerate(VAD)}


def _mean(values: NDArray[np.float64]) -> float:
    """Of those that are numbers; NaN where none is."""
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if len(kept) else float("nan")
