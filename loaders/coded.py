"""Pictures on their way to a GPU that decodes them: JPEGs as they are, the others decoded already.

row      0      1      2      3     (4: fills the batch)
coded    jpeg          jpeg   jpeg                        bytes, decoded on the device, then cut there as planned
done            png                                       pixels, decoded and cut in the worker

Bytes stay on the CPU, where a GPU's decoder wants them; of a planned batch the pixels that are done cross the bus.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import OptionError
from .batch import RaggedImages, stack_images
from .decode import U8, Geometry, decode_pixels
from .decoders.cut import cut
from .stages import DECODE


class DeviceDecoder(Protocol):
    """Decodes JPEGs on a device. Raises RuntimeError where any of them does not decode there."""

    @property
    def device(self) -> torch.device:
        """Where the pixels are."""
        ...

    def __call__(self, jpegs: list[Tensor]) -> list[Tensor]:
        """uint8 (n,) files in CPU memory to uint8 (3, h, w) pixels on the device."""
        ...


@dataclass(frozen=True, slots=True)
class CudaDecoder:
    """``torchvision.io.decode_jpeg`` on a CUDA device: nvJPEG, with the GPU's own decoder where it has one."""

    device: torch.device

    def __call__(self, jpegs: list[Tensor]) -> list[Tensor]:
        from torchvision.io import ImageReadMode, decode_jpeg  # takes a second to import

        with warnings.catch_warnings():
            # 0.29 announces that its decoders will move to torchcodec; the caller of a loader cannot do anything about it.
            warnings.filterwarnings("ignore", "The image decoding", DeprecationWarning)
            found: list[Tensor] = decode_jpeg(jpegs, mode=ImageReadMode.RGB, device=self.device)
        return found


def device_decoder(device: torch.device) -> DeviceDecoder:
    """What decodes on a device; raises OptionError where there is no CUDA device."""
    if device.type != "cuda" or not torch.cuda.is_available():
        there = "has a CUDA device" if torch.cuda.is_available() else "has no CUDA device"
        raise OptionError(
            f"decode='gpu' with device={str(device)!r} on a machine that {there}: it needs device='cuda' and a GPU."
            " Use decode='fast'."
        )
    return CudaDecoder(device)


class Member(NamedTuple):
    """A picture's file."""

    data: memoryview | bytes
    where: str
    """Address for messages."""
    orientation: int
    """EXIF orientation to turn it by; 1: as stored."""


@dataclass(frozen=True, slots=True)
class Coded:
    """The pictures of a batch of ``size`` rows, some still JPEGs."""

    size: int
    out_hw: tuple[int, int] | None
    """What every row becomes; None: each keeps its size."""
    jpegs: Tensor
    """uint8, one file after another, in CPU memory."""
    ends: tuple[int, ...]
    """Where each file ends."""
    rows: tuple[int, ...]
    """The row of each JPEG."""
    geometry: tuple[Geometry | None, ...]
    where: tuple[str, ...]
    """Address of each JPEG's sample, for messages."""
    done: Tensor | RaggedImages
    """uint8 (3, h, w) pictures, cut as planned, and one empty one where there is none."""
    done_rows: tuple[int, ...]

    def pin_memory(self) -> Coded:
        """Page-lock the pixels; the bytes of JPEGs are read by the processor."""
        return replace(self, done=self.done.pin_memory())

    def to(self, device: Any, non_blocking: bool = False) -> Coded:
        """Move the pixels that are done."""
        return replace(self, done=self.done.to(device, non_blocking=non_blocking))

    def jpeg(self, number: int) -> Tensor:
        """uint8 (n,) bytes of one file."""
        return self.jpegs[self.ends[number - 1] if number else 0 : self.ends[number]]

    def decoded(self, decoder: DeviceDecoder) -> Tensor | RaggedImages:
        """All pictures on the decoder's device, as ``stack_images`` gives them; missing rows are zeros.

        Up to the decoder's own levels the same as those of the CPU: torchvision's bound for nvJPEG is a mean
        difference of 2; resizing in float adds at most one (bilinear). JPEGs that it does not take are decoded on the
        CPU. Raises UndecodableImage, naming the sample, where that fails, too.
        """
        made = {row: self.done[number].to(decoder.device) for number, row in enumerate(self.done_rows)}
        pictures = _decoded(decoder, list(range(len(self.rows))), self)
        made.update({self.rows[number]: pixels for number, pixels in pictures.items()})
        return _together([made.get(row) for row in range(self.size)], self.out_hw, decoder.device)


def coded(
    members: Sequence[Member],
    wanted: Sequence[Geometry | None],
    takes: Callable[[memoryview | bytes, Geometry | None, int], bool],
    size: int,
) -> Coded:
    """A batch's pictures, those that ``takes`` refuses decoded here."""
    jpegs = [row for row, member in enumerate(members) if takes(member.data, wanted[row], member.orientation)]
    others = sorted({*range(len(members))} - {*jpegs})
    files = [np.frombuffer(members[row].data, dtype=np.uint8) for row in jpegs]
    return Coded(
        size=size,
        out_hw=None if not wanted or wanted[0] is None else wanted[0].out_hw,
        jpegs=torch.from_numpy(np.concatenate([*files, np.empty(0, dtype=np.uint8)])),
        ends=tuple(np.cumsum([len(file) for file in files]).tolist()),
        rows=tuple(jpegs),
        geometry=tuple(wanted[row] for row in jpegs),
        where=tuple(members[row].where for row in jpegs),
        done=stack_images([_done(members[row], wanted[row]) for row in others], max(1, len(others))),
        done_rows=tuple(others),
    )


def _done(member: Member, geometry: Geometry | None) -> U8:
    with DECODE:
        return decode_pixels(member.data, member.where, geometry, member.orientation)


def _decoded(decoder: DeviceDecoder, numbers: list[int], batch: Coded) -> dict[int, Tensor]:
    """Pixels of some JPEGs by number. One that the decoder refuses fails its whole list: such are found by halving."""
    if not numbers:
        return {}
    try:
        found = decoder([batch.jpeg(number) for number in numbers])
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        if len(numbers) == 1:
            return {numbers[0]: _on_cpu(batch, numbers[0]).to(decoder.device)}
        half = len(numbers) // 2
        return _decoded(decoder, numbers[:half], batch) | _decoded(decoder, numbers[half:], batch)
    return {number: cut(pixels, batch.geometry[number]) for number, pixels in zip(numbers, found, strict=True)}


def _on_cpu(batch: Coded, number: int) -> Tensor:
    pixels = decode_pixels(batch.jpeg(number).numpy().tobytes(), batch.where[number], batch.geometry[number])
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def _together(
    pictures: list[Tensor | None], out_hw: tuple[int, int] | None, device: torch.device
) -> Tensor | RaggedImages:
    there = [picture for picture in pictures if picture is not None]
    shapes = {tuple(picture.shape[1:]) for picture in there}
    if len(shapes) <= 1:
        height, width = next(iter(shapes), out_hw or (1, 1))
        empty = torch.zeros(3, height, width, dtype=torch.uint8, device=device)
        return torch.stack([empty if picture is None else picture for picture in pictures])
    pixel = torch.zeros(3, 1, 1, dtype=torch.uint8, device=device)
    filled = [pixel if picture is None else picture for picture in pictures]
    sizes = torch.tensor([picture.shape[1:] for picture in filled])
    return RaggedImages(torch.cat([picture.flatten() for picture in filled]), sizes)
