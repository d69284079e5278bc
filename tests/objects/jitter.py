"""Result files made from ground truth: moved, dropped, doubled and false, so that every mistake moves the score."""

from __future__ import annotations

from typing import Any

import numpy as np


def jittered(truth: dict[str, Any], metric: str, seed: int = 0) -> list[dict[str, Any]]:
    """Official results of ``bbox``, ``segm`` or ``keypoints`` for an official dictionary, boxes within the images."""
    rng = np.random.default_rng(seed)
    sizes = {image["id"]: (image["width"], image["height"]) for image in truth["images"]}
    ids = [category["id"] for category in truth["categories"]]
    results: list[dict[str, Any]] = []
    for entry in truth["annotations"]:
        if rng.random() < 0.15 or (metric == "keypoints" and not entry["num_keypoints"]):
            continue
        copies = 2 if rng.random() < 0.1 else 1
        for _ in range(copies):
            category = int(rng.choice(ids)) if rng.random() < 0.1 else entry["category_id"]
            results.append(_result(entry, metric, category, sizes[entry["image_id"]], rng))
    return results


def _result(
    entry: dict[str, Any], metric: str, category: int, size: tuple[int, int], rng: np.random.Generator
) -> dict[str, Any]:
    width, height = size
    x, y, w, h = entry["bbox"]
    dx, dy, dw, dh = rng.normal(0, 0.06, 4)
    x0, y0 = max(0.0, x + dx * w), max(0.0, y + dy * h)
    x1, y1 = min(float(width), x + w + dw * w), min(float(height), y + h + dh * h)
    box = [x0, y0, max(1.0, x1 - x0), max(1.0, y1 - y0)]
    made: dict[str, Any] = {
        "image_id": entry["image_id"],
        "category_id": category,
        "score": round(float(rng.random()), 4),
    }
    if metric == "bbox":
        return {**made, "bbox": box}
    if metric == "keypoints":
        points = np.reshape(entry["keypoints"], (17, 3)).astype(float)
        points[:, :2] += rng.normal(0, 0.03, (17, 2)) * np.sqrt(max(entry["area"], 1.0))
        return {**made, "keypoints": [float(v) for v in points.ravel()]}
    from pycocotools import mask as official

    given = entry["segmentation"]
    whole = official.decode(official.frPyObjects(given, height, width)).reshape(height, width, -1).max(2)
    shift = (round(float(rng.normal(0, 0.05)) * h), round(float(rng.normal(0, 0.05)) * w))
    rle: Any = official.encode(np.asfortranarray(np.roll(whole, shift, (0, 1))))
    return {**made, "segmentation": {"size": [height, width], "counts": rle["counts"].decode()}}
