"""FFCV: its own file (JPEG of quality 90, or raw rows) through its compiled pipeline, two threads."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from checks import MEAN, STD
from ffcv.fields import IntField, RGBImageField
from ffcv.fields.basics import IntDecoder
from ffcv.fields.rgb_image import (
    CenterCropRGBImageDecoder,
    RandomResizedCropRGBImageDecoder,
    SimpleRGBImageDecoder,
)
from ffcv.loader import Loader, OrderOption
from ffcv.transforms import NormalizeImage, RandomHorizontalFlip, Squeeze, ToTensor, ToTorchImage
from ffcv.writer import DatasetWriter
from PIL import Image
from side import Batch, Epoch, Job, Side, main

SCALED = (np.array(MEAN) * 255, np.array(STD) * 255)


class Photos:
    """(picture, label) by number, as the writer takes them."""

    def __init__(self, files: list[str]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, at: int) -> tuple[Image.Image, int]:
        with Image.open(self.files[at]) as image:
            return image.convert("RGB"), int(self.files[at].split(os.sep)[-2])


class Rows:
    """(array, label) by number."""

    def __init__(self, folder: str) -> None:
        self.images, self.labels = (np.load(os.path.join(folder, f"{name}.npy")) for name in ("images", "labels"))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, at: int) -> tuple[Any, int]:
        return self.images[at], int(self.labels[at])


def _file(job: Job) -> str:
    return job.own("ffcv") + ".beton"


def prepare(job: Job) -> None:
    """Every photo re-encoded at quality 90 in its own size; rows raw."""
    if os.path.exists(_file(job)):
        return
    os.makedirs(os.path.dirname(_file(job)), exist_ok=True)
    if job.recipe == "cifar":
        source, field = Rows(job.rows), RGBImageField(write_mode="raw")
    else:
        files = sorted(glob.glob(os.path.join(job.photos, "*", "*")))
        source, field = Photos(files), RGBImageField(write_mode="jpg", jpeg_quality=90)
    DatasetWriter(_file(job), {"image": field, "label": IntField()}, num_workers=2).from_indexed_dataset(source)


def open_loader(job: Job) -> Epoch:
    """``os_cache=True``: the file fits in memory. Images are channels last in memory, which torch trains on faster."""
    decoders = {
        "imagenet": [RandomResizedCropRGBImageDecoder((224, 224)), RandomHorizontalFlip(), *_normalised()],
        "eval": [CenterCropRGBImageDecoder((224, 224), ratio=224 / 256), *_normalised()],
        "cifar": [SimpleRGBImageDecoder(), ToTensor(), ToTorchImage()],
    }
    loader = Loader(
        _file(job),
        batch_size=job.batch,
        num_workers=job.workers,
        os_cache=True,
        order=OrderOption.SEQUENTIAL if job.recipe == "eval" else OrderOption.RANDOM,
        drop_last=False,
        pipelines={"image": decoders[job.recipe], "label": [IntDecoder(), ToTensor(), Squeeze(1)]},
    )

    def epoch() -> Iterator[Batch]:
        yield from loader

    return epoch


def _normalised() -> list[Any]:
    return [NormalizeImage(*SCALED, np.float32), ToTensor(), ToTorchImage()]


if __name__ == "__main__":
    how = "Loader(num_workers=2, os_cache=True) over its own file, compiled pipeline, channels last"
    main(
        Side(
            settings={
                "imagenet": f"{how}; JPEG quality 90, original sizes",
                "eval": f"{how}; JPEG quality 90, original sizes; its centre crop of 224/256",
                "cifar": f"{how}; raw rows",
            },
            open=open_loader,
            prepare=prepare,
        )
    )
