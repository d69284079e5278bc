"""The official metrics, by the official code, over complete results only."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Mapping
from typing import Any, Literal

from ...errors import MissingExtra, OptionError
from ..base import Dataset
from .coco_ground_truth import caption_references, coco_ground_truth
from .coco_results import CocoResults

Metric = Literal["bbox", "segm", "keypoints"]
_DETECTION = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
_KEYPOINTS = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")


def score(
    truth: Dataset | dict[str, Any],
    results: CocoResults,
    metric: Metric = "bbox",
    *,
    partial: bool = False,
    backend: Literal["pycocotools", "faster-coco-eval"] = "pycocotools",
) -> dict[str, float]:
    """The 12 numbers of COCOeval (10 for keypoints) by their official names, 0..1, -1 where nothing counts.

    ``truth`` is the packed split, or an official dictionary. Every image of it must have been added to ``results``,
    with or without predictions; ``partial=True`` scores those that were. Raises OptionError for results of other
    images, and for annotation ids below 1, which the official code takes for "not matched".
    """
    names = _KEYPOINTS if metric == "keypoints" else _DETECTION
    if isinstance(truth, Dataset):
        truth = coco_ground_truth(truth, "keypoints" if metric == "keypoints" else "instances")
    images = _complete({image["id"] for image in truth["images"]}, results, partial=partial)
    low = next((a["id"] for a in truth["annotations"] if a["id"] < 1), None)
    if low is not None:
        raise OptionError(f"annotation id {low}: the official evaluator needs ids of 1 or more; number them anew.")
    found = [result for result in results.as_list() if result["image_id"] in images]
    if not found:  # the official code fails on an empty list
        counted = any(a["image_id"] in images and not a["iscrowd"] for a in truth["annotations"])
        return dict.fromkeys(names, 0.0 if counted else -1.0)
    with contextlib.redirect_stdout(io.StringIO()):  # the official code prints
        evaluation = _evaluator(backend, truth, found, metric)
        evaluation.params.imgIds = sorted(images)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: float(value) for name, value in zip(names, evaluation.stats, strict=False)}


def score_captions(ds: Dataset, results: CocoResults) -> dict[str, float]:
    """BLEU 1-4, METEOR, ROUGE_L and CIDEr of pycocoevalcap (needs it, and Java for its tokenizer).

    Every image of the split must have exactly one caption and all its references: CIDEr weighs words by the whole
    set, so that of a part is another number. Raises OptionError where something is missing.
    """
    references, hypotheses = caption_inputs(ds, results)
    try:
        from pycocoevalcap.bleu.bleu import Bleu
        from pycocoevalcap.cider.cider import Cider
        from pycocoevalcap.meteor.meteor import Meteor
        from pycocoevalcap.rouge.rouge import Rouge
        from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer
    except ImportError as error:
        raise MissingExtra("caption metrics need pycocoevalcap: pip install pycocoevalcap, and Java.") from error
    if shutil.which("java") is None:
        raise MissingExtra("caption metrics need Java for the official tokenizer: install a Java runtime.")
    with contextlib.redirect_stdout(io.StringIO()):
        tokenizer = PTBTokenizer()
        gts = tokenizer.tokenize({i: [{"caption": c} for c in texts] for i, texts in references.items()})
        res = tokenizer.tokenize({i: [{"caption": c} for c in texts] for i, texts in hypotheses.items()})
        bleu = Bleu(4).compute_score(gts, res)[0]
        others = {"METEOR": Meteor(), "ROUGE_L": Rouge(), "CIDEr": Cider()}
        scores = {name: float(scorer.compute_score(gts, res)[0]) for name, scorer in others.items()}
    return {f"BLEU{n + 1}": float(value) for n, value in enumerate(bleu)} | scores


def caption_inputs(ds: Dataset, results: CocoResults) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """References and hypotheses by image id, as every caption scorer takes them; raises OptionError unless complete."""
    references = caption_references(ds)
    _complete(set(references), results, partial=False)
    counted = dict(zip(ds.column("image_id").tolist(), ds.column("n_captions").tolist(), strict=True))
    short = next((i for i, texts in references.items() if len(texts) != counted[i] or not texts), None)
    if short is not None:
        raise OptionError(
            f"image {short} has {len(references[short])} reference captions, its index says {counted[short]}; at least one"
            " is needed of every image. Select those with captions."
        )
    hypotheses = {image: [result["caption"] for result in found] for image, found in results.by_image.items()}
    wrong = next((i for i, texts in hypotheses.items() if len(texts) != 1), None)
    if wrong is not None:
        raise OptionError(f"image {wrong} has {len(hypotheses[wrong])} captions; exactly one is scored.")
    return references, hypotheses


def _complete(truth: set[int], results: CocoResults, *, partial: bool) -> set[int]:
    """The images to score."""
    seen = set(results.by_image)
    if seen - truth:
        raise OptionError(
            f"{len(seen - truth):,} images have results but are not in the ground truth, such as {min(seen - truth)}."
            " Were they of another split?"
        )
    if truth - seen and not partial:
        raise OptionError(
            f"{len(truth - seen):,} of the {len(truth):,} images were never added, such as {min(truth - seen)}: the score"
            " would be that of a part. Add every batch of every rank (gather()), or pass partial=True."
        )
    return seen


def _evaluator(backend: str, truth: Mapping[str, Any], results: list[dict[str, Any]], metric: str) -> Any:
    try:
        if backend == "faster-coco-eval":
            from faster_coco_eval import COCO
            from faster_coco_eval import COCOeval_faster as COCOeval
        else:
            from pycocotools.coco import COCO
            from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise MissingExtra(f"COCO metrics need {backend}: pip install 'shardstream[eval]'.") from error
    ground = COCO()
    # The official code writes into both: ignore flags and masks, ids and areas.
    ground.dataset = {**truth, "annotations": [{**entry} for entry in truth["annotations"]]}
    ground.createIndex()
    return COCOeval(ground, ground.loadRes([{**result} for result in results]), metric)
