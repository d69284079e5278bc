"""What sides that use torchvision do to each photo: its classification reference on uint8 tensors, its faster way.

torchvision's guide to transforms v2 recommends tensors over Pillow images for speed: JPEGs are decoded by
``decode_jpeg``, cropped and resized (antialiased) as bytes, then normalised in float.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from checks import MEAN, STD
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms import v2

Photo = Callable[[bytes], Tensor]
NORMALISE = (v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD))


def augment(recipe: str) -> Callable[[Tensor], Tensor]:
    """(3, H, W) uint8 to float32 (3, 224, 224) of ``imagenet`` or ``eval``."""
    if recipe == "imagenet":
        return v2.Compose([v2.RandomResizedCrop(224), v2.RandomHorizontalFlip(), *NORMALISE])
    return v2.Compose([v2.Resize(256), v2.CenterCrop(224), *NORMALISE])


def decode(data: bytes | bytearray | memoryview) -> Tensor:
    """(3, H, W) uint8."""
    return decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=ImageReadMode.RGB)


def photo(recipe: str) -> Photo:
    """A file's bytes to what the network gets."""
    transform = augment(recipe)
    return lambda data: transform(decode(data))


def channels_first(images: Any) -> Tensor:
    """(B, 32, 32, 3) as (B, 3, 32, 32), not copied."""
    return torch.as_tensor(images).permute(0, 3, 1, 2)


def stacked(rows: Iterable[tuple[Any, int]]) -> tuple[Any, Tensor]:
    """Images and labels of a batch."""
    images, labels = zip(*rows, strict=True)
    return torch.stack(images), torch.tensor(labels)
