"""Real COCO through the Loader: every annotation of the batches is the original file's, on any number of ranks."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as official

import shardstream as ss

SETS = [("COCO-MINI", "train2017"), ("COCO-MINI", "val2017"), ("tiny_coco", "train2017"), ("tiny_coco", "val2017")]


@pytest.fixture(scope="module", params=SETS, ids="/".join)
def packed(request: pytest.FixtureRequest, real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(dataset, folder of the originals, split), in shards of a few images."""
    name, split = request.param
    out = tmp_path_factory.mktemp("coco") / "out"
    ss.write("coco", real_data / "coco" / name, out=out, split=split, shard_size="1MB")
    return ss.open(out), real_data / "coco" / name, split


def original(folder: Path, kind: str, split: str) -> dict[str, Any]:
    file = folder / "annotations" / f"{kind}_{split}.json"
    return json.loads(file.read_text()) if file.exists() else {"annotations": []}


@pytest.mark.parametrize("world", [1, 3])
def test_every_annotation_comes_once_as_it_is_in_the_original_file(packed: Any, world: int) -> None:
    """Boxes, labels, areas, crowds, masks, keypoints, captions; pixels as Pillow decodes them."""
    ds, folder, split = packed
    body = original(folder, "instances", split)
    known = {entry["id"]: entry for entry in body["annotations"]}
    people = {entry["id"]: entry for entry in original(folder, "person_keypoints", split)["annotations"]}
    contiguous = sorted(category["id"] for category in body["categories"])
    seen: Counter[int] = Counter()
    images: list[int] = []
    captions: list[tuple[int, str]] = []
    for rank in range(world):
        loader = ss.Loader(ds, batch_size=7, shuffle=True, drop_last=False, masks=True, world=ss.World(rank, world))
        for batch in loader:
            for row, target in enumerate(batch.targets(masks=True)):
                if not batch["valid"][row]:
                    assert len(target["boxes"]) == 0
                    continue
                images.append(target["image_id"])
                path = next(path for path in folder.rglob(batch["key"][row] + ".jpg"))
                with Image.open(path) as image:
                    assert np.array_equal(
                        batch["image"][row].permute(1, 2, 0).numpy(), np.asarray(image.convert("RGB"))
                    )
                height, width = batch["orig_size"][row].tolist()
                captions += (
                    zip(batch["caption_ids"][row], batch["captions"][row], strict=True) if "captions" in batch else []
                )
                for number in range(len(target["boxes"])):
                    entry = known[int(target["ann_id"][number])]
                    seen[entry["id"]] += 1
                    assert entry["image_id"] == target["image_id"]
                    x, y, w, h = entry["bbox"]
                    assert np.array_equal(target["boxes"][number].numpy(), np.float32([x, y, x + w, y + h]))
                    assert target["labels"][number] == entry["category_id"]
                    assert target["iscrowd"][number] == entry["iscrowd"]
                    assert target["area"][number].item() == np.float32(entry["area"])
                    mask = official.decode(official.frPyObjects(entry["segmentation"], height, width))
                    assert np.array_equal(target["masks"][number].numpy(), mask.reshape(height, width, -1).max(2))
                    if "keypoints" in target:
                        person = people.get(entry["id"])
                        expected = np.zeros((17, 3)) if person is None else np.reshape(person["keypoints"], (17, 3))
                        assert np.array_equal(target["keypoints"][number].numpy(), expected)
                        assert target["num_keypoints"][number] == (-1 if person is None else person["num_keypoints"])
            labels = [contiguous[label] for label in batch["labels"].tolist()]
            assert labels == batch["category_id"].tolist()
    assert seen == Counter(dict.fromkeys(known, 1))
    assert sorted(images) == sorted(image["id"] for image in body["images"])
    assert sorted(captions) == sorted(
        (e["id"], e["caption"]) for e in original(folder, "captions", split)["annotations"]
    )


def test_every_real_caption_is_an_item_of_the_caption_view(packed: Any) -> None:
    """Once each over three ranks."""
    ds, folder, split = packed
    if "n_captions" not in ds.info.columns:
        with pytest.raises(ss.OptionError, match="n_captions"):
            ss.Loader(ds, view="caption")
        return
    got = Counter(
        (int(number), text)
        for rank in range(3)
        for batch in ss.Loader(
            ds, view="caption", batch_size=16, shuffle=True, drop_last=False, world=ss.World(rank, 3)
        )
        for number, text, valid in zip(batch["caption_id"], batch["caption"], batch["valid"], strict=True)
        if valid
    )
    assert got == Counter((e["id"], e["caption"]) for e in original(folder, "captions", split)["annotations"])
