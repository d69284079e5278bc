"""``gather()`` in a real process group: three processes collect, each then holds the whole and scores alike."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import shardstream as ss
from shardstream import scoring

from ..toy_people import pack_toy_people
from ..toy_questions import pack_toy_questions

WORLD = 3
# One rank, which answers every third row; the first saves what it gathered.
RANK = """
import sys
import torch
import shardstream as ss
from shardstream import scoring

rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=world)
asked, seen = ss.open(f"{folder}/questions"), ss.open(f"{folder}/people")
answers, people = scoring.VqaResults(asked), scoring.EmoticResults(seen)
ids = sorted(answers.known)[rank::world]
answers.add({"question_id": ids, "valid": [True] * len(ids)}, ["yes" if i % 2 else "2" for i in ids])
rows = [(item["key"], person) for item in seen for person in item["persons"]][rank::world]
batch = {"key": [key for key, _ in rows], "person_id": [p["person"] for _, p in rows], "valid": [True] * len(rows)}
numbers = torch.tensor([p["bbox"] for _, p in rows], dtype=torch.float64)
people.add(batch, torch.sin(numbers.sum(1, keepdim=True) * torch.arange(1, 27)), numbers[:, :3])
answers.gather()
people.gather()
if rank == 0:
    answers.save(f"{folder}/answers.json")
    people.save(f"{folder}/people.npz")
print(scoring.score_vqa(asked, answers).per_question, scoring.score_emotic(seen, people, "voc"))
torch.distributed.destroy_process_group()
"""


def test_gathered_results_score_on_every_rank_as_in_one_process(tmp_path: Path) -> None:
    """Every digit, on each of three ranks."""
    questions = pack_toy_questions(tmp_path / "questions", 30, images=False)
    people = pack_toy_people(tmp_path / "people", 30, images=False)
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), str(WORLD), str(tmp_path)],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(WORLD)
    ]
    printed = [rank.communicate(timeout=200)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0] * WORLD
    answers, seen = scoring.VqaResults(questions), scoring.EmoticResults(people)
    answers.load(tmp_path / "answers.json")
    seen.load(tmp_path / "people.npz")
    assert answers.by_question == {i: "yes" if i % 2 else "2" for i in answers.known}
    assert len(seen) == sum(people.column("n_persons")) > WORLD
    alone = f"{scoring.score_vqa(questions, answers).per_question} {scoring.score_emotic(people, seen, 'voc')}\n"
    assert printed == [alone] * WORLD


def test_ranks_that_answer_the_same_question_are_refused(tmp_path: Path) -> None:
    """What gather meets when a sampler repeats rows to fill up a rank."""
    ds = pack_toy_questions(tmp_path / "questions", 8, images=False)
    mine, other = scoring.VqaResults(ds), scoring.VqaResults(ds)
    first = min(mine.known)
    for results in (mine, other):
        results.add({"question_id": [first], "valid": [True]}, ["yes"])
    with pytest.raises(ss.OptionError, match=rf"question {first} was answered before"):
        mine.merge(other)
