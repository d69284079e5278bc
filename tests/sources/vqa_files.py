"""Small VQA folders for tests: questions whose answers a test can spoil, and pictures of known size."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .coco_files import picture

Body = dict[str, Any]
HEADER = {"info": {"version": "2.0"}, "data_type": "mscoco", "license": {}}
ASKED = {7: (7001, 7000), 42: (42000,), 300: (300002, 300000, 300001)}
"""Image id -> its question ids, in the order of the files."""
TYPES = {
    7000: ("is the", "yes/no", "yes"),
    7001: ("how many", "number", "2"),
    42000: ("none of the above", "other", ""),
}
ARCHIVES = {"questions": "v2_Questions", "annotations": "v2_Annotations", "pairs": "v2_Complementary_Pairs"}


def questions(split: str = "train2014", asked: Mapping[int, Sequence[int]] = ASKED) -> Body:
    """A questions file."""
    entries = [
        {"image_id": image, "question": f"What is {number}?\n", "question_id": number}
        for image, numbers in asked.items()
        for number in numbers
    ]
    return {**HEADER, "task_type": "Open-Ended", "data_subtype": split, "questions": entries}


def answers(number: int) -> list[Body]:
    """Ten answers to a question, from its last one to its first."""
    word = ("yes", "maybe", "no")
    return [
        {"answer": f"a{number % 7}{k % 3}", "answer_confidence": word[k % 3], "answer_id": k} for k in range(10, 0, -1)
    ]


def annotations(split: str = "train2014", asked: Mapping[int, Sequence[int]] = ASKED) -> Body:
    """The annotations file of the same questions, in another order."""
    entries = []
    for image, numbers in reversed(asked.items()):
        for number in numbers:
            kind, answer_type, chosen = TYPES.get(number, ("what", "other", "cat"))
            entry = {"question_type": kind, "multiple_choice_answer": chosen, "answers": answers(number)}
            entries.append({**entry, "image_id": image, "answer_type": answer_type, "question_id": number})
    return {**HEADER, "data_subtype": split, "annotations": entries}


def name_of(kind: str, split: str) -> str:
    """``v2_OpenEnded_mscoco_train2014_questions.json`` and so on."""
    middle = {"questions": f"OpenEnded_mscoco_{split}_questions", "annotations": f"mscoco_{split}_annotations"}
    return f"v2_{middle.get(kind, f'mscoco_{split}_complementary_pairs')}.json"


def write_vqa(root: Path, split: str = "train2014", pictures: Sequence[int] = tuple(ASKED), **files: Any) -> Path:
    """``questions=``, ``annotations=``, ``pairs=`` of a split, and pictures under their names of 2014."""
    home = root / split.replace("-dev", "")
    home.mkdir(parents=True, exist_ok=True)
    for number in pictures:
        (home / f"COCO_{home.name}_{number:012d}.jpg").write_bytes(picture(number))
    for kind, content in files.items():
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (root / name_of(kind, split)).write_bytes(data)
    return root


def small(root: Path, **changes: Any) -> Path:
    """Three images with six questions, answers and two pairs; ``changes`` put other files in their place."""
    files = {"questions": questions(), "annotations": annotations(), "pairs": [[300001, 7000], [42000, 300002]]}
    return write_vqa(root, **(files | changes))


def zipped_vqa(folder: Path, out: Path, split: str = "train2014") -> Path:
    """The same as the official archives: v2_Questions_Train_mscoco.zip, ..., train2014.zip."""
    out.mkdir()
    for kind, archive in ARCHIVES.items():
        with zipfile.ZipFile(out / f"{archive}_Train_mscoco.zip", "w", zipfile.ZIP_DEFLATED) as file:
            file.write(folder / name_of(kind, split), name_of(kind, split))
    with zipfile.ZipFile(out / f"{split}.zip", "w") as file:
        for path in sorted((folder / split).iterdir()):
            file.write(path, f"{split}/{path.name}")
    return out
