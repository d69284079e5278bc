"""Scores: what the official code says of the original files, it says of ours, on any number of ranks."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as official
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import shardstream as ss
from shardstream import scoring
from shardstream import transforms as T  # noqa: N812
from shardstream.loaders.scoring.coco_results import load_results
from shardstream.loaders.scoring.coco_score import caption_inputs

from ..toy_coco import pack_toy_coco, toy_record
from .jitter import jittered

CASES = [
    ("COCO-MINI", "val2017", "bbox"),
    ("COCO-MINI", "train2017", "segm"),
    ("COCO-MINI", "val2017", "keypoints"),
    ("tiny_coco", "train2017", "bbox"),
    ("tiny_coco", "train2017", "segm"),
]


def evaluated(truth: dict[str, Any], results: list[dict[str, Any]], metric: str) -> list[float]:
    """The official code on an official dictionary."""
    with contextlib.redirect_stdout(io.StringIO()):
        ground = COCO()
        ground.dataset = truth
        ground.createIndex()
        evaluation = COCOeval(ground, ground.loadRes(json.loads(json.dumps(results))), metric)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(case))
def case(request: pytest.FixtureRequest, real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(packed split, original dictionary, results, official numbers, metric)."""
    name, split, metric = request.param
    folder, out = real_data / "coco" / name, tmp_path_factory.mktemp("scored") / "out"
    ss.write("coco", folder, out=out, split=split, shard_size="2MB")
    kind = "person_keypoints" if metric == "keypoints" else "instances"
    truth = json.loads((folder / "annotations" / f"{kind}_{split}.json").read_text())
    results = jittered(truth, metric)
    return ss.open(out), truth, results, evaluated(truth, results, metric), metric


def ranks(ds: ss.ShardDataset, world: int, **options: Any) -> list[list[ss.Batch]]:
    """All batches of each rank."""
    return [
        list(ss.Loader(ds, batch_size=5, masks=True, drop_last=False, world=ss.World(rank, world), **options))
        for rank in range(world)
    ]


def truth_of(batches: list[ss.Batch], categories: list[dict[str, Any]], metric: str) -> dict[str, Any]:
    """An official dictionary from nothing but what batches hold."""
    images, annotations = [], []
    for batch in batches:
        for row, target in enumerate(batch.targets(masks=True)):
            if not batch["valid"][row]:
                continue
            height, width = batch["orig_size"][row].tolist()
            images.append({"id": target["image_id"], "height": height, "width": width})
            for n in range(len(target["boxes"])):
                x0, y0, x1, y1 = target["boxes"][n].double().tolist()
                rle: Any = official.encode(np.asfortranarray(target["masks"][n].numpy()))
                entry = {
                    "id": int(target["ann_id"][n]), "image_id": target["image_id"], "category_id": int(target["labels"][n]),
                    "bbox": [x0, y0, x1 - x0, y1 - y0], "area": float(target["area"][n]),
                    "iscrowd": int(target["iscrowd"][n]), "segmentation": rle,
                }  # fmt: skip
                if metric == "keypoints":
                    if target["num_keypoints"][n] < 0:
                        continue
                    entry |= {
                        "keypoints": target["keypoints"][n].flatten().tolist(),
                        "num_keypoints": int(target["num_keypoints"][n]),
                    }
                annotations.append(entry)
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_ground_truth_read_through_the_loader_scores_as_the_original_file(case: Any, world: int) -> None:
    """bbox, segm and keypoints; a wrong id, box, area or crowd flag would move the number."""
    ds, truth, results, expected, metric = case
    assert 0.2 < expected[0] < 0.9
    batches = [batch for rank in ranks(ds, world, shuffle=True) for batch in rank]
    mine = truth_of(batches, truth["categories"], metric)
    assert sorted(a["id"] for a in mine["annotations"]) == sorted(a["id"] for a in truth["annotations"])
    assert evaluated(mine, results, metric) == pytest.approx(expected, abs=1e-9)


def predictions(batch: ss.Batch, results: list[dict[str, Any]], metric: str) -> list[dict[str, Any]]:
    """A model's output for a batch: the results of its images, in pixels of the batch's images."""
    made = []
    for row in range(len(batch["key"])):
        found = [r for r in results if r["image_id"] == int(batch["image_id"][row])]
        p: dict[str, Any] = {
            "scores": torch.tensor([r["score"] for r in found], dtype=torch.float64),
            "labels": torch.tensor([r["category_id"] for r in found], dtype=torch.int64),
        }
        if metric == "bbox":
            boxes = torch.tensor([r["bbox"] for r in found], dtype=torch.float64).reshape(-1, 4)
            p["boxes"] = torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
        elif metric == "keypoints":
            p["keypoints"] = torch.tensor([r["keypoints"] for r in found], dtype=torch.float64).reshape(-1, 17, 3)
        else:
            masks = [torch.from_numpy(official.decode(r["segmentation"])) for r in found]
            p["masks"] = torch.stack(masks)[:, None].float() if masks else torch.zeros(0, 1, 4, 4)
        made.append(p)
    return made


def collect(
    ds: ss.ShardDataset, batches: list[ss.Batch], results: list[dict[str, Any]], metric: str
) -> scoring.CocoResults:
    collected = scoring.CocoResults(ds)
    add = {"bbox": collected.add_boxes, "segm": collected.add_masks, "keypoints": collected.add_keypoints}[metric]
    for batch in batches:
        add(batch, predictions(batch, results, metric))
    return collected


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_results_collected_from_batches_score_officially(case: Any, world: int, tmp_path: Path) -> None:
    """Every rank collects, the results are merged, saved as an official file and scored against the packed split."""
    ds, truth, results, expected, metric = case
    parts = [collect(ds, rank, results, metric) for rank in ranks(ds, world)]
    whole = parts[0]
    for part in parts[1:]:
        whole.merge(part)
    names = scoring.score(ds, whole, metric)
    assert list(names.values()) == pytest.approx(expected, abs=1e-6)
    whole.save(tmp_path / "results.json")
    saved = load_results(tmp_path / "results.json")
    assert len(saved) == len(results)
    assert evaluated(truth, saved, metric) == pytest.approx(expected, abs=1e-6)
    faster = scoring.score(ds, whole, metric, backend="faster-coco-eval")
    assert list(faster.values())[: len(expected)] == pytest.approx(expected, abs=1e-6)


def test_predictions_on_cropped_and_mirrored_images_come_back_to_original_pixels(tmp_path: Path) -> None:
    """Boxes and keypoints of the batch itself, taken as predictions, are those of the records."""
    ds = pack_toy_coco(tmp_path / "out", 24)
    window = T.Compose([T.Resize((80, 120)), T.RandomHorizontalFlip(0.5)])
    boxes, points = scoring.CocoResults(ds, "contiguous"), scoring.CocoResults(ds, "contiguous+1")
    flips = set()
    for batch in ss.Loader(ds, batch_size=5, transform=window, shuffle=True, drop_last=False):
        flips |= set(batch["flipped"].tolist())
        for results, labels in ((boxes, "contiguous"), (points, "contiguous+1")):
            made = [{**t, "scores": torch.ones(len(t["boxes"]))} for t in batch.targets(labels=labels)]
            (results.add_boxes if results is boxes else results.add_keypoints)(batch, made)
    assert flips == {True, False}
    for i in range(24):
        record = toy_record(i)
        for made, item in zip(boxes.by_image[record["image_id"]], record["objects"], strict=True):
            assert made["bbox"] == pytest.approx(item["bbox"], abs=1e-3)
            assert made["category_id"] == item["category_id"]
        for made, item in zip(points.by_image[record["image_id"]], record["objects"], strict=True):
            if item["keypoints"]:
                assert made["keypoints"] == pytest.approx(item["keypoints"], abs=1e-3)


def test_masks_on_cropped_and_mirrored_images_are_pasted_where_they_were(tmp_path: Path) -> None:
    """A crop at the image's own scale: the mask within it comes back pixel for pixel, nothing outside."""
    ds = pack_toy_coco(tmp_path / "out", 24)
    transform = T.Compose([T.CenterCrop((20, 24)), T.RandomHorizontalFlip(0.5)])
    results = scoring.CocoResults(ds)
    for batch in ss.Loader(ds, batch_size=5, transform=transform, masks=True, shuffle=True, drop_last=False):
        results.add_masks(batch, [{**t, "scores": torch.ones(len(t["boxes"]))} for t in batch.targets(masks=True)])
    checked = 0
    for i in range(24):
        record = toy_record(i)
        for made, item in zip(results.by_image[record["image_id"]], record["objects"], strict=True):
            if item["rle"]:
                whole = official.decode(official.frPyObjects(item["rle"], 40, 60))
                inside = np.zeros_like(whole)
                inside[10:30, 18:42] = whole[10:30, 18:42]
                assert inside.any()
                assert np.array_equal(official.decode(made["segmentation"]), inside)
                checked += 1
    assert checked > 5


def test_incomplete_or_foreign_results_are_refused(tmp_path: Path) -> None:
    """A score of a part looks like a score; an image counted twice is wrong twice."""
    ds = pack_toy_coco(tmp_path / "out", 12)
    batches = list(ss.Loader(ds, batch_size=4))
    empty = {"boxes": torch.zeros(0, 4), "scores": torch.zeros(0), "labels": torch.zeros(0, dtype=torch.int64)}
    results = scoring.CocoResults(ds)
    for batch in batches[:2]:
        results.add_boxes(batch, [empty] * 4)
    with pytest.raises(ss.OptionError, match=r"4 of the 12 images were never added, such as 1\d\d:"):
        scoring.score(ds, results)
    assert scoring.score(ds, results, partial=True)["AP"] == 0.0
    with pytest.raises(ss.OptionError, match=r"image 100 was added before"):
        results.add_boxes(batches[0], [empty] * 4)
    with pytest.raises(ss.OptionError, match=r"3 predictions for a batch of 4 rows"):
        results.add_boxes(batches[2], [empty] * 3)
    with pytest.raises(
        ss.OptionError, match=r"predicted label 2 is none of the 4 classes in the convention 'category_id'"
    ):
        results.add_boxes(
            batches[2], [{**empty, "boxes": torch.ones(1, 4), "scores": torch.ones(1), "labels": torch.tensor([2])}] * 4
        )
    with pytest.raises(ss.OptionError, match=r"1 shapes, 0 scores"):
        results.add_boxes(batches[2], [{**empty, "boxes": torch.ones(1, 4)}] * 4)
    results.add_boxes(batches[2], [empty] * 4)
    assert scoring.score(ds, results)["AP"] == 0.0
    with pytest.raises(ss.OptionError, match=r"6 images have results but are not in the ground truth"):
        scoring.score(ds.select(range(6)), results)
    truth = scoring.coco_ground_truth(ds)
    truth["annotations"][0]["id"] = 0
    with pytest.raises(ss.OptionError, match=r"annotation id 0: the official evaluator needs ids of 1 or more"):
        scoring.score(truth, results)


def test_captions_are_scored_with_all_their_references_only(tmp_path: Path) -> None:
    """One caption per image, references complete; the dictionaries are those of every caption scorer."""
    import pyarrow.compute as pc

    whole = pack_toy_coco(tmp_path / "out", 24)
    ds = whole.select(pc.field("n_captions") > 0)
    results = scoring.CocoResults(ds)
    for batch in ss.Loader(ds, batch_size=5, view="caption:all"):
        results.add_captions(batch, [f"a caption of {key}" for key in batch["key"]])
    references, hypotheses = caption_inputs(ds, results)
    captioned = [i for i in range(24) if toy_record(i)["captions"]]
    assert references == {i + 100: [c["caption"] for c in toy_record(i)["captions"]] for i in captioned}
    assert hypotheses == {i + 100: [f"a caption of {i:06d}"] for i in captioned}
    assert results.as_list()[0] == {"image_id": 101, "caption": "a caption of 000001"}
    with pytest.raises(ss.OptionError, match=r"images were never added"):
        caption_inputs(whole, results)
    results.by_image[101].append({"image_id": 101, "caption": "another"})
    with pytest.raises(ss.OptionError, match=r"image 101 has 2 captions; exactly one is scored"):
        caption_inputs(ds, results)
    for batch in ss.Loader(whole.select(pc.field("n_captions") == 0), batch_size=9, view="image"):
        results.add_captions(batch, ["nothing to compare with"] * 9)
    with pytest.raises(ss.OptionError, match=r"0 reference captions"):
        caption_inputs(whole, results)


def test_the_official_result_files_are_read_and_written_alike(real_data: Path, tmp_path: Path) -> None:
    """cocoapi's own examples of boxes, masks, keypoints and captions."""
    ds = pack_toy_coco(tmp_path / "out", 4)
    for path in sorted((real_data / "coco/cocoapi-results").glob("*_results.json")):
        found = load_results(path)
        results = scoring.CocoResults(ds)
        for entry in found:
            results.by_image.setdefault(entry["image_id"], []).append(entry)
        results.save(tmp_path / "again.json")
        assert sorted(map(json.dumps, load_results(tmp_path / "again.json"))) == sorted(map(json.dumps, found))
    (tmp_path / "bad.json").write_text('{"a": 1}')
    with pytest.raises(ss.OptionError, match=r"bad\.json is no list of results"):
        load_results(tmp_path / "bad.json")
