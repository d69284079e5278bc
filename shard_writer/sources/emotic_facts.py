"""What EMOTIC is: its 26 categories in the official order, its scale, and the published counts.

Sources: Kosti et al., PAMI 2019 (images and persons); the published converter (github.com/Tandon-A/emotic), which
leaves out persons with a NaN rating or an empty crop.
"""

from __future__ import annotations

from collections.abc import Mapping

CATEGORIES = (
    "Affection", "Anger", "Annoyance", "Anticipation", "Aversion", "Confidence", "Disapproval", "Disconnection",
    "Disquietment", "Doubt/Confusion", "Embarrassment", "Engagement", "Esteem", "Excitement", "Fatigue", "Fear",
    "Happiness", "Pain", "Peace", "Pleasure", "Sadness", "Sensitivity", "Suffering", "Surprise", "Sympathy", "Yearning",
)  # fmt: skip
NUMBER: Mapping[str, int] = {name: number for number, name in enumerate(CATEGORIES)}
DIMENSIONS = ("valence", "arousal", "dominance")
SCALE = (1, 10)
GENDERS = ("Male", "Female")
AGES = ("Kid", "Teenager", "Adult")
SPLITS = ("train", "val", "test")

PERSONS: Mapping[str, int] = {"train": 23_266, "val": 3_315, "test": 7_203}
"""By the published converter, after its filter."""
IMAGES, ALL_PERSONS = 23_571, 34_320
"""Of the paper, all splits, before any filter."""


def compare_split(split: str, persons: int, rated: int) -> str | None:
    """A note where a split does not hold the persons of the published one; None where it does.

    ``rated``: persons whom the published converter would keep, of ``persons``.
    """
    official = PERSONS[split]
    if rated == official:
        return None
    if rated < official:
        return f"{split}: partial, {rated:,} of {official:,} persons with full ratings ({persons:,} persons in all)"
    return (
        f"{split}: {rated:,} persons with full ratings, published are {official:,}: another release, or an edited file"
    )


def compare_whole(rated: Mapping[str, int], images: int, persons: int) -> str | None:
    """A note on a .mat with every split whole, against the paper's counts; None for less than that."""
    if any(rated.get(split, 0) < official for split, official in PERSONS.items()):
        return None
    if (images, persons) == (IMAGES, ALL_PERSONS):
        return f"whole: {images:,} images and {persons:,} persons, as published"
    return (
        f"{images:,} images and {persons:,} persons; the paper counts {IMAGES:,} and {ALL_PERSONS:,}: another release, or"
        " an edited file"
    )
