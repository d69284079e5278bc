"""What one epoch delivered, compared with what it should have."""

from __future__ import annotations

import os
import zlib
from collections import Counter
from typing import Any

import numpy as np
import torch
from process_tree import pss

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, as torchvision's reference normalises."""


class Check:
    """Looks at each batch of an epoch. ``folder/expected`` holds what a plain reading of the same images gives:
    ``labels.npy`` (N,), for eval ``eval.npy`` (classes, 3, 224, 224) by Pillow, for read and cifar ``crc.npy`` (N,).
    """

    def __init__(self, folder: str, recipe: str) -> None:
        self._recipe, self._expected = recipe, os.path.join(folder, "expected", recipe)
        self._labels: Counter[int] = Counter()
        self._crc: Counter[int] = Counter()
        self._kinds: Counter[str] = Counter()
        self._sums: list[float] = []
        self._differences: list[tuple[float, float]] = []
        self._pss = self._batches = self._nbytes = 0
        self._reference = self._load("eval") if recipe == "eval" else None

    def _load(self, name: str) -> Any:
        return np.load(os.path.join(self._expected, f"{name}.npy"))

    def add(self, images: Any, labels: Any) -> None:
        """Count one batch."""
        self._batches += 1
        if self._batches % 8 == 1:
            self._pss = max(self._pss, pss())
        if self._recipe == "read":
            self._crc.update(zlib.crc32(data) for data in images)
            self._nbytes += sum(len(data) for data in images)
            return
        if not torch.is_tensor(images) or not torch.is_tensor(labels) or labels.shape != (len(images),):
            raise TypeError(
                f"a batch is two tensors, of images and of one label each; got {type(images)}, {type(labels)}"
            )
        if images.device.type != "cpu":
            raise TypeError(f"images are on {images.device}, the others' on the CPU")
        self._kinds[f"{tuple(images.shape[1:])} {images.dtype}"] += 1
        self._labels.update(labels.tolist())
        self._sums += images.double().mean((1, 2, 3)).tolist()
        if self._recipe == "cifar":
            self._crc.update(zlib.crc32(np.ascontiguousarray(image.permute(1, 2, 0).numpy())) for image in images)
        if self._reference is not None:
            self._differences += [self._difference(image, label) for image, label in zip(images, labels, strict=True)]

    def _difference(self, image: Any, label: Any) -> tuple[float, float]:
        """Mean and largest absolute difference from Pillow's, in grey levels."""
        levels = (image * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]) * 255
        apart = np.abs(levels.double().numpy() - self._reference[int(label)])
        return float(apart.mean()), float(apart.max())

    def result(self) -> dict[str, Any]:
        """What was found; raises ValueError where it is not an epoch of the expected images."""
        found: dict[str, Any] = {"batches": self._batches, "pss_mb": round(self._pss / 1e6)}
        if self._recipe in ("read", "cifar"):
            self._same(self._crc, "crc", "contents")
            found["same_bytes"] = True
        if self._recipe == "read":
            return found | {"images": self._crc.total(), "bytes": self._nbytes}
        self._same(self._labels, "labels", "labels")
        if len(self._kinds) != 1:
            raise ValueError(f"batches of one epoch differ: {dict(self._kinds)}")
        found |= {"images": self._labels.total(), "kind": next(iter(self._kinds)), "mean": float(np.mean(self._sums))}
        if self._differences:
            means, largest = np.array(self._differences).T
            found["levels_from_pillow"] = {
                "mean": float(means.mean()),
                "worst_image": float(means.max()),
                "largest": float(largest.max()),
            }
        return found

    def _same(self, seen: Counter[int], name: str, what: str) -> None:
        expected = Counter(self._load(name).tolist())
        if seen != expected:
            lost, more = (expected - seen).total(), (seen - expected).total()
            raise ValueError(f"{what} of the epoch are not those of the set: {lost} missing, {more} that should not be")
