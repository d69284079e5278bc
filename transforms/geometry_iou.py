"""RandomIoUCrop: a window that holds objects, and how much of one at least is drawn; SSD's augmentation.

for each image, again and again:   an option of ``options``: 1 or more leaves the image whole
                                   ``trials`` windows; the first in shape, with the centre of an object in it,
                                   of which one overlaps it by the option's IoU
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..counted import mix, uniform
from ..errors import OptionError
from ..moving import windowed
from .base import Staged
from .batch import Batch, images_of, seeds_of, sizes_of, stacked
from .boxes import F64, I64, U64
from .eager import eager
from .geometry_base import with_moved
from .geometry_objects import kept_objects
from .options import as_range

OPTIONS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
ROUNDS = 64
"""Options drawn before an image that no window suits stays whole; with the default ones 1 in 19,000 comes so far."""


class RandomIoUCrop(Staged):
    """A window with ``scale`` of the width and of the height, its width / height in ``ratio``, around objects.

    torchvision's (Liu et al. 2016), one draw per sample. Any dtype, (B, C, h, w) or ragged in, ragged out. Objects whose
    centre is not in the window leave the batch with all their fields, the others are cut at its rim. Images without an
    object stay whole. On a GPU the boxes have to be waited for. Raises OptionError for a batch without ``boxes``.
    """

    def __init__(
        self,
        scale: Sequence[float] = (0.3, 1.0),
        ratio: Sequence[float] = (0.5, 2.0),
        options: Sequence[float] = OPTIONS,
        trials: int = 40,
    ) -> None:
        super().__init__()
        self.scale, self.ratio = as_range(scale, "scale", self.name), as_range(ratio, "ratio", self.name)
        self.options, self.trials = tuple(map(float, options)), trials
        if self.scale[1] > 1 or not options or min(options) < 0 or trials < 1:
            raise OptionError(
                f"{self.name}: scale is {self.scale}, options {self.options}, trials {trials}; give scale within 0..1, "
                "one option or more of 0 or more, and one trial or more"
            )

    def draw(self, sizes: I64, seeds: U64, boxes: F64, offsets: I64) -> tuple[I64, NDArray[np.bool_]]:
        """Windows (B, 4) x0 y0 x1 y1 in images of ``sizes`` (B, 2) h, w, and which objects (M,) have their centre inside."""
        drawn = [
            self._around(boxes[start:end], size[::-1], int(seed))
            for size, seed, start, end in zip(sizes, seeds, offsets[:-1], offsets[1:], strict=True)
        ]
        windows = np.array([window for window, _ in drawn], dtype=np.int64).reshape(-1, 4)
        return windows, np.concatenate([np.zeros(0, dtype=np.bool_), *(inside for _, inside in drawn)])

    def _around(self, boxes: F64, wh: I64, seed: int) -> tuple[I64, NDArray[np.bool_]]:
        count = 1 + 4 * self.trials
        for turn in range(ROUNDS if len(boxes) else 0):
            u = uniform(mix(seed, self.stage, np.arange(turn * count, (turn + 1) * count, dtype=np.uint64)))
            least = self.options[int(u[0] * len(self.options))]
            if least >= 1:
                break
            windows = self._windows(wh, u[1:].reshape(self.trials, 4))
            inside, overlap = _inside(windows, boxes), _overlaps(windows, boxes)
            fits = self._in_shape(windows) & (np.where(inside, overlap, -1.0).max(1) >= least)
            if fits.any():
                return windows[fits.argmax()], inside[fits.argmax()]
        return np.array([0, 0, *wh]), np.ones(len(boxes), dtype=np.bool_)

    def _windows(self, wh: I64, u: F64) -> I64:
        """(trials, 4), whole pixels."""
        size = np.floor((self.scale[0] + (self.scale[1] - self.scale[0]) * u[:, :2]) * wh)
        corner = np.floor((wh - size) * u[:, 2:])
        return np.concatenate([corner, corner + size], axis=1).astype(np.int64)

    def _in_shape(self, windows: I64) -> NDArray[np.bool_]:
        width, height = (windows[:, 2:] - windows[:, :2]).T
        aspect = width / np.maximum(height, 1)
        fits: NDArray[np.bool_] = (height > 0) & (width > 0) & (self.ratio[0] <= aspect) & (aspect <= self.ratio[1])
        return fits

    @eager
    def forward(self, batch: Batch) -> Batch:
        if "boxes" not in batch or "box_offsets" not in batch:
            raise OptionError(f"{self.name}: the batch has no 'boxes' to crop around; it has {sorted(batch)}")
        images = images_of(batch, self.name)
        sizes, boxes = sizes_of(images), batch["boxes"]
        offsets = batch["box_offsets"].cpu().numpy()
        seeds = seeds_of(batch, len(images), self.name)
        windows, inside = self.draw(sizes, seeds, boxes.cpu().double().numpy(), offsets)
        rows = [
            image[:, y0:y1, x0:x1].contiguous()
            for image, (x0, y0, x1, y1) in zip(images, windows.tolist(), strict=True)
        ]
        after = (windows[:, 2:] - windows[:, :2])[:, ::-1]
        cut = with_moved(batch, stacked(rows) if rows else images, windowed(windows.astype(np.float64), sizes, after))
        return kept_objects(cut, torch.from_numpy(inside).to(boxes.device))

    def extra_repr(self) -> str:
        return f"scale={self.scale}, ratio={self.ratio}, options={self.options}, trials={self.trials}"


def _inside(windows: I64, boxes: F64) -> NDArray[np.bool_]:
    """(T, M): which boxes have their centre within which windows."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    low, high = windows[:, None, :2] < centre, centre < windows[:, None, 2:]
    return np.asarray((low & high).all(-1), dtype=np.bool_)


def _overlaps(windows: I64, boxes: F64) -> F64:
    """(T, M): area of intersection over area of union; 0 where neither has any."""
    low, high = np.maximum(windows[:, None, :2], boxes[:, :2]), np.minimum(windows[:, None, 2:], boxes[:, 2:])
    common = (high - low).clip(min=0).prod(-1)
    areas = (windows[:, 2:] - windows[:, :2]).prod(1)[:, None] + (boxes[:, 2:] - boxes[:, :2]).prod(1)
    union = areas - common
    overlap: F64 = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return overlap
