"""A packed split's annotations as the official JSON dictionary, rebuilt from the shards alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from ...errors import OptionError
from ..base import Dataset

Kind = Literal["instances", "keypoints"]


def coco_ground_truth(ds: Dataset, kind: Kind = "instances") -> dict[str, Any]:
    """``images``, ``annotations``, ``categories`` with original ids, as pycocotools' ``COCO`` takes them.

    ``keypoints`` holds only objects with a keypoint annotation, as person_keypoints files do. No image is decoded.
    Raises OptionError where the split has no such annotations.
    """
    needed = {"instances": "n_objects", "keypoints": "n_keypoints"}[kind]
    if needed not in ds.info.columns:
        raise OptionError(f"split {ds.info.name!r} has no {kind}: its index has no column {needed!r}.")
    images, annotations = [], []
    for record in records(ds):
        images.append({"id": record["image_id"], **{name: record[name] for name in ("file_name", "width", "height")}})
        annotations += [
            _annotation(item, record["image_id"], kind)
            for item in record["objects"]
            if kind == "instances" or item["num_keypoints"] is not None
        ]
    return {"info": {}, "images": images, "annotations": annotations, "categories": _categories(ds)}


def caption_references(ds: Dataset) -> dict[int, list[str]]:
    """Image id -> all its reference captions, in annotation-id order."""
    if "n_captions" not in ds.info.columns:
        raise OptionError(f"split {ds.info.name!r} has no captions.")
    return {record["image_id"]: [c["caption"] for c in record["captions"]] for record in records(ds)}


def records(ds: Dataset) -> Iterator[Mapping[str, Any]]:
    """The JSON of every selected sample, in canonical order."""
    return (ds.record(*ds.locate(index)) for index in range(len(ds)))


def _annotation(item: Mapping[str, Any], image: int, kind: Kind) -> dict[str, Any]:
    made = {name: item[name] for name in ("id", "category_id", "bbox", "area", "iscrowd")}
    made |= {"image_id": image, "segmentation": _segmentation(item)}
    if kind == "keypoints":
        made |= {"keypoints": item["keypoints"], "num_keypoints": item["num_keypoints"]}
    return made


def _segmentation(item: Mapping[str, Any]) -> Any:
    """As the original file gave it."""
    if item["rle"] is None:
        return item["polygons"]
    compressed = item["rle"]["compressed"]
    return {"size": item["rle"]["size"], "counts": item["rle"]["counts"] if compressed is None else compressed}


def _categories(ds: Dataset) -> list[dict[str, Any]]:
    names = ds.manifest.classes.get("labels", ())
    return [
        {"id": number, "name": name}
        for number, name in zip(ds.manifest.class_ids.get("labels", range(len(names))), names, strict=True)
    ]
