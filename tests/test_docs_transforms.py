"""docs/transforms.md: its code runs from top to bottom, and no transform or preset is missing on it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import shardstream as ss
from shardstream import transforms
from shardstream.transforms import presets

from .toy_coco import pack_toy_coco
from .toy_people import pack_toy_people
from .toy_questions import pack_toy_questions

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "transforms.md").read_text()
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the page's relative addresses mean."""
    folder = tmp_path_factory.mktemp("docs")
    ss.write("photos", out=folder / "photos-shards")
    ss.write("digits", out=folder / "digits-shards")
    pack_toy_coco(folder / "coco-shards", 8)
    pack_toy_people(folder / "emotic-shards", 12)
    pack_toy_questions(folder / "vqa-shards", 12)
    return folder


@pytest.fixture(scope="module")
def names(datasets: Path) -> dict[str, Any]:
    """What the page's code defines, each block after the one before it; a line that fails is named by its block."""
    defined: dict[str, Any] = {"__name__": "page"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(datasets)
        for number, block in enumerate(CODE):
            exec(compile(block, f"transforms.md, block {number}", "exec"), defined)  # noqa: S102 - our own page
    return defined


def test_the_code_runs_and_gives_what_the_comments_say(names: dict[str, Any]) -> None:
    """Shapes and types that stand beside the calls."""
    assert len(CODE) >= 12
    assert names["targets"][0]["boxes"].format.name == "XYXY"
    assert names["loss"].item() == pytest.approx(2.302585, abs=1e-4)
    assert names["plan"].out_hw == (224, 224)
    assert tuple(names["batch"]["label"].shape) == (64, 10)
    whole = next(iter(names["loader"]))["image"]
    assert tuple(whole.shape) == (8, 3, 224, 224)
    assert whole.dtype.is_floating_point


def test_the_pipeline_prints_as_the_page_shows(names: dict[str, Any]) -> None:
    """Which stages are drawn before decoding."""
    printed = repr(names["transform"]).splitlines()[:3]
    assert "\n".join(f"# {line}" for line in printed) in PAGE


def test_every_transform_and_preset_stands_in_a_table() -> None:
    """By its name in code; what is no stage of its own has a section instead."""
    rows = " ".join(line for line in PAGE.splitlines() if line.startswith("|"))
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`[^`]+`", rows))))
    helpers = {"DecodePlan", "DecodePlanner", "Transform", "presets"}
    sections = {"Compose", "MixedLabels", "RandomTransform", "from_targets", "to_targets"}
    assert not {*transforms.__all__, *presets.__all__} - helpers - sections - words
    assert sections <= set(re.findall(r"\w+", " ".join(CODE)))


def test_the_picture_is_small_and_there() -> None:
    """Linked from the page; a repository is no place for large pictures."""
    assert "(transforms.png)" in PAGE
    path = DOCS / "transforms.png"
    assert path.stat().st_size < 300_000
    with Image.open(path) as picture:
        assert picture.width <= 1200
