"""MixUp and CutMix: rows of a batch mixed with other rows, pixels and labels alike.

    out = lam x + (1 - lam) x[partner]       MixUp (Zhang et al. 2018)
    out = x, with a box of x[partner]        CutMix (Yun et al. 2019); lam is the share that is left of x
    label = lam y + (1 - lam) y[partner]     (B, classes) float32

These are the one exception to a row depending on itself alone: partner, lam and box come from the batch's seeds and
keys, which hold (seed, epoch, this rank's samples), never from a generator's position. So a resumed epoch mixes the
same rows, and another world size others.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor

from ..errors import OptionError
from .base import Staged
from .batch import Batch, Images, images_of, require_rows, seeds_of, with_images
from .eager import eager
from .mixing_draw import Mixture, Recipe, draw
from .mixing_labels import MixedLabels, classes_of, mixed_rows
from .mixing_partners import MODES
from .mixing_pixels import mixed_pixels
from .options import as_probability

PER_IMAGE = (
    *("label", "categories", "vad", "boxes", "box", "keypoints", "masks"),
    *("caption", "captions", "question", "answers"),
)
"""Fields that say what is in an image; left out of the mixing they would be wrong."""


class _Mixing(Staged):
    """What MixUp and CutMix share: options, labels, and which rows meet."""

    def __init__(self, recipe: Recipe, num_classes: int | None, labels: MixedLabels) -> None:
        super().__init__()
        if recipe.mode not in MODES:
            raise OptionError(f"{self.name}: mode is {recipe.mode!r}; use one of {', '.join(MODES)}")
        for alpha in (recipe.mixup, recipe.cutmix):
            if alpha is not None and not alpha > 0:
                raise OptionError(f"{self.name}: alpha is {alpha!r}; give a number above 0")
        if num_classes is not None and num_classes < 1:
            raise OptionError(f"{self.name}: num_classes is {num_classes}; give 1 or more")
        as_probability(recipe.p, self.name)
        as_probability(recipe.cut_share, self.name)
        self.recipe, self.num_classes, self.labels = recipe, num_classes, labels

    def bind(self, statistics: Mapping[str, Any]) -> Self:
        """A copy that knows the number of classes from the dataset's label histogram, where it was not given."""
        classes = classes_of(statistics.get("histograms", {}).get(self.labels.field))
        if self.num_classes is not None or classes is None:
            return self
        bound = copy.deepcopy(self)
        bound.num_classes = classes
        return bound

    @eager
    def forward(self, batch: Batch) -> Batch:
        self._require_fields(batch)
        images = self._tensor(images_of(batch, self.name), "image")
        labels = self.labels.dense(batch[self.labels.field], len(images), self.num_classes, self.name)
        seeds = seeds_of(batch, len(images), self.name)
        drawn = draw(self.recipe, list(batch["key"]), seeds, self.stage, (images.shape[2], images.shape[3]))
        out = with_images(batch, mixed_pixels(images, drawn))
        if "body" in batch:
            bodies = require_rows(images_of(batch, self.name, "body"), len(images), "body", self.name)
            out["body"] = mixed_pixels(self._tensor(bodies, "body"), drawn)
        self._mix_labels(batch, out, labels, drawn)
        return out

    def _mix_labels(self, batch: Batch, out: Batch, labels: Tensor, drawn: Mixture) -> None:
        partner, share = (torch.from_numpy(part).to(labels.device) for part in (drawn.partner, drawn.share))
        out[self.labels.field] = mixed_rows(labels, partner, share)
        for field in self.labels.also:
            if not isinstance(batch[field], Tensor) or not batch[field].is_floating_point():
                raise OptionError(f"{self.name}: {field!r} is no tensor of floats; only those can be averaged along")
            out[field] = mixed_rows(batch[field], partner, share)

    def _require_fields(self, batch: Batch) -> None:
        mixed = (self.labels.field, *self.labels.also)
        for field in (*mixed, "key"):
            if field not in batch:
                raise OptionError(f"{self.name}: the batch has no {field!r} field; it has {sorted(batch)}")
        left = [field for field in PER_IMAGE if field in batch and field not in mixed]
        if self.recipe.cutmix is not None and "body" in batch:
            left.append("body")
        if left:
            raise OptionError(
                f"{self.name}: the batch has {', '.join(map(repr, left))}, which would belong to a part of a mixed image"
                " only; average floats along with MixedLabels(also=...), or use a view without it"
            )

    def _tensor(self, images: Images, field: str) -> Tensor:
        if not isinstance(images, Tensor):
            raise OptionError(f"{self.name}: {field!r} has several sizes; crop or resize to one before mixing")
        if self.recipe.mixup is not None and not images.is_floating_point():
            raise OptionError(f"{self.name}: {field!r} is {images.dtype}; averages need floats: put it after Normalize")
        return images

    def extra_repr(self) -> str:
        drawn = {"mixup": self.recipe.mixup, "cutmix": self.recipe.cutmix}
        alphas = ", ".join(f"{name}={alpha}" for name, alpha in drawn.items() if alpha is not None)
        return f"{alphas}, num_classes={self.num_classes}, mode={self.recipe.mode!r}, p={self.recipe.p}, {self.labels}"


class MixUp(_Mixing):
    """Two images and their labels averaged, with lam drawn from Beta(alpha, alpha).

    Floats (B, C, H, W) in and out, after Normalize; ``label`` (B,) whole numbers, with ``num_classes`` given or bound,
    or (B, classes), becomes float32 (B, classes). ``mode``: one lam for the "batch", each "pair" or each "elem"ent;
    ``p``: the share of them that is mixed. A ``body`` crop is averaged along. Rows of one key never meet; fillers
    stay, with an empty label. Raises OptionError for fields that say what is in the image and would not be mixed.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        num_classes: int | None = None,
        mode: str = "batch",
        p: float = 1.0,
        labels: MixedLabels = MixedLabels(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__(Recipe(alpha, None, mode, p, 0.0), num_classes, labels)


class CutMix(_Mixing):
    """A box of one image pasted into another; the labels are averaged by area. Any dtype; else as MixUp.

    The box has ``1 - lam`` of the area, lam from Beta(alpha, alpha), about a uniform pixel, and is clipped at the rim.
    A batch with ``body`` crops is refused: the box of the context is nowhere in the body.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        num_classes: int | None = None,
        mode: str = "batch",
        p: float = 1.0,
        labels: MixedLabels = MixedLabels(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__(Recipe(None, alpha, mode, p, 1.0), num_classes, labels)


class MixUpOrCutMix(_Mixing):
    """MixUp or, with probability ``cutmix_share``, CutMix, chosen for each batch, pair or element, as timm's Mixup."""

    def __init__(
        self,
        mixup_alpha: float = 0.2,
        cutmix_alpha: float = 1.0,
        num_classes: int | None = None,
        mode: str = "batch",
        p: float = 1.0,
        cutmix_share: float = 0.5,
        labels: MixedLabels = MixedLabels(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__(Recipe(mixup_alpha, cutmix_alpha, mode, p, cutmix_share), num_classes, labels)
