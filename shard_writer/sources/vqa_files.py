"""Where VQA's files lie: questions, annotations and pairs of each split, loose or in the official zips."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...errors import SourceError
from .coco_files import CocoFiles, Place
from .options import some

_FILES = re.compile(
    r"(?:^|.*/)v2_(?:OpenEnded_)?mscoco_(?P<split>[A-Za-z0-9_-]+?)_(?P<kind>questions|annotations|complementary_pairs)"
    r"\.json"
)
_OTHERS = re.compile(
    r"(?:v\d+_)?(?:OpenEnded_|MultipleChoice_)?(?:mscoco|abstract)_\S+_(?:questions|annotations)\.json"
)


def question_files(files: CocoFiles) -> dict[str, dict[str, Place]]:
    """Split -> ``questions``, ``annotations``, ``complementary_pairs`` -> file, of every split that has questions.

    Raises SourceError where two files claim the same, or there is none.
    """
    found = {split: kinds for split, kinds in files.by_split(_FILES).items() if "questions" in kinds}
    if not found:
        others = _others(files)
        held = f"{some(others)}: of VQA v1, or of another task" if others else some(p.path for p in files.places())
        raise SourceError(
            f"{files.store.url}: no questions of VQA v2, such as v2_OpenEnded_mscoco_val2014_questions.json or"
            f" v2_Questions_Val_mscoco.zip; it holds {held}."
        )
    return found


def left_out(files: CocoFiles) -> Iterator[str]:
    """Notes on VQA files that are not packed."""
    for split, kinds in sorted(files.by_split(_FILES).items()):
        if "questions" not in kinds:
            yield f"{split}: left out, {some(place.name for place in kinds.values())} is there, its questions are not"
    if others := _others(files):
        yield f"left out, of VQA v1 or of another task: {some(others)}"


def _others(files: CocoFiles) -> list[str]:
    names = (place.name for place in files.places() if not _FILES.fullmatch(place.full))
    return sorted(name for name in names if _OTHERS.fullmatch(name))
