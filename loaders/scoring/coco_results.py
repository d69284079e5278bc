"""Predictions on our batches, collected as official COCO result files: original ids and original pixels."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ...errors import MissingExtra, OptionError
from ..base import Dataset
from .unmove import Window, windows

Labels = Literal["category_id", "contiguous", "contiguous+1"]
Prediction = Mapping[str, Any]


class CocoResults:
    """Results of one split, image by image; remembers images without a prediction too, for those count.

    Each ``add_*`` takes a batch and one prediction per row: a dict as torchvision's detectors return it, coordinates
    in pixels of ``batch["image"]``. Rows that are not valid are skipped. An image added twice is an error.
    """

    def __init__(self, ds: Dataset, labels: Labels = "category_id") -> None:
        """``labels`` says what predicted labels mean, as in ``Batch.targets``."""
        if labels not in ("category_id", "contiguous", "contiguous+1"):
            raise OptionError(f"labels={labels!r} is not one of 'category_id', 'contiguous', 'contiguous+1'.")
        self._ids = tuple(ds.manifest.class_ids.get("labels", ()))
        self._labels = labels
        self.by_image: dict[int, list[dict[str, Any]]] = {}

    def __len__(self) -> int:
        """Results over all images."""
        return sum(map(len, self.by_image.values()))

    def add_boxes(self, batch: Mapping[str, Any], predictions: Sequence[Prediction]) -> None:
        """``boxes`` (n, 4) XYXY, ``scores`` (n,), ``labels`` (n,)."""
        self._add(batch, predictions, lambda p, window: [{"bbox": box} for box in window.boxes(_array(p["boxes"]))])

    def add_masks(self, batch: Mapping[str, Any], predictions: Sequence[Prediction], threshold: float = 0.5) -> None:
        """``masks`` (n, 1, H, W) or (n, H, W), probabilities or bool, and what ``add_boxes`` takes, boxes optional."""

        def fields(p: Prediction, window: Window) -> list[dict[str, Any]]:
            masks = _array(p["masks"])
            masks = masks.reshape(-1, *masks.shape[-2:]) > threshold
            return [{"segmentation": _encode(window.mask(mask))} for mask in masks]

        self._add(batch, predictions, fields)

    def add_keypoints(self, batch: Mapping[str, Any], predictions: Sequence[Prediction]) -> None:
        """``keypoints`` (n, 17, 3) pixel indices x, y and a third value that is written as it is; scores, labels."""
        self._add(
            batch,
            predictions,
            lambda p, window: [{"keypoints": row} for row in window.keypoints(_array(p["keypoints"]))],
        )

    def add_captions(self, batch: Mapping[str, Any], captions: Sequence[str]) -> None:
        """One text per row."""
        if len(captions) != len(batch["key"]):
            raise OptionError(f"{len(captions)} captions for a batch of {len(batch['key'])} rows; give one per row.")
        for row, text in enumerate(captions):
            if batch["valid"][row]:
                self._put(int(batch["image_id"][row]), [{"caption": text}])

    def merge(self, other: CocoResults) -> None:
        """Take over another rank's results; raises OptionError for an image that both have."""
        for image, results in other.by_image.items():
            self._put(image, [{k: v for k, v in result.items() if k != "image_id"} for result in results])

    def gather(self) -> CocoResults:
        """On every rank of an initialised process group, the results of all; without one, these."""
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return self
        parts: list[dict[int, list[dict[str, Any]]]] = [{} for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather_object(parts, self.by_image)
        self.by_image = {}
        for part in parts:
            for image, results in part.items():
                self._put(image, results)
        return self

    def as_list(self) -> list[dict[str, Any]]:
        """The official result list, by image id."""
        return [result for image in sorted(self.by_image) for result in self.by_image[image]]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the official result file."""
        Path(path).write_text(json.dumps(self.as_list()))

    def _add(
        self,
        batch: Mapping[str, Any],
        predictions: Sequence[Prediction],
        fields: Callable[[Prediction, Window], list[dict[str, Any]]],
    ) -> None:
        if len(predictions) != len(batch["key"]):
            raise OptionError(
                f"{len(predictions)} predictions for a batch of {len(batch['key'])} rows; give one per row."
            )
        for row, window in enumerate(windows(batch)):
            if not batch["valid"][row]:
                continue
            made, scores = fields(predictions[row], window), _array(predictions[row]["scores"]).tolist()
            labels = self._categories(_array(predictions[row]["labels"]).tolist())
            if not len(made) == len(scores) == len(labels):
                raise OptionError(
                    f"image {int(batch['image_id'][row])}: {len(made)} shapes, {len(scores)} scores, {len(labels)} labels."
                )
            self._put(
                int(batch["image_id"][row]),
                [{"category_id": c, **m, "score": float(s)} for m, s, c in zip(made, scores, labels, strict=True)],
            )

    def _put(self, image: int, results: Iterable[dict[str, Any]]) -> None:
        if image in self.by_image:
            raise OptionError(f"image {image} was added before: every image is scored once. Was a batch added twice?")
        self.by_image[image] = [{"image_id": image, **result} for result in results]

    def _categories(self, labels: Sequence[int]) -> list[int]:
        first = 1 if self._labels == "contiguous+1" else 0
        known = set(self._ids) if self._labels == "category_id" else range(first, first + len(self._ids))
        wrong = next((label for label in labels if label not in known), None)
        if wrong is not None:
            raise OptionError(
                f"predicted label {wrong} is none of the {len(self._ids)} classes in the convention {self._labels!r};"
                " pass labels= as the model was trained (Batch.targets)."
            )
        return [int(v) if self._labels == "category_id" else self._ids[v - first] for v in labels]


def load_results(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """An official result file as a list; raises OptionError for what is none."""
    try:
        found = json.loads(Path(path).read_text())
    except ValueError as error:
        raise OptionError(f"{path} is no JSON: {error}.") from error
    if not isinstance(found, list) or not all(isinstance(entry, dict) and "image_id" in entry for entry in found):
        raise OptionError(f"{path} is no list of results with an image_id each.")
    return found


def _array(values: Any) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)


def _encode(mask: np.ndarray) -> dict[str, Any]:
    """Compressed run lengths with text counts, which JSON can hold."""
    try:
        from pycocotools import mask as official
    except ImportError as error:
        raise MissingExtra("mask results need pycocotools: pip install 'shardstream[eval]'.") from error
    rle: dict[str, Any] = official.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}
