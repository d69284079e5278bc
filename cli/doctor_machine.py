"""``doctor``, this machine: the cache folder, the decoder, the GPU, shared memory."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..loaders.blocks import BLOCK
from ..loaders.decoders.turbo import available, decode_window
from ..loaders.decoders.turbo_library import VARIABLE
from ..loaders.room import BLOCK as BLOCK_FILE
from ..loaders.room import ROLLING, WHOLE
from .doctor_finding import Finding, size

SHARED = Path("/dev/shm")  # noqa: S108 - the kernel's own place, nothing is written there
ENOUGH_SHARED = 1_000_000_000
"""A worker has 2 batches of 256 pictures under way, 77 MB at 224 pixels: room for a dozen workers."""
DRIVER = Path("/proc/driver/nvidia/version")


def cache(folder: Path, limit: int, dataset: int | None) -> Finding:
    """Whether blocks can be kept: writable, free space, and how much of a dataset of so many bytes there is room for."""
    made = not folder.exists()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError as error:
        return Finding(
            "cache",
            "wrong",
            f"{folder} cannot be written to by user {os.geteuid()}: {error.strerror}.",
            "Set SHARDSTREAM_CACHE (or cache_dir=) to a folder of this user on a local disk.",
        )
    free, used = shutil.disk_usage(folder).free, _used(folder)
    if made:
        folder.rmdir()
    return _room(folder, min(free, max(0, limit - used)) + used, free, dataset)


def _used(folder: Path) -> int:
    return sum(file.stat().st_size for kind in (WHOLE, BLOCK_FILE, ROLLING) for file in folder.glob(f"*{kind}"))


def _room(folder: Path, room: int, free: int, dataset: int | None) -> Finding:
    text = f"{folder} is writable, {size(free)} free, room for {size(room)} of blocks"
    if room < BLOCK:
        return Finding(
            "cache",
            "note",
            f"{text}: none is kept, each epoch is fetched again.",
            "Free some space, or raise the bound.",
        )
    if dataset is not None and room < dataset:
        advice = "More room saves fetching the rest in every epoch."
        return Finding("cache", "note", f"{text}: {room / dataset:.0%} of the dataset's {size(dataset)}.", advice)
    return Finding("cache", "ok", f"{text}." if dataset is None else f"{text}: all {size(dataset)} of the dataset.")


def decoder() -> Finding:
    """Whether windows of JPEGs are decoded alone, tried on a picture beside Pillow."""
    advice = f"pip install turbojpeg, or set {VARIABLE} to a libturbojpeg of version 3."
    if not available():
        text = "no libturbojpeg 3: Pillow decodes whole pictures instead, the same pixels, more slowly."
        return Finding("decoder", "note", text, advice)
    pixels = np.add.outer(np.arange(64), np.arange(96)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").save(buffer, "jpeg")
    window = decode_window(buffer.getvalue(), 20, 10, 80, 50)
    with Image.open(buffer, formats=("JPEG",)) as image:
        wanted = np.asarray(image)[10:50, 20:80]
    if window is None or not np.array_equal(window, wanted):
        return Finding("decoder", "wrong", "libturbojpeg decodes other pixels than Pillow.", advice)
    return Finding("decoder", "ok", "libturbojpeg decodes windows of JPEGs, pixel for pixel as Pillow.")


def gpu(needed: bool) -> Finding:
    """Whether torch reaches a GPU; without one batches stay on the CPU, which is wrong only where one is needed."""
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
        found = ", ".join(f"{device.name} ({size(device.total_memory)})" for device in names)
        return Finding("gpu", "ok", f"{found}, CUDA {torch.version.cuda}.")
    if torch.version.cuda is None:
        text, advice = "this torch is built for the CPU", "Install torch with CUDA (docs/cloud.md, target cuda)."
    elif DRIVER.exists():
        text, advice = (
            f"there is a driver, but torch (CUDA {torch.version.cuda}) reaches no GPU",
            "Compare their versions.",
        )
    else:
        text, advice = "no NVIDIA driver is visible", "In a container: docker run --gpus all, or nvidia.com/gpu limits."
    return Finding("gpu", "wrong" if needed else "note", f"{text}: batches stay on the CPU.", advice)


def shared_memory(folder: Path = SHARED) -> Finding:
    """Whether worker processes can hand over batches: Docker gives a container 64 MB, too little for two of them."""
    threads = 'worker_kind="thread" needs none'
    try:
        total = shutil.disk_usage(folder).total
    except FileNotFoundError:
        return Finding("shared memory", "note", f"there is no {folder}: worker processes cannot run; {threads}.")
    if total < ENOUGH_SHARED:
        advice = f"docker run --shm-size 2g, an emptyDir of medium Memory on {folder} in Kubernetes; {threads}."
        text = f"{folder} has {size(total)}: several worker processes may not have room for their batches."
        return Finding("shared memory", "note", text, advice)
    return Finding("shared memory", "ok", f"{folder} has {size(total)}.")
