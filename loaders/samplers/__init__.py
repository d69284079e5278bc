"""Samplers: how often each item comes in an epoch, from index columns alone."""

from .answers import AnswerBalanced
from .base import Rule, Sampler
from .classes import ClassBalanced, RepeatFactor, effective_number
from .columns import class_counts
from .multi_label import MultiLabel
from .natural import Natural
from .report import ClassCount, SamplerReport
from .weighted import Weighted

__all__ = [
    "AnswerBalanced",
    "ClassBalanced",
    "ClassCount",
    "MultiLabel",
    "Natural",
    "RepeatFactor",
    "Rule",
    "Sampler",
    "SamplerReport",
    "Weighted",
    "class_counts",
    "effective_number",
]
