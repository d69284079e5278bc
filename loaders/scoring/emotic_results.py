"""Predictions for the people of our batches, collected by image key and person."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import OptionError
from ..base import Dataset
from .ranks import of_all_ranks

Person = tuple[str, int]  # image key, the person's number in it
VAD = ("valence", "arousal", "dominance")


class EmoticResults:
    """One row of scores per person of a split or selection.

    Rows that are not valid are skipped. A person added twice, or one of an image that the split does not have, raises
    OptionError and leaves the results as they were.
    """

    def __init__(self, ds: Dataset) -> None:
        self.categories = categories(ds)
        self.known = frozenset(ds.index_columns(["key"])["key"].to_pylist())
        self.by_person: dict[Person, NDArray[np.float64]] = {}
        """(categories + 3,): the scores, then valence, arousal, dominance, NaN where they were not predicted."""

    def __len__(self) -> int:
        """People scored."""
        return len(self.by_person)

    def add(self, batch: Mapping[str, Any], scores: Any, vad: Any = None) -> None:
        """One row per row of a batch with ``key`` and ``person_id``.

        ``scores`` (B, 26), logits or probabilities: only their order counts. ``vad`` (B, 3) on the annotations' scale
        of 1..10, so ten times the output of a model trained on tenths. Tensors of any device and float type, or arrays.
        """
        if "person_id" not in batch:
            raise OptionError("the batch has no person_id; load it with a view of persons.")
        keys, valid = batch["key"], np.array([bool(row) for row in batch["valid"]], dtype=np.bool_)
        made = np.full((len(keys), len(self.categories) + 3), np.nan)
        made[:, :-3] = _matrix("scores", scores, (len(keys), len(self.categories)), valid)
        if vad is not None:
            made[:, -3:] = _matrix("vad", vad, (len(keys), 3), valid)
        persons = [(str(key), int(person)) for key, person in zip(keys, batch["person_id"], strict=True)]
        self._put([(persons[row], made[row]) for row in np.flatnonzero(valid)])

    def merge(self, other: EmoticResults) -> None:
        """Take over another rank's results."""
        self._put(list(other.by_person.items()))

    def gather(self) -> EmoticResults:
        """On every rank of an initialised process group, the results of all; without one, these. Call it once."""
        parts = of_all_ranks(self.by_person)
        self.by_person = {}
        self._put([pair for part in parts for pair in part.items()])
        return self

    def table(self) -> tuple[list[Person], NDArray[np.float64]]:
        """Persons by key and number, whatever order they came in, and their rows (n, categories + 3)."""
        persons = sorted(self.by_person)
        rows = [self.by_person[person] for person in persons]
        return persons, np.array(rows, dtype=np.float64).reshape(len(persons), len(self.categories) + 3)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an ``.npz`` that ``np.load`` reads without pickle: key, person_id, scores, vad, categories."""
        persons, rows = self.table()
        with open(path, "wb") as file:  # savez would add .npz to a name without it
            np.savez(
                file,
                key=np.array([key for key, _ in persons], dtype=np.str_),
                person_id=np.array([person for _, person in persons], dtype=np.int64),
                scores=rows[:, :-3],
                vad=rows[:, -3:],
                categories=np.array(self.categories, dtype=np.str_),
            )

    def load(self, path: str | os.PathLike[str]) -> None:
        """Take over what ``save`` wrote; raises OptionError for another file, or one of other categories."""
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as found:
                names, keys, persons = (found[name].tolist() for name in ("categories", "key", "person_id"))
                rows = np.concatenate([found["scores"], found["vad"]], 1, dtype=np.float64)
        except (KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise OptionError(f"{path} is no file that EmoticResults.save() wrote: {error!r}.") from error
        if tuple(names) != self.categories or not rows.shape == (len(keys), len(names) + 3) == (
            len(persons),
            len(names) + 3,
        ):
            raise OptionError(
                f"{path} holds {rows.shape} numbers for {len(keys)} persons and {len(names)} categories; needed are the"
                f" {len(self.categories)} of the dataset, {', '.join(self.categories[:3])} ..., and 3 more."
            )
        self._put([((str(key), int(person)), row) for key, person, row in zip(keys, persons, rows, strict=True)])

    def _put(self, pairs: Sequence[tuple[Person, NDArray[np.float64]]]) -> None:
        made: dict[Person, NDArray[np.float64]] = {}
        for person, row in pairs:
            if person[0] not in self.known:
                raise OptionError(
                    f"{person[0]!r} is none of the {len(self.known):,} images of this dataset. Is it of another split?"
                )
            if person in made or person in self.by_person:
                raise OptionError(
                    f"person {person[1]} of {person[0]!r} was added before: each is scored once. Was a batch added twice?"
                )
            made[person] = row
        self.by_person |= made


def categories(ds: Dataset) -> tuple[str, ...]:
    """Names of the split's emotion categories, in label order; raises OptionError where it has no persons."""
    names = ds.manifest.classes.get("person_labels", ())
    if "n_persons" not in ds.info.columns or not names:
        raise OptionError(f"split {ds.info.name!r} has no persons with categories: no 'n_persons' or 'person_labels'.")
    return tuple(names)


def _matrix(what: str, values: Any, shape: tuple[int, int], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """As float64 on the CPU; a rank of NaN or an error of infinity would be no number."""
    made: NDArray[np.float64] = torch.as_tensor(values).detach().to("cpu", torch.float64).numpy()
    if made.shape != shape:
        raise OptionError(f"{what} have shape {made.shape}, needed is {shape}: one row per row of the batch.")
    wrong = np.flatnonzero(valid & ~np.isfinite(made).all(1))
    if len(wrong):
        raise OptionError(f"{what} of row {wrong[0]} are {made[wrong[0]].tolist()}; they must be finite.")
    return made
