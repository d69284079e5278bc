"""The contract between decode and transforms: which part of each image is wanted, and at what size.

A loader asks the transform for a plan before it decodes, so a crop can be drawn while the image is still bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError

Interpolation = Literal["bilinear", "bicubic", "nearest"]
INTERPOLATIONS: tuple[str, ...] = get_args(Interpolation)


@dataclass(frozen=True, slots=True, eq=False)
class DecodePlan:
    """The geometry to decode for each of B images; every row becomes ``out_hw``.

    ``isolated`` says what a resampling filter may see. True, "crop first, then resize": pixels outside the crop
    contribute nothing, and the crop has whole coordinates. False, "a window of the resized whole image": scale the
    image so that the crop would take ``out_hw``, that is to ``round(W * out_w / (x1 - x0))`` by
    ``round(H * out_h / (y1 - y0))``, and cut the window whose corner is ``round(x0 * out_w / (x1 - x0))``,
    ``round(y0 * out_h / (y1 - y0))``. Pillow's ``resize(size, box=...)`` only approximates this: its box is float32
    and it may swap its two 8-bit passes (up to 25 levels with bicubic on tall images).
    """

    crop_xyxy: NDArray[np.float64]
    """(B, 4) source pixels, x0 y0 x1 y1, edges not centres, inside the image."""
    out_hw: tuple[int, int]
    """Height and width of every decoded row."""
    flip: NDArray[np.bool_]
    """(B,) mirror left-right after resizing."""
    interpolation: str
    """``bilinear`` or ``bicubic`` (both antialiased, as Pillow's are) or ``nearest`` (Pillow's pixel centres)."""
    isolated: bool

    def __post_init__(self) -> None:
        rows = len(self.crop_xyxy)
        if self.crop_xyxy.shape != (rows, 4) or self.flip.shape != (rows,):
            raise OptionError(
                f"a plan needs crop_xyxy (B, 4) and flip (B,); got {self.crop_xyxy.shape} and {self.flip.shape}"
            )
        if self.interpolation not in INTERPOLATIONS:
            raise OptionError(f"interpolation is {self.interpolation!r}; use one of {', '.join(INTERPOLATIONS)}")


@runtime_checkable
class DecodePlanner(Protocol):
    """A transform that knows its geometry from keys, sizes and seeds alone."""

    def decode_plan(
        self, keys: Sequence[str], sizes: NDArray[np.int64], seeds: NDArray[np.uint64]
    ) -> DecodePlan | None:
        """The plan for B images of ``sizes`` (B, 2) h, w with ``seeds`` (B,); None: decode at full size.

        Row by row a pure function of that row's key, size and seed.
        """
        ...


def unflipped(boxes: NDArray[np.float64], out_hw: tuple[int, int], interpolation: str, *, isolated: bool) -> DecodePlan:
    """A plan that mirrors no row: flips are cheap on the device, and stay there."""
    return DecodePlan(boxes, out_hw, np.zeros(len(boxes), dtype=np.bool_), interpolation, isolated)
