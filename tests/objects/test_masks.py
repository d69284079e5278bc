"""Masks pixel for pixel as COCO's own library draws them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as official

from shardstream.errors import CorruptData
from shardstream.loaders.masks import decompress, rle_mask, runs_mask
from shardstream.loaders.polygon import polygon_mask

FILES = ["COCO-MINI/annotations/instances_train2017.json", "COCO-MINI/annotations/instances_val2017.json"]


def drawn(polygon: list[float], height: int, width: int) -> np.ndarray:
    return np.asarray(official.decode(official.frPyObjects([polygon], height, width))[:, :, 0], dtype=bool)


@pytest.mark.parametrize("file", FILES)
def test_every_segmentation_of_real_coco_is_the_official_mask(real_data: Path, file: str) -> None:
    """1,363 objects: polygons and the run lengths of crowds."""
    body = json.loads((real_data / "coco" / file).read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in body["images"]}
    for item in body["annotations"]:
        height, width = sizes[item["image_id"]]
        given = item["segmentation"]
        if isinstance(given, dict):
            expected = official.decode(official.frPyObjects(given, height, width)).astype(bool)
            assert np.array_equal(rle_mask({**given, "compressed": None}), expected), item["id"]
            continue
        for polygon in given:
            mine = polygon_mask(np.array(polygon).reshape(-1, 2), height, width)
            assert np.array_equal(mine, drawn(polygon, height, width)), item["id"]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.floats(-20, 60).map(lambda x: round(x, 2)), min_size=6, max_size=24),
    st.integers(1, 40),
    st.integers(1, 40),
)
def test_any_polygon_is_drawn_as_the_official_library_draws_it(xy: list[float], height: int, width: int) -> None:
    """Self-crossing, outside the image, points that repeat."""
    polygon = xy[: len(xy) // 2 * 2]
    assert np.array_equal(polygon_mask(np.array(polygon).reshape(-1, 2), height, width), drawn(polygon, height, width))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(1, 300), st.floats(0, 1))
def test_compressed_text_is_read_as_the_official_library_writes_it(
    seed: int, height: int, width: int, part: float
) -> None:
    """Long and short runs, empty and full masks."""
    mask = np.asfortranarray(np.random.default_rng(seed).random((height, width)) < part)
    rle: Any = official.encode(mask.astype(np.uint8))
    text = rle["counts"].decode()
    assert np.array_equal(rle_mask({"size": rle["size"], "counts": [], "compressed": text}), mask)
    assert sum(decompress(text)) == height * width


def test_runs_that_do_not_fill_their_size_are_refused() -> None:
    """Both numbers are named; so are characters that are no code, and text that stops within a number."""
    with pytest.raises(CorruptData, match=r"covers 5 pixels, its size 2 x 3 has 6"):
        runs_mask([2, 3], 2, 3)
    with pytest.raises(CorruptData, match=r"covers"):
        runs_mask([8, -2], 2, 3)
    with pytest.raises(CorruptData, match=r"character ' '"):
        decompress("0 1")
    with pytest.raises(CorruptData, match=r"middle of a number"):
        decompress("P")
