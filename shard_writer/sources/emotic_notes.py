"""What a user of a copy of EMOTIC should know: what is odd in it, what is not there, what stands there twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

from .emotic_facts import SPLITS, compare_split, compare_whole
from .emotic_files import Annotations
from .emotic_records import EmoticRecords
from .options import some


def notes(given: Annotations, made: Mapping[str, EmoticRecords]) -> Iterator[str]:
    """Lines for the manifest; ``made``: the splits that hold images."""
    for name, records in made.items():
        yield from (f"{name}: {note}" for note in records.notes())
        if note := compare_split(name, records.persons, records.rated):
            yield note
        if name != "train" and not given.is_mat:
            yield f"{name}: from CSV, which holds one rating per person: that of all annotators together"
    yield from _absent(given, made)
    if given.is_mat:
        rated = {name: records.rated for name, records in made.items()}
        images, persons = (
            sum(counts) for counts in zip(*((len(r.images), r.persons) for r in made.values()), strict=True)
        )
        if note := compare_whole(rated, images, persons):
            yield note
    yield from _shared(made)


def _absent(given: Annotations, made: Mapping[str, EmoticRecords]) -> Iterator[str]:
    file = next(iter(given.digests))
    for name in (split for split in SPLITS if split not in made):
        if name in given.images:
            yield f"{name}: left out, it holds no image"
        elif given.is_mat:
            yield f"{name}: not in {file}"
    if given.ignored:
        yield f"{some(given.ignored)}: not read, since {file} is there and knows more"


def _shared(made: Mapping[str, EmoticRecords]) -> Iterator[str]:
    """Images of two splits: whoever trains on one and tests on the other should know."""
    for first, second in combinations(made, 2):
        both = [path for path in made[first].images if path in made[second].images]
        if both:
            yield f"{len(both):,} images stand in {first} and in {second}, kept in both, such as {both[0]}"
