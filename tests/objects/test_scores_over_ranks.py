"""Detection mAP, EMOTIC's AP and VQA accuracy through ss.Loader on 1, 2, 3 and 4 ranks: equal to the last digit."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import shardstream as ss
from shardstream import scoring

from ..toy_coco import pack_toy_coco
from ..toy_people import pack_toy_people
from ..toy_questions import pack_toy_questions

# 23 images: no number of ranks but one divides it, so last batches have rows that only fill.
COUNT, ROWS = 23, 3


def batches(ds: ss.ShardDataset, rank: int, ranks: int, view: str) -> list[ss.Batch]:
    return list(ss.Loader(ds, batch_size=ROWS, view=view, world=ss.World(rank, ranks)))


def noise(number: float) -> float:
    """In (0, 1), the same for the same number: what a model says depends on what it is shown, not on its rank."""
    return 0.5 + 0.5 * math.sin(37.0 * number)


def detection(ds: ss.ShardDataset, rank: int, ranks: int) -> scoring.CocoResults:
    """The true boxes, moved a little, with scores that leave some wrong ones on top."""
    results = scoring.CocoResults(ds)
    for batch in batches(ds, rank, ranks, "image"):
        made: list[dict[str, Any]] = []
        for target in batch.targets():
            boxes = torch.as_tensor(target["boxes"]).double()
            moved = boxes + torch.tensor([noise(float(box.sum())) * 4 for box in boxes]).reshape(-1, 1)
            scores = torch.tensor([noise(float(box.sum()) + 1) for box in boxes])
            made.append({"boxes": moved, "labels": target["labels"], "scores": scores})
        results.add_boxes(batch, made)
    return results


def emotions(ds: ss.ShardDataset, rank: int, ranks: int) -> scoring.EmoticResults:
    """Scores of 26 categories, and VAD, from each person's box."""
    results = scoring.EmoticResults(ds)
    for batch in batches(ds, rank, ranks, "person"):
        seen = batch["orig_size"].sum(1).double() + 7 * batch["person_id"].double()
        scores = torch.sin(seen[:, None] * torch.arange(1, 27))
        results.add(batch, scores, torch.stack([seen % 10, seen % 7, seen % 5], 1))
    return results


def answers(ds: ss.ShardDataset, rank: int, ranks: int) -> scoring.VqaResults:
    results = scoring.VqaResults(ds)
    for batch in batches(ds, rank, ranks, "question"):
        results.add(batch, [("yes", "no", "2", "red")[int(number) % 4] for number in batch["question_id"]])
    return results


# How it is packed, collected, scored, and the share of the score that is right, which must be neither none nor all.
BENCHMARKS: dict[str, tuple[Any, Callable[..., Any], Callable[..., Any], Callable[..., float]]] = {
    "detection mAP": (pack_toy_coco, detection, lambda ds, found: scoring.score(ds, found, "bbox"), lambda s: s["AP"]),
    "EMOTIC AP": (pack_toy_people, emotions, scoring.score_emotic, lambda s: s.mean_ap),
    "VQA accuracy": (pack_toy_questions, answers, scoring.score_vqa, lambda s: s.overall / 100),
}


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_the_score_is_the_same_on_one_to_four_ranks(benchmark: str, tmp_path: Path) -> None:
    """Each rank collects from its own loader; merged forwards and backwards; the rows that fill count nowhere."""
    pack, collect, score, share = BENCHMARKS[benchmark]
    ds = pack(tmp_path / "out", COUNT)
    expected = score(ds, collect(ds, 0, 1))
    assert 0.05 < share(expected) < 0.95
    for ranks in (2, 3, 4):
        for order in (1, -1):
            parts = [collect(ds, rank, ranks) for rank in range(ranks)][::order]
            for part in parts[1:]:
                parts[0].merge(part)
            assert score(ds, parts[0]) == expected
            assert repr(score(ds, parts[0])) == repr(expected), "every digit that is printed, nan included"
    fewer = collect(ds, 0, 2)
    assert len(fewer) < len(parts[0]), "half of it is not the whole"
