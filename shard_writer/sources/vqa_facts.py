"""What the official VQA v2 files hold: https://visualqa.org/download, mscoco_question_types.txt of GT-Vision-Lab/VQA."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ANSWERS = 10
ANSWER_TYPES = ("yes/no", "number", "other")
CONFIDENCES = ("yes", "maybe", "no")
QUESTION_TYPES = tuple(
    """are|are the|are there|are there any|are these|are they|can you|could|do|do you|does the|does this
|has|how|how many|how many people are|how many people are in|is|is he|is it|is that a|is the
|is the man|is the person|is the woman|is there|is there a|is this|is this a|is this an|is this person
|none of the above|was|what|what animal is|what are|what are the|what brand|what color
|what color are the|what color is|what color is the|what does the|what is|what is in the|what is on the
|what is the|what is the color of the|what is the man|what is the name|what is the person|what is the woman
|what is this|what kind of|what number is|what room is|what sport is|what time|what type of|where are the
|where is the|which|who is|why|why is the""".replace("\n", "").split("|")
)
"""Sorted: the position is the label."""
HOMES: Mapping[str, str] = {"test-dev2015": "test2015"}
"""Splits whose pictures are another's."""


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """Counts of one official split, None where we know none."""

    questions: int
    images: int | None


OFFICIAL: Mapping[str, SplitFacts] = {
    "train2014": SplitFacts(443_757, 82_783),
    "val2014": SplitFacts(214_354, 40_504),
    "test2015": SplitFacts(447_793, 81_434),
    "test-dev2015": SplitFacts(107_394, None),
}


def compare(split: str, questions: int, images: int) -> str | None:
    """A note where a split has not the published counts; None for a whole one, or one that we know nothing of."""
    official = OFFICIAL.get(split)
    if official is None or (questions == official.questions and images == (official.images or images)):
        return None
    how = "partial" if questions < official.questions else "not as published"
    of_images = "" if official.images is None else f", {images:,} of {official.images:,} images"
    return f"{split}: {how}, {questions:,} of {official.questions:,} questions{of_images}"


def home_of(split: str) -> str:
    """The split that a split's pictures are called after."""
    return HOMES.get(split, split)


def picture_names(split: str, image: int) -> tuple[str, str]:
    """How a picture is called: as released in 2014, and, the same picture, in 2017."""
    return f"COCO_{home_of(split)}_{image:012d}.jpg", f"{image:012d}.jpg"
