"""RandomAffine: rotation, translation, scale and shear, one draw per sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from ..errors import OptionError
from ..moving import Move, inverse
from .affine import affine_matrices, warp
from .batch import Images, require_uint8
from .boxes import F64, I64, U64
from .geometry_base import RandomGeometry
from .options import as_range

Degrees = float | Sequence[float]


class RandomAffine(RandomGeometry):
    """Rotated, moved, scaled and sheared about the middle: torchvision's parameters, ranges and pixels.

    ``degrees``: (low, high), a number d means (-d, d). ``translate``: largest share of the width and of the height,
    moved by whole pixels. ``scale``: (low, high). ``shear``: degrees in x as ``degrees``, or four numbers, x then y.
    uint8, batched or ragged, sizes kept; ``fill`` where nothing comes from. Boxes become the smallest upright ones
    around the turned ones, clamped.
    """

    def __init__(
        self,
        degrees: Degrees,
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: Degrees | None = None,
        interpolation: str = "nearest",
        fill: int = 0,
    ) -> None:
        super().__init__()
        self.degrees = _angles(degrees, "degrees", 2, self.name)
        self.translate = (0.0, 0.0) if translate is None else tuple(map(float, translate))
        self.scale = (1.0, 1.0) if scale is None else as_range(scale, "scale", self.name)
        given = _angles(0.0 if shear is None else shear, "shear", 4, self.name)
        self.shear = given if len(given) == 4 else (*given, 0.0, 0.0)
        self.interpolation, self.fill = interpolation, fill
        if len(self.translate) != 2 or not all(0 <= share <= 1 for share in self.translate):
            raise OptionError(
                f"{self.name}: translate is {translate!r}; give two shares from 0 to 1, of width and height"
            )
        if interpolation not in ("nearest", "bilinear") or not 0 <= fill <= 255:
            raise OptionError(
                f"{self.name}: interpolation is {interpolation!r}, fill {fill}; use nearest or bilinear, fill in 0..255"
            )

    def draw(self, sizes: I64, seeds: U64) -> F64:
        """(B, 6): degrees, x and y in whole pixels, factor, degrees of shear in x and y."""
        u = self.uniforms(seeds, 6)
        low = np.array([self.degrees[0], 0, 0, self.scale[0], self.shear[0], self.shear[2]])
        high = np.array([self.degrees[1], 0, 0, self.scale[1], self.shear[1], self.shear[3]])
        params: F64 = low + u * (high - low)
        params[:, 1:3] = np.rint((2 * u[:, 1:3] - 1) * self.translate * sizes[:, ::-1])
        return params

    def move(self, sizes: I64, params: F64) -> Move:
        matrix, middle = _centred(params), sizes[:, ::-1] / 2
        matrix[:, :, 2] += middle - (matrix[:, :, :2] @ middle[:, :, None])[:, :, 0]
        return Move(matrix, sizes, sizes)

    def apply_to(self, images: Images, params: F64) -> Images:
        require_uint8(images, self.name)
        return warp_all(images, inverse(_centred(params)), self.interpolation, self.fill)

    def extra_repr(self) -> str:
        shear = "" if not any(self.shear) else f", shear={self.shear}"
        return (
            f"degrees={self.degrees}, translate={self.translate}, scale={self.scale}{shear}, "
            f"interpolation={self.interpolation!r}, fill={self.fill}"
        )


def warp_all(images: Images, to_source: F64, interpolation: str, fill: int) -> Images:
    """``affine.warp`` of a batch or of ragged images; a filler row without a pixel stays."""
    if isinstance(images, Tensor):
        return warp(images, to_source, interpolation, fill)
    return [
        warp(row[None], to_source[[b]], interpolation, fill)[0] if row.numel() else row for b, row in enumerate(images)
    ]


def _centred(params: F64) -> F64:
    return affine_matrices(params[:, 0], params[:, 1:3], params[:, 3], params[:, 4:])


def _angles(degrees: Degrees, name: str, most: int, who: str) -> tuple[float, ...]:
    """(low, high), or four for x and y; a number d as (-d, d)."""
    given = tuple(map(float, degrees)) if isinstance(degrees, Sequence) else (-float(degrees), float(degrees))
    if len(given) not in (2, most) or any(low > high for low, high in zip(given[::2], given[1::2], strict=True)):
        raise OptionError(f"{who}: {name} is {degrees!r}; give a number of 0 or more, or (low, high)")
    return given
