"""From our batches to official COCO results, and to the official numbers."""

from .coco_ground_truth import caption_references, coco_ground_truth
from .coco_results import CocoResults
from .coco_score import score, score_captions

__all__ = ["CocoResults", "caption_references", "coco_ground_truth", "score", "score_captions"]
