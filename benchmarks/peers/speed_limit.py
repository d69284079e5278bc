"""The ceiling: the decode calls that our loader makes, in a loop of two threads, and nothing around them.

The same crops (torchvision's rule, drawn before), decoded as windows by libturbojpeg, resized by torch's antialiasing
kernel, normalised by a table into the batch. No tar, index, order, checksum, cache or queue: bytes lie in a list.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from checks import MEAN, STD
from numpy.typing import NDArray
from side import Batch, Epoch, Job, Side, main
from torch import Tensor
from torch.nn import functional

from shardstream.loaders.decode import Geometry
from shardstream.loaders.decoders import decode_window, fast_pixels

SIZE, SHORT = 224, 256
TABLE: NDArray[np.float32] = (
    (np.arange(256, dtype=np.float64)[None] / 255 - np.array(MEAN)[:, None]) / np.array(STD)[:, None]
).astype(np.float32)
U8 = NDArray[np.uint8]
Pixels = Callable[[int], U8]


def open_photos(job: Job) -> Epoch:
    """Photos as float32 (B, 3, 224, 224); each thread makes whole batches."""
    files = sorted(glob.glob(os.path.join(job.photos, "*", "*")))
    data = [_read(file) for file in files]
    labels = torch.tensor([int(os.path.basename(os.path.dirname(file))) for file in files])
    rng = np.random.default_rng(0)

    def epoch() -> Iterator[Batch]:
        train = job.recipe == "imagenet"
        order = rng.permutation(len(data)) if train else np.arange(len(data))
        make = _train(data, rng.random((len(data), 40)), rng.random(len(data)) < 0.5) if train else _eval(data)
        batches = [order[at : at + job.batch] for at in range(0, len(order), job.batch)]
        with ThreadPoolExecutor(job.workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for rows, images in zip(batches, pool.map(lambda rows: _batch(rows, make), batches), strict=True):
                yield images, labels[torch.from_numpy(rows)]

    return epoch


def _read(file: str) -> bytes:
    with open(file, "rb") as opened:
        return opened.read()


def _batch(rows: NDArray[np.int64], make: Pixels) -> Tensor:
    images = np.empty((len(rows), 3, SIZE, SIZE), dtype=np.float32)
    for place, row in enumerate(rows):
        pixels = make(int(row))
        for channel in range(3):
            np.take(TABLE[channel], pixels[:, :, channel], out=images[place, channel], mode="clip")
    return torch.from_numpy(images)


def _train(data: list[bytes], draws: NDArray[np.float64], flips: NDArray[np.bool_]) -> Pixels:
    def pixels(row: int) -> U8:
        left, top, width, height = _crop(*_size(data[row]), draws[row])
        window = _sure(decode_window(data[row], left, top, left + width, top + height))
        found = _resized(window, (SIZE, SIZE))
        return found[:, ::-1] if flips[row] else found

    return pixels


def _eval(data: list[bytes]) -> Pixels:
    def pixels(row: int) -> U8:
        width, height = _size(data[row])
        short = min(height, width)
        resized = SHORT * height // short, SHORT * width // short
        # the central window of the resized picture, in the picture's own pixels
        zooms = [whole / side for whole, side in zip(resized, (height, width), strict=True)]
        top, left = (round((whole - SIZE) / 2) / zoom for whole, zoom in zip(resized, zooms, strict=True))
        box = left, top, left + SIZE / zooms[1], top + SIZE / zooms[0]
        return _sure(fast_pixels(data[row], Geometry(box, (SIZE, SIZE), False, "bilinear", isolated=False)))

    return pixels


def _crop(width: int, height: int, draws: NDArray[np.float64]) -> tuple[int, int, int, int]:
    """By torchvision's rule for RandomResizedCrop: ten tries of area 0.08 to 1 and ratio 3/4 to 4/3, else the central crop."""
    for area, ratio, x, y in draws.reshape(10, 4):
        size, aspect = width * height * (0.08 + 0.92 * area), np.exp(np.log(4 / 3) * (2 * ratio - 1))
        w, h = round(float(np.sqrt(size * aspect))), round(float(np.sqrt(size / aspect)))
        if 0 < w <= width and 0 < h <= height:
            return int(x * (width - w + 1)), int(y * (height - h + 1)), w, h
    w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    return (width - w) // 2, (height - h) // 2, w, h


def _size(data: bytes) -> tuple[int, int]:
    """Width and height from a JPEG's frame header."""
    at = 2
    while not (0xC0 <= data[at + 1] <= 0xCF and data[at + 1] not in (0xC4, 0xC8, 0xCC)):
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")


def _resized(pixels: U8, out_hw: tuple[int, int]) -> U8:
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    return functional.interpolate(image, size=out_hw, mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()


def _sure(pixels: U8 | None) -> U8:
    if pixels is None:
        raise ValueError("libturbojpeg refused a picture, or is not installed")
    return pixels


def open_files(job: Job) -> Epoch:
    """The same files' bytes, read from the page cache by two threads."""
    files = sorted(glob.glob(os.path.join(job.photos, "*", "*")))
    parts = [files[at : at + job.batch] for at in range(0, len(files), job.batch)]

    def epoch() -> Iterator[Batch]:
        with ThreadPoolExecutor(job.workers) as pool:
            for images in pool.map(lambda part: [_read(file) for file in part], parts):
                yield images, None

    return epoch


def open_rows(job: Job) -> Epoch:
    """Rows gathered from a mapped array by numpy, one thread."""
    images = np.load(os.path.join(job.rows, "images.npy"), mmap_mode="r")
    labels = np.load(os.path.join(job.rows, "labels.npy"))
    rng = np.random.default_rng(0)

    def epoch() -> Iterator[Batch]:
        order = rng.permutation(len(images))
        for at in range(0, len(order), job.batch):
            rows = order[at : at + job.batch]
            yield torch.from_numpy(images[rows]).permute(0, 3, 1, 2), torch.from_numpy(labels[rows])

    return epoch


OPENERS = {"imagenet": open_photos, "eval": open_photos, "read": open_files, "cifar": open_rows}

if __name__ == "__main__":
    main(
        Side(
            settings={
                "imagenet": "decode_window, F.interpolate(antialias), table; 2 threads over bytes in RAM",
                "eval": "fast_pixels (the window that is kept, bit for bit), table; 2 threads over bytes in RAM",
                "read": "open().read() of loose files in 2 threads",
                "cifar": "numpy gather from one mapped array, channels last",
            },
            open=lambda job: OPENERS[job.recipe](job),
        )
    )
