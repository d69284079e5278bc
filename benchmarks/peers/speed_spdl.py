"""SPDL: its ``DataLoader`` of two threads; photos decoded, cropped and scaled by FFmpeg in one filter, or by torchvision.

Which of the two is faster here was measured once (``SPDL_DECODER=spdl`` or ``torchvision``); the default is.
"""

from __future__ import annotations

import glob
import os
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from checks import MEAN, STD
from photos import channels_first, photo, stacked
from side import Batch, Epoch, Job, Side, main
from spdl import io
from spdl.dataloader import DataLoader
from torchvision.transforms import v2

DECODER = os.environ.get("SPDL_DECODER", "torchvision")
Photo = tuple[Any, int]


def open_photos(job: Job) -> Epoch:
    """Loose files; each thread decodes single photos, a batch is stacked when it is full."""
    torch.set_num_threads(1)
    files = sorted(glob.glob(os.path.join(job.photos, "*", "*")))
    preprocess, aggregate = _functions(job.recipe)

    def epoch() -> Iterator[Batch]:
        order = random.sample(files, len(files)) if job.recipe == "imagenet" else files
        yield from DataLoader(
            order,
            preprocessor=preprocess,
            batch_size=job.batch,
            aggregator=aggregate,
            num_threads=job.workers,
            output_order="completion" if job.recipe == "imagenet" else "input",
        )

    return epoch


def _functions(recipe: str) -> tuple[Any, Any]:
    if recipe == "read":
        return _bytes, lambda rows: (rows, None)
    if DECODER == "spdl":
        return (_train if recipe == "imagenet" else _eval), _normalised
    function = photo(recipe)
    return lambda file: (function(_bytes(file)), _label(file)), stacked


def _bytes(file: str) -> bytes:
    with open(file, "rb") as opened:
        return opened.read()


def _label(file: str) -> int:
    return int(file.split(os.sep)[-2])


def _train(file: str) -> Photo:
    packets = io.demux_image(file)
    size = torch.empty(1, packets.height, packets.width)
    top, left, height, width = v2.RandomResizedCrop.make_params(v2.RandomResizedCrop(224), [size]).values()
    flip = ",hflip" if random.random() < 0.5 else ""
    steps = f"crop={width}:{height}:{left}:{top}:exact=1,scale=224:224:flags=bilinear{flip},format=pix_fmts=rgb24"
    return io.decode_packets(packets, filter_desc=steps), _label(file)


def _eval(file: str) -> Photo:
    packets = io.demux_image(file)
    short = min(packets.height, packets.width)
    height, width = (256 * side // short for side in (packets.height, packets.width))
    top, left = (round((side - 224) / 2) for side in (height, width))
    steps = f"scale={width}:{height}:flags=bilinear,crop=224:224:{left}:{top}:exact=1,format=pix_fmts=rgb24"
    return io.decode_packets(packets, filter_desc=steps), _label(file)


def _normalised(rows: list[Photo]) -> Batch:
    frames, labels = zip(*rows, strict=True)
    images = io.to_torch(io.convert_frames(list(frames))).permute(0, 3, 1, 2)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    return images.float().sub_(mean * 255).div_(std * 255), torch.tensor(labels)


def open_rows(job: Job) -> Epoch:
    """Row numbers, gathered a batch at a time from a mapped array."""
    images = np.load(os.path.join(job.rows, "images.npy"), mmap_mode="r")
    labels = np.load(os.path.join(job.rows, "labels.npy"))

    def gather(rows: list[int]) -> Batch:
        return channels_first(images[rows]), torch.from_numpy(labels[rows])

    def epoch() -> Iterator[Batch]:
        order = np.random.permutation(len(images))
        parts = [order[at : at + job.batch] for at in range(0, len(order), job.batch)]
        yield from DataLoader(parts, preprocessor=gather, num_threads=job.workers)

    return epoch


if __name__ == "__main__":
    how = f"spdl.dataloader.DataLoader over loose files, 2 threads, {DECODER}"
    main(
        Side(
            settings={
                "imagenet": how,
                "eval": how,
                "read": "spdl.dataloader.DataLoader over loose files, 2 threads",
                "cifar": "spdl.dataloader.DataLoader over batches of row numbers, numpy gather, 2 threads",
            },
            open=lambda job: open_rows(job) if job.recipe == "cifar" else open_photos(job),
        )
    )
