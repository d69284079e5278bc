"""examples/emotic_train.py and examples/vqa_train.py on the real data: the loss falls, everyone is scored at the end."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

import shardstream as ss

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def falls(losses: list[float]) -> bool:
    """The last quarter is well below the first."""
    quarter = len(losses) // 4
    return sum(losses[-quarter:]) < 0.7 * sum(losses[:quarter])


def test_emotic_is_trained_and_every_person_scored(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """125 persons to train on, 13 to validate; the definition of the average precision stands in the output."""
    source, pictures = real_data / "emotic/csv_with_images", real_data / "emotic/emotic"
    ss.write("emotic", source, images=str(pictures), out=tmp_path / "shards")
    losses = load("emotic_train").train(str(tmp_path / "shards"), steps=40, batch_size=26)
    assert len(losses) == 40
    assert falls(losses)
    shown = capsys.readouterr().out
    assert "train: mAP" in shown
    assert "(sklearn)" in shown
    assert "13 persons, 10 categories without one" in shown


def test_vqa_is_trained_and_every_question_answered(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """73 questions; the result file is the official one, and its accuracy is far above answering one thing always."""
    ss.write("vqa", real_data / "vqa/with_images", out=tmp_path / "shards")
    saved = tmp_path / "results.json"
    losses = load("vqa_train").train(str(tmp_path / "shards"), steps=60, batch_size=32, min_count=1, save=str(saved))
    assert falls(losses)
    assert "train2014: accuracy" in capsys.readouterr().out
    results = json.loads(saved.read_text())
    assert len({result["question_id"] for result in results}) == len(results) == 73
    ds = ss.open(tmp_path / "shards")
    always = [{"question_id": result["question_id"], "answer": "yes"} for result in results]
    assert score(ds, results, tmp_path) > score(ds, always, tmp_path) + 20


def score(ds: ss.ShardDataset, results: list[dict[str, object]], folder: Path) -> float:
    path = folder / "scored.json"
    path.write_text(json.dumps(results))
    results_of = ss.scoring.VqaResults(ds)
    results_of.load(path)
    return ss.scoring.score_vqa(ds, results_of).overall
