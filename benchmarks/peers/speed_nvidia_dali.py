"""DALI on the CPU: fused decoding of the random crop, resize, normalise; two threads, outputs handed over by DLPack.

Batches are scheduled by hand, two ahead as its own iterator does, so that an epoch begins with an empty queue: nothing
of it is made while other sides are measured. ``pad_last_batch`` fills the last batch; what fills it is cut off.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from checks import MEAN, STD
from nvidia.dali import fn, pipeline_def, types
from photos import channels_first
from side import Batch, Epoch, Job, Side, main

AHEAD = 2
HEADER, ROW = 128, 32 * 32 * 3  # of a .npy file of version 1.0, and its bytes
NORMALISE = {"mean": [255 * value for value in MEAN], "std": [255 * value for value in STD]}
FLOATS = {"dtype": types.FLOAT, "output_layout": "CHW", **NORMALISE}


@pipeline_def
def train(files: str) -> Any:
    """The documentation's ImageNet pipeline; the faster inverse transform of the CPU decoder is on."""
    jpegs, labels = _files(files, shuffled=True)
    images = fn.decoders.image_random_crop(
        jpegs,
        device="cpu",
        output_type=types.RGB,
        use_fast_idct=True,
        random_area=[0.08, 1.0],
        random_aspect_ratio=[3 / 4, 4 / 3],
        num_attempts=10,
        adjust_orientation=False,
    )
    images = fn.resize(images, size=[224, 224], interp_type=types.INTERP_LINEAR, antialias=True)
    return fn.crop_mirror_normalize(images, mirror=fn.random.coin_flip(), **FLOATS), labels


@pipeline_def
def evaluate(files: str) -> Any:
    """Whole pictures, decoded with the exact transform."""
    jpegs, labels = _files(files, shuffled=False)
    images = fn.decoders.image(jpegs, device="cpu", output_type=types.RGB, adjust_orientation=False)
    images = fn.resize(images, resize_shorter=256, interp_type=types.INTERP_LINEAR, antialias=True)
    return fn.crop_mirror_normalize(images, crop=(224, 224), **FLOATS), labels


@pipeline_def
def read(tars: list[str], indices: list[str]) -> Any:
    """Members of the tars, by DALI's own index."""
    return fn.readers.webdataset(paths=tars, index_paths=indices, ext=["jpg"], name="reader", pad_last_batch=True)


@pipeline_def
def rows(tars: list[str], indices: list[str]) -> Any:
    """Rows are bytes of known size behind a header of known size; labels are one digit."""
    arrays, labels = fn.readers.webdataset(
        paths=tars,
        index_paths=indices,
        ext=["npy", "cls"],
        random_shuffle=True,
        initial_fill=1024,
        name="reader",
        pad_last_batch=True,
    )
    images = fn.reshape(fn.slice(arrays, start=HEADER, shape=ROW, axes=[0]), shape=[32, 32, 3])
    return images, labels


def _files(files: str, *, shuffled: bool) -> Any:
    return fn.readers.file(
        file_root=files, random_shuffle=shuffled, initial_fill=1024, name="reader", pad_last_batch=True
    )


def prepare(job: Job) -> None:
    """``wds2idx`` for each tar."""
    folder = Path(job.own("dali"))
    folder.mkdir(parents=True, exist_ok=True)
    for tar in job.tars if job.recipe in ("read", "cifar") else ():
        if not _index(job, tar).exists():
            subprocess.run([Path(sys.executable).parent / "wds2idx", tar, _index(job, tar)], check=True)


def _index(job: Job, tar: str) -> Path:
    return Path(job.own("dali")) / f"{os.path.basename(tar)}.idx"


def open_pipeline(job: Job) -> Epoch:
    """Built once, run epoch after epoch."""
    options = {"batch_size": job.batch, "num_threads": job.workers, "device_id": None, "prefetch_queue_depth": AHEAD}
    if job.recipe in ("read", "cifar"):
        made = read if job.recipe == "read" else rows
        pipeline = made(tars=job.tars, indices=[str(_index(job, tar)) for tar in job.tars], **options)
    else:
        pipeline = (train if job.recipe == "imagenet" else evaluate)(files=job.photos, **options)
    pipeline.build()

    unfilled = [True]

    def epoch() -> Iterator[Batch]:
        batches = -(-job.images // job.batch)
        for _ in range(1 if unfilled else min(AHEAD, batches)):  # the very first call schedules AHEAD by itself
            pipeline.schedule_run()
        unfilled.clear()
        for number in range(batches):
            outputs = pipeline.share_outputs()
            count = min(job.batch, job.images - number * job.batch)
            yield _read(outputs, count) if job.recipe == "read" else _tensors(outputs, count, job.recipe)
            pipeline.release_outputs()
            if number + AHEAD < batches:
                pipeline.schedule_run()

    return epoch


def _read(outputs: Any, count: int) -> Batch:
    return [outputs[0].at(row) for row in range(count)], None


def _tensors(outputs: Any, count: int, recipe: str) -> Batch:
    images, labels = (torch.from_dlpack(output.as_tensor())[:count] for output in outputs)
    if recipe == "cifar":
        return channels_first(images), labels[:, 0].long() - ord("0")
    return images, labels[:, 0].long()


if __name__ == "__main__":
    how = "CPU pipeline, num_threads=2, prefetch_queue_depth=2, outputs by DLPack"
    main(
        Side(
            settings={
                "imagenet": f"{how}; readers.file, decoders.image_random_crop (use_fast_idct), resize, crop_mirror_normalize",
                "eval": f"{how}; readers.file, decoders.image, resize (antialias), crop_mirror_normalize",
                "read": f"{how}; readers.webdataset with wds2idx",
                "cifar": f"{how}; readers.webdataset with wds2idx, header sliced off",
            },
            open=open_pipeline,
            prepare=prepare,
        )
    )
