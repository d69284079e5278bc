"""The images of the speed benchmark in the forms that all sides start from, and what an epoch of them should hold.

photos/<class>/<name>     loose files              arrays/images.npy, labels.npy   the rows as plain arrays
packed/train/*.tar        the same, our shards     rows/train/*.tar                the same, our shards, .npy
expected/<recipe>/*.npy   labels, checksums, Pillow's evaluation images: see peers/checks.py
"""

from __future__ import annotations

import io
import zlib
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from material import Pixels, originals, pixel_rows
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import v2

import shardstream as ss
from shardstream.shard_writer.storage import open_store
from shardstream.shard_writer.write import WriteOptions, write_dataset

SHARDS = 16  # more than workers, so that every side can share them out evenly
PHOTO_RECIPES = ("imagenet", "eval", "read")


def make_photos(folder: Path, count: int) -> str:
    """``count`` files of the photographs at hand, the same ones under several names, a class for each; what they are."""
    found, what = originals()
    found = found[:count]
    for number, (label, (_, name, data)) in enumerate(islice(cycle(enumerate(found)), count)):
        target = folder / "photos" / f"{label:04d}" / f"{number:06d}{Path(name).suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    _pack_photos(folder)
    labels = np.arange(count) % len(found)
    _expect(folder, "imagenet", labels=labels)
    _expect(folder, "eval", labels=labels, eval=np.stack([_evaluation(data) for _, _, data in found]))
    _expect(folder, "read", crc=np.array([zlib.crc32(data) for _, _, data in found])[labels])
    size = sum(len(found[label][2]) for label in labels) / count
    return f"{count:,} files made of {len(found)} {what}, copied under several names, {size / 1000:.1f} kB on average"


def _pack_photos(folder: Path) -> None:
    nbytes = sum(file.stat().st_size for file in (folder / "photos").rglob("*.*"))
    ss.write("folder", folder / "photos", out=folder / "packed", shard_size=nbytes // SHARDS)


def _evaluation(data: bytes) -> NDArray[np.uint8]:
    """(3, 224, 224): Resize(256) and CenterCrop(224) by Pillow, through torchvision."""
    with Image.open(io.BytesIO(data)) as image:
        cropped = v2.Compose([v2.Resize(256), v2.CenterCrop(224)])(image.convert("RGB"))
    return np.asarray(cropped).transpose(2, 0, 1)


def make_rows(folder: Path, count: int) -> str:
    """``count`` CIFAR-10 rows, some of them the same, stored as they are; what they are."""
    pixels: Pixels = replace(pixel_rows(count), form="npy")
    arrays, labels = folder / "arrays", np.array(pixels.labels, dtype=np.int64)
    arrays.mkdir(parents=True)
    np.save(arrays / "images.npy", pixels.images)
    np.save(arrays / "labels.npy", labels)
    nbytes = sum(record.nbytes for record in pixels.records())
    write_dataset(pixels, open_store(folder / "rows"), WriteOptions(shard_size=nbytes // SHARDS))
    crc = np.array([zlib.crc32(image.tobytes()) for image in pixels.images])
    _expect(folder, "cifar", labels=labels, crc=crc)
    return pixels.what


def _expect(folder: Path, recipe: str, **arrays: NDArray[np.generic]) -> None:
    target = folder / "expected" / recipe
    target.mkdir(parents=True, exist_ok=True)
    for name, values in arrays.items():
        np.save(target / f"{name}.npy", values)


def make(folder: Path, recipe: str, count: int) -> tuple[Path, str]:
    """Where the images of one recipe lie below ``folder``, made unless they are there, and what they are."""
    kind = "photos" if recipe in PHOTO_RECIPES else "rows"
    place = folder / f"{kind}-{count}"
    made = place / "made.txt"  # written last
    if not made.exists():
        place.mkdir(parents=True, exist_ok=True)
        made.write_text((make_photos if kind == "photos" else make_rows)(place, count))
    return place, made.read_text()
