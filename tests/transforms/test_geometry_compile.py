"""torch.compile: a compiled pipeline gives the same pixels, and normalisation is part of the model's graph."""

from __future__ import annotations

import pytest
import torch

import shardstream as ss
from shardstream.transforms import Compose, Letterbox, Normalize, RandomAffine, RandomVerticalFlip, Transform, presets

from .samples import batch_of, noise

PIPELINES = [
    presets.train(24),
    presets.eval(28, 24),
    Compose([RandomVerticalFlip(), RandomAffine(20, interpolation="bilinear"), Letterbox(24), Normalize()]),
]


@pytest.mark.parametrize("pipeline", PIPELINES, ids=["train", "eval", "warp"])
def test_a_compiled_pipeline_gives_the_same_pixels(pipeline: Transform) -> None:
    """Draws are 64-bit words, which no graph can hold: they stay outside it, and nothing breaks."""
    batch = batch_of(noise(4, 3, 30, 40))
    compiled = torch.compile(pipeline, backend="eager")
    assert torch.equal(compiled(batch)["image"], pipeline(batch)["image"])
    torch.compiler.reset()


@pytest.mark.parametrize("kind", [dict, ss.Batch])
def test_normalize_is_one_graph(kind: type[dict[str, torch.Tensor]]) -> None:
    """A compiled model takes bytes in and fuses them with its first layer."""
    normalize, batch = Normalize("imagenet", torch.bfloat16), kind({"image": noise(2, 3, 8, 8)})
    compiled = torch.compile(normalize, backend="eager", fullgraph=True)
    assert torch.equal(compiled(batch)["image"], normalize(batch)["image"])
    torch.compiler.reset()
