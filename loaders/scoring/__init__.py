"""From our batches to official result files, and to the official numbers."""

from .average_precision import eleven_point_ap, sklearn_ap, voc_ap
from .coco_ground_truth import caption_references, coco_ground_truth
from .coco_results import CocoResults
from .coco_score import score, score_captions
from .emotic_results import EmoticResults
from .emotic_score import EmoticScore, emotic_class_weights, score_emotic
from .vqa_answer import answer_accuracy, normalise_answer
from .vqa_results import VqaResults
from .vqa_score import VqaScore, score_vqa

__all__ = [
    "CocoResults",
    "EmoticResults",
    "EmoticScore",
    "VqaResults",
    "VqaScore",
    "answer_accuracy",
    "caption_references",
    "coco_ground_truth",
    "eleven_point_ap",
    "emotic_class_weights",
    "normalise_answer",
    "score",
    "score_captions",
    "score_emotic",
    "score_vqa",
    "sklearn_ap",
    "voc_ap",
]
