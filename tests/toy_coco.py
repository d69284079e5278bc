"""A tiny object dataset in the shape of COCO's records, made of numbers that a test can recompute."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import shardstream as ss
from shardstream.shard_writer.storage import open_store
from shardstream.shard_writer.types import About, Record, Sample, SplitInfo
from shardstream.shard_writer.write import WriteOptions, write_dataset

IDS = (1, 3, 7, 90)
NAMES = ("person", "car", "train", "toothbrush")
HEIGHT, WIDTH = 40, 60


def toy_object(number: int, image: int, rng: np.random.Generator) -> dict[str, Any]:
    x, y = (float(v) for v in rng.uniform(0, 30, 2).round(2))
    w, h = (float(v) for v in rng.uniform(1, 10, 2).round(2))
    label = int(rng.integers(len(IDS)))
    crowd = number % 3 == 2
    person = label == 0
    points = [int(v) for _ in range(17) for v in (rng.integers(0, WIDTH), rng.integers(0, HEIGHT), 2)]
    runs = [20 * HEIGHT + 5, 233, WIDTH * HEIGHT - 20 * HEIGHT - 238]  # columns 20 to 25, in part
    return {
        "id": 1000 * image + number + 1,
        "category_id": IDS[label],
        "label": label,
        "bbox": [x, y, w, h],
        "area": w * h / 2,
        "iscrowd": int(crowd),
        "polygons": [] if crowd else [[x, y, x + w, y, x + w, y + h, x, y + h]],
        "rle": {"size": [HEIGHT, WIDTH], "counts": runs, "compressed": None} if crowd else None,
        "keypoints": points if person else [],
        "num_keypoints": 17 if person else None,
    }


def toy_record(image: int) -> dict[str, Any]:
    """Image i has i % 6 objects and (i * 7) % 6 captions: some have none of either."""
    rng = np.random.default_rng(image)
    return {
        "image_id": image + 100,
        "file_name": f"{image:06d}.png",
        "width": WIDTH,
        "height": HEIGHT,
        "objects": [toy_object(number, image, rng) for number in range(image % 6)],
        "captions": [{"id": 10 * image + k, "caption": f"caption {k} of {image}"} for k in range((image * 7) % 6)],
    }


def toy_coco_pixels(image: int) -> np.ndarray:
    return np.random.default_rng(image).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


@dataclass(frozen=True)
class ToyCocoSplit:
    count: int
    info: SplitInfo

    def records(self) -> Sequence[Record]:
        return [Record(f"{i:06d}", 9000, i) for i in range(self.count)]

    def read(self, record: Record) -> Sample:
        buffer = io.BytesIO()
        Image.fromarray(toy_coco_pixels(record.where)).save(buffer, "png")
        annotations = toy_record(record.where)
        objects = annotations["objects"]
        columns = {
            "image_id": annotations["image_id"],
            "n_objects": len(objects),
            "n_crowd": sum(item["iscrowd"] for item in objects),
            "n_keypoints": sum(item["num_keypoints"] is not None for item in objects),
            "n_captions": len(annotations["captions"]),
            "labels": [item["label"] for item in objects],
            "karpathy": ("train", "val", None)[record.where % 3],
        }
        return Sample(record.key, buffer.getvalue(), annotations, None, columns)


@dataclass(frozen=True)
class ToyCocoSource:
    count: int

    def about(self) -> About:
        return About(name="toy-coco", licence="CC0-1.0", classes={"labels": NAMES}, class_ids={"labels": IDS})

    def splits(self) -> tuple[str, ...]:
        return ("train2017",)

    def split(self, name: str) -> ToyCocoSplit:
        numbers = dict.fromkeys(("image_id", "n_objects", "n_crowd", "n_keypoints", "n_captions"), "int64")
        columns = {**numbers, "labels": "list<int64>", "karpathy": "string"}
        return ToyCocoSplit(self.count, SplitInfo(name=name, image_field="png", columns=columns, shuffle=True))


def pack_toy_coco(out: Path, count: int = 40, shard_size: int = 60_000) -> ss.ShardDataset:
    """A packed set of ``count`` images, about seven to a shard."""
    write_dataset(ToyCocoSource(count), open_store(out), WriteOptions(shard_size=shard_size))
    return ss.open(out)
