"""The operations of a policy on groups of rows: every row that drew an operation goes through it together.

steps (B, S, 2): operation, magnitude      step 1: rotate rows 0 3 7, equalize rows 1 4 ..., step 2: ...
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from torch import Tensor

from . import colour_ops
from .affine import warp
from .boxes import F64
from .memory import copy_of
from .policy_space import NAMES
from .rows import Kernel, change


@dataclass(frozen=True, slots=True)
class Look:
    """How pixels are moved: ``interpolation`` nearest or bilinear, ``fill`` where nothing comes from (see ``warp``)."""

    interpolation: str
    fill: int | None


def play(images: Tensor, steps: F64, look: Look) -> Tensor:
    """A copy of (B, C, H, W) after each row's ``steps`` (B, S, 2), in their order."""
    out = copy_of(images)
    for step in range(steps.shape[1]):
        drawn, magnitude = steps[:, step].T
        for code in np.unique(drawn):
            rows, name = np.flatnonzero(drawn == code), NAMES[int(code)]
            if name in _MOVES:
                change(out, out, rows, magnitude[rows], partial(_moved, look, _MOVES[name]))
            elif name != "Identity":
                change(out, out, rows, magnitude[rows], _COLOURS[name])
    return out


def _moved(look: Look, matrices: Callable[[F64, float, float], F64], images: Tensor, magnitude: F64) -> Tensor:
    height, width = images.shape[2:]
    return warp(images, matrices(magnitude, height, width), look.interpolation, look.fill)


def _to_source(size: int, **entries: F64 | float) -> F64:
    """(n, 2, 3): the identity but for the entries named a b c (x = a x + b y + c) and d e f (y)."""
    matrix = np.tile(np.eye(2, 3), (size, 1, 1))
    for name, value in entries.items():
        matrix[:, *divmod("abcdef".index(name), 3)] = value
    return matrix


def _shear_x(m: F64, height: float, width: float) -> F64:  # noqa: ARG001 - one signature
    return _to_source(len(m), b=m, c=m * height / 2)  # about the top left corner, as AutoAugment's code does


def _shear_y(m: F64, height: float, width: float) -> F64:  # noqa: ARG001
    return _to_source(len(m), d=m, f=m * width / 2)


def _translate_x(m: F64, height: float, width: float) -> F64:  # noqa: ARG001
    return _to_source(len(m), c=-np.trunc(m))


def _translate_y(m: F64, height: float, width: float) -> F64:  # noqa: ARG001
    return _to_source(len(m), f=-np.trunc(m))


def _rotate(m: F64, height: float, width: float) -> F64:  # noqa: ARG001
    sin, cos = np.sin(np.radians(m)), np.cos(np.radians(m))
    return _to_source(len(m), a=cos, b=-sin, d=sin, e=cos)


def _blend(change_colour: Callable[[Tensor, F64], Tensor]) -> Kernel:
    return lambda images, magnitude: change_colour(images.float(), 1 + magnitude)


_MOVES = {
    "ShearX": _shear_x,
    "ShearY": _shear_y,
    "TranslateX": _translate_x,
    "TranslateY": _translate_y,
    "Rotate": _rotate,
}
_COLOURS: dict[str, Kernel] = {
    "Brightness": _blend(colour_ops.brightness),
    "Color": _blend(colour_ops.saturation),
    "Contrast": _blend(colour_ops.contrast),
    "Sharpness": lambda images, magnitude: colour_ops.sharpness(images, 1 + magnitude),
    "Posterize": colour_ops.posterize,
    "Solarize": lambda images, magnitude: colour_ops.solarize(images, 255 * magnitude),
    "AutoContrast": colour_ops.autocontrast,
    "Equalize": colour_ops.equalize,
    "Invert": colour_ops.invert,
}
