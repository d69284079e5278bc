"""What every transform is: a module from batch to batch; a random one draws from per-sample seeds, then applies.

    seeds (B,) ── counted.mix(seed, stage, i) ──> draw: parameters (B, ...) in float64 on the CPU
    images     ── apply(images, parameters) ────> images, on whatever device they are

A stage is the class's name and how many of that class come before it in the Compose: two flips differ, and a
transform added beside a crop does not move the crop.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..counted import mix, text_word, uniform
from ..errors import OptionError
from .batch import Batch, Images, images_of, require_rows, seeds_of, sizes_of, with_images
from .eager import eager


class Transform(nn.Module):
    """A module that takes a batch and returns a batch; the batch it was given keeps its fields."""

    @property
    def name(self) -> str:
        """The class's name, for messages and stages."""
        return type(self).__name__

    def bind(self, statistics: Mapping[str, Any]) -> Transform:  # noqa: ARG002 - most have nothing to bind
        """The same transform with a dataset's statistics filled in where it asked for them."""
        return self


class Staged(Transform):
    """A transform that draws, so that each of its class in one pipeline is a stage of its own."""

    occurrence: int = 0

    def at(self, occurrence: int) -> Self:
        """The same transform as the n-th of its class (from 0) in a pipeline: a stage of its own."""
        if occurrence == self.occurrence:
            return self
        staged = copy.deepcopy(self)
        staged.occurrence = occurrence
        return staged

    @property
    def stage(self) -> int:
        """The stage as a word of counted randomness."""
        return text_word(f"{self.name}/{self.occurrence}")


class RandomTransform(Staged, ABC):
    """Draws per-sample parameters from counted randomness, then applies them to the whole batch.

    A row of the result depends on that row's pixels, size and seed, on nothing else.
    """

    fields: tuple[str, ...] = ("image",)
    """Which pixels change, by one set of parameters: ``image``, and of the others those that the batch has."""

    def uniforms(self, seeds: NDArray[np.uint64], count: int) -> NDArray[np.float64]:
        """(B, count) numbers in [0, 1): ``mix(seed, stage, i)`` for i in 0..count-1."""
        return uniform(mix(seeds[:, None], self.stage, np.arange(count, dtype=np.uint64)))

    @abstractmethod
    def draw(self, sizes: NDArray[np.int64], seeds: NDArray[np.uint64]) -> NDArray[Any]:
        """Parameters (B, ...) for images of ``sizes`` (B, 2) h, w."""

    @abstractmethod
    def apply_to(self, images: Images, params: NDArray[Any]) -> Images:
        """The images with ``params`` applied row by row."""

    @eager
    def forward(self, batch: Batch) -> Batch:
        images = images_of(batch, self.name)
        params = self.draw(sizes_of(images), seeds_of(batch, len(images), self.name))
        changed = with_images(batch, self.apply_to(images, params))
        for field in self.fields:
            if field != "image" and field in batch:
                others = require_rows(images_of(batch, self.name, field), len(images), field, self.name)
                changed[field] = self.apply_to(others, params)
        return changed


def decoded_to_plan(batch: Batch, out_hw: tuple[int, int] | None, who: str) -> bool:
    """Whether the loader has done this geometry while decoding: the batch then has a ``crop`` field.

    Raises OptionError where the pixels have another size than ``out_hw`` (None: any): a plan of another transform.
    """
    if batch.get("crop") is None:
        return False
    image = batch["image"]
    if out_hw is not None and tuple(getattr(image, "shape", ())[-2:]) != out_hw:
        raise OptionError(
            f"{who}: the batch was decoded with a crop to {tuple(getattr(image, 'shape', ('ragged',)))[-2:]}, "
            f"not to {out_hw}; give the loader this transform, or remove the batch's 'crop' field"
        )
    return True
