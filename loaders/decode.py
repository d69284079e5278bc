"""Decode: one image's bytes to RGB pixels, whole or exactly the geometry that a transform planned beforehand."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ..errors import UndecodableImage
from ..shard_writer.image_facts import FORMATS, load_array
from .decoders import fast_pixels, part_of
from .raw import plain_array

U8 = NDArray[np.uint8]
_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


class Plan(Protocol):
    """Geometry of a batch, decided before any image is decoded (see ``transforms.DecodePlan``)."""

    @property
    def crop_xyxy(self) -> NDArray[np.float64]: ...
    @property
    def out_hw(self) -> tuple[int, int]: ...
    @property
    def flip(self) -> NDArray[np.bool_]: ...
    @property
    def interpolation(self) -> str: ...
    @property
    def isolated(self) -> bool: ...


class DecodePlanner(Protocol):
    """A batch transform that knows its geometry from keys, sizes (B, 2) h,w and seeds (B,) alone."""

    def decode_plan(self, keys: Sequence[str], sizes: NDArray[np.int64], seeds: NDArray[np.uint64]) -> Plan | None: ...


@dataclass(frozen=True, slots=True)
class Geometry:
    """One row of a plan."""

    crop: tuple[float, float, float, float]
    out_hw: tuple[int, int]
    flip: bool
    interpolation: str
    isolated: bool


def plan_row(plan: Plan, row: int) -> Geometry:
    """The geometry of one sample."""
    left, top, right, bottom = (float(value) for value in plan.crop_xyxy[row])
    return Geometry((left, top, right, bottom), plan.out_hw, bool(plan.flip[row]), plan.interpolation, plan.isolated)


# EXIF orientation -> what turns the stored pixels upright; 1, absent and invalid values (0, 9 ...) turn nothing.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_image(data: memoryview | bytes, where: object, orientation: int = 1) -> Image.Image:
    """A PIL image in RGB, turned upright from ``orientation`` (1: as stored). Raises UndecodableImage with ``str(where)``."""
    image = _decode(data, where)
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _decode(data: memoryview | bytes, where: object) -> Image.Image:
    if bytes(data[:6]) == b"\x93NUMPY":
        array = load_array(bytes(data), str(where))
        return Image.fromarray(array[:, :, 0] if array.shape[2:] == (1,) else array).convert("RGB")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            image.load()
            return image if image.mode == "RGB" else image.convert("RGB")  # convert copies RGB as well
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UndecodableImage(f"{where}: the image does not decode: {error}") from error


def decode_pixels(
    data: memoryview | bytes,
    where: object,
    geometry: Geometry | None = None,
    orientation: int = 1,
    exact: bool = False,
) -> U8:
    """(H, W, 3) uint8 pixels, turned upright, cropped, resized (antialiased) and flipped as planned.

    ``exact``: resized by Pillow, for reference numbers; else by torchvision's byte kernel, within a grey level of it.
    """
    pixels = None if exact or orientation in _UPRIGHT else fast_pixels(data, geometry)
    if pixels is None and geometry is None and orientation not in _UPRIGHT:
        pixels = plain_array(data)
    if pixels is None:
        pixels = _carefully(decode_image(data, where, orientation), geometry)
    return _flipped(pixels, geometry)


def decode_parts(
    data: memoryview | bytes,
    where: object,
    parts: Sequence[Geometry | None],
    orientation: int = 1,
    exact: bool = False,
) -> dict[Geometry | None, U8]:
    """Several parts of one picture, decoded once: each, bit for bit, what ``decode_pixels`` gives for it alone."""
    if len(parts) == 1:
        return {parts[0]: decode_pixels(data, where, parts[0], orientation, exact)}
    pixels = None if exact or orientation in _UPRIGHT else fast_pixels(data, None)
    if pixels is not None:
        return {part: _flipped(_quickly(pixels, part), part) for part in parts}
    image = decode_image(data, where, orientation)
    return {part: _flipped(_carefully(image, part), part) for part in parts}


def _quickly(pixels: U8, geometry: Geometry | None) -> U8:
    part = pixels if geometry is None else part_of(pixels, geometry)
    return _carefully(Image.fromarray(pixels), geometry) if part is None else part


def _carefully(image: Image.Image, geometry: Geometry | None) -> U8:
    return np.asarray(image if geometry is None else _apply(image, geometry))


def _flipped(pixels: U8, geometry: Geometry | None) -> U8:
    return pixels[:, ::-1] if geometry is not None and geometry.flip else pixels


def _apply(image: Image.Image, geometry: Geometry) -> Image.Image:
    height, width = geometry.out_hw
    resample = _FILTERS[geometry.interpolation]
    if not geometry.isolated:
        return _window(image, geometry, resample)
    left, top, right, bottom = (round(value) for value in geometry.crop)
    cropped = image.crop((left, top, right, bottom))
    return cropped if cropped.size == (width, height) else cropped.resize((width, height), resample)


def _window(image: Image.Image, geometry: Geometry, resample: Image.Resampling) -> Image.Image:
    """A window of the resized whole image, bit for bit as Resize and CenterCrop give it.

    ``resize(box=...)`` would be cheaper, but Pillow keeps the box in float32 and orders its two 8-bit passes by the
    box's shape: on tall images up to a third of the pixels come out different.
    """
    height, width = geometry.out_hw
    left, top, right, bottom = geometry.crop
    zoom_x, zoom_y = width / (right - left), height / (bottom - top)
    whole = image.resize((round(image.width * zoom_x), round(image.height * zoom_y)), resample)
    x, y = round(left * zoom_x), round(top * zoom_y)
    return whole.crop((x, y, x + width, y + height))
