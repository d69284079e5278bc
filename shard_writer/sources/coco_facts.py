"""What the official COCO files hold. Counts: cocoapi issues 76 and 117, cocodataset.org/#download.

The 2014 and 2017 releases hold the same 896,782 objects and 616,767 captions, cut differently.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import SourceError


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """Counts of one official split, None where we know none."""

    images: int
    objects: int | None = None
    crowds: int | None = None
    without_objects: int | None = None
    captions: int | None = None


OFFICIAL: Mapping[str, SplitFacts] = {
    "train2017": SplitFacts(118_287, 860_001, 10_052, 1_021, 591_753),
    "val2017": SplitFacts(5_000, 36_781, 446, 48, 25_014),
    "train2014": SplitFacts(82_783, 604_907, captions=414_113),
    "val2014": SplitFacts(40_504, 291_875, captions=202_654),
    "test2017": SplitFacts(40_670),
}


def compare(split: str, found: SplitFacts) -> str | None:
    """A note for a partial set, None for a whole official one or a split we know nothing of.

    Raises SourceError where all official images are there, and something else is not as published.
    """
    official = OFFICIAL.get(split)
    if official is None:
        return None
    if found.images != official.images:
        return f"{split}: partial, {found.images:,} of {official.images:,} images"
    for name in ("objects", "crowds", "without_objects", "captions"):
        mine, published = getattr(found, name), getattr(official, name)
        if None not in (mine, published) and mine != published:
            raise SourceError(
                f"{split} has all {official.images:,} official images, but {name.replace('_', ' ')}: {mine:,}, published"
                f" are {published:,}. The annotation file was changed or damaged; download it again."
            )
    return None
