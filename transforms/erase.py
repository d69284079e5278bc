"""RandomErasing: a rectangle of each sample's own painted over, after Normalize."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..counted import mix
from ..errors import OptionError
from .base import RandomTransform
from .batch import Batch, Images
from .boxes import I64, TRIES, U64
from .memory import copy_of
from .noise import normal_levels, pixel_noise
from .options import as_probability, as_range
from .rows import each

_NOISE = 1
CPU_PIXELS = 2**16
"""Pixels painted at a time, so that their noise stays in a CPU's cache."""


class RandomErasing(RandomTransform):
    """A rectangle erased with probability ``p`` (Zhong et al. 2020): torchvision's boxes, one draw per sample.

    ``scale``: share of the area; ``ratio``: height / width. ``value``: a number, one per channel, or "random", N(0, 1)
    of each pixel and channel. Any dtype, batched or ragged; "random" needs floats. Placed after Normalize, 0 is the
    mean. Boxes stay; a batch with a ``body`` crop is refused, since it would not be erased where the context is.
    """

    normal: Tensor

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: float | Sequence[float] | str = 0.0,
    ) -> None:
        super().__init__()
        self.p = as_probability(p, self.name)
        self.scale, self.ratio = as_range(scale, "scale", self.name), as_range(ratio, "ratio", self.name)
        if self.scale[1] > 1 or (isinstance(value, str) and value != "random"):
            raise OptionError(
                f"{self.name}: scale is {self.scale}, value {value!r}; give scale within 0..1, and a number, one for "
                "each channel, or 'random'"
            )
        self.values = _numbers(value)
        self.register_buffer("normal", None if self.values else normal_levels(), persistent=False)

    def draw(self, sizes: I64, seeds: U64) -> I64:
        """(B, 5): x0 y0 x1 y1, empty where nothing is erased, and a word for the noise.

        torchvision's algorithm (RandomErasing.make_params), all tries at once: the first rectangle that is smaller
        than the image both ways wins; where none is, nothing is erased.
        """
        u = self.uniforms(seeds, 1 + TRIES * 4)
        area, aspect, top, left = u[:, 1:].reshape(-1, TRIES, 4).transpose(2, 0, 1)
        area = sizes.prod(1)[:, None] * (self.scale[0] + area * (self.scale[1] - self.scale[0]))
        low, high = np.log(self.ratio)
        aspect = np.exp(low + aspect * (high - low))
        h, w = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
        fits = (h < sizes[:, :1]) & (w < sizes[:, 1:])
        y, x = np.floor(top * (sizes[:, :1] - h + 1)), np.floor(left * (sizes[:, 1:] - w + 1))
        first = np.stack([x, y, x + w, y + h], -1)[np.arange(len(u)), fits.argmax(1)]
        boxes = np.where((fits.any(1) & (u[:, 0] < self.p))[:, None], first, 0).astype(np.int64)
        return np.concatenate([boxes, mix(seeds, self.stage, _NOISE).view(np.int64)[:, None]], axis=1)

    def apply_to(self, images: Images, params: NDArray[Any]) -> Images:
        return each(images, params, self._erase)

    def forward(self, batch: Batch) -> Batch:
        if "body" in batch:
            raise OptionError(f"{self.name}: the batch has 'body' crops, which would keep what is erased in 'image'")
        return super().forward(batch)

    def _erase(self, images: Tensor, params: NDArray[Any]) -> Tensor:
        channels, size = images.shape[1], images.shape[2] * images.shape[3]
        rows, places = (torch.from_numpy(part).to(images.device) for part in _erased(params, images.shape[3]))
        words = torch.from_numpy(params[:, 4].copy()).to(images.device)
        out = copy_of(images)
        step = CPU_PIXELS if images.device.type == "cpu" else max(1, len(rows))
        for row, place in zip(torch.split(rows, step), torch.split(places, step), strict=True):
            for channel, value in enumerate(self._values(images, words, row, place)):
                index = row * (channels * size) + place
                out.view(-1)[channel * size :].index_copy_(0, index, value.to(out.dtype))
        return out

    def _values(self, images: Tensor, words: Tensor, row: Tensor, place: Tensor) -> Sequence[Tensor]:
        """What each channel of the pixels (n,) is painted with, (n,)."""
        channels = images.shape[1]
        if not self.values:
            if not images.is_floating_point():
                raise OptionError(f"{self.name}('random'): 'image' is {images.dtype}; put it after Normalize")
            return pixel_noise(self.normal.to(images.device), words[row], place, channels)
        values = self.values * channels if len(self.values) == 1 else self.values
        if len(values) != channels:
            raise OptionError(f"{self.name}: value has {len(values)} numbers, 'image' {channels} channel(s)")
        return [torch.full((), value, device=images.device).expand(len(row)) for value in values]

    def extra_repr(self) -> str:
        value = self.values or "random"
        return f"p={self.p}, scale={self.scale}, ratio={self.ratio}, value={value}"


def _numbers(value: float | Sequence[float] | str) -> tuple[float, ...]:
    """One number, or one for each channel; none for "random"."""
    if isinstance(value, str):
        return ()
    return tuple(map(float, value)) if isinstance(value, Sequence) else (float(value),)


def _erased(params: I64, width: int) -> tuple[I64, I64]:
    """Row and place (y * width + x) of every erased pixel, made from the rectangles' lines."""
    x0, y0, x1, y1 = params[:, :4].T
    row = np.repeat(np.arange(len(params)), y1 - y0)  # of each line
    y = _counted_up(y0, y1 - y0)
    return np.repeat(row, (x1 - x0)[row]), _counted_up(y * width + x0[row], (x1 - x0)[row])


def _counted_up(starts: I64, counts: I64) -> I64:
    """``start, start + 1, ...``, ``count`` of them, for each pair, one after another."""
    made: I64 = np.repeat(starts - (np.cumsum(counts) - counts), counts)
    made += np.arange(len(made))
    return made
