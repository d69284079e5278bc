"""Samplers again, as plain loops over raw annotations: what the library must agree with."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

Labels = Sequence[Sequence[int]]


def counts_of(items: Labels) -> Counter[int]:
    """Items that hold each class."""
    return Counter(label for labels in items for label in set(labels))


def class_balanced(items: Labels, power: float) -> list[float]:
    counts = counts_of(items)
    return [counts[labels[0]] ** -power for labels in items]


def effective(items: Labels, beta: float) -> list[float]:
    counts = counts_of(items)
    return [(1 - beta) / (1 - beta ** counts[labels[0]]) for labels in items]


def repeat_factor(items: Labels, threshold: float, square_root: bool = True) -> list[float]:
    counts, repeats = counts_of(items), []
    for labels in items:
        largest = 1.0
        for label in labels:
            ratio = threshold / (counts[label] / len(items))
            largest = max(largest, math.sqrt(ratio) if square_root else ratio)
        repeats.append(largest)
    return repeats


def rarest(items: Labels) -> list[float]:
    counts = counts_of(items)
    return [max(1 / counts[label] for label in labels) for labels in items]


def class_aware(items: Labels) -> list[float]:
    counts = counts_of(items)
    return [sum(1 / counts[label] for label in set(labels)) for labels in items]


def class_weight(items: Labels, classes: int, alpha: float, beta: float, mu: float) -> list[list[float]]:
    """The re-balancing weights of the distribution-balanced loss, term by term as the paper writes them."""
    counts = counts_of(items)
    made = []
    for labels in items:
        instance = sum(1 / counts[label] for label in set(labels)) / classes
        row = []
        for label in range(classes):
            wanted = 1 / classes / counts[label] if counts[label] else math.inf
            row.append(alpha + 1 / (1 + math.exp(min(700, -beta * (wanted / instance - mu)))))
        made.append(row)
    return made


def expected(weights: Sequence[float], size: int, cap: float = 10) -> list[float]:
    """Copies: in proportion, then whatever stands above the cap is cut and the rest filled again, until none does."""
    capped: set[int] = set()
    while True:
        rest = sum(weight for i, weight in enumerate(weights) if i not in capped)
        scale = (size - cap * len(capped)) / rest if rest else 0.0
        above = {i for i, weight in enumerate(weights) if i not in capped and weight * scale > cap * (1 + 1e-9)}
        if not above:
            return [cap if i in capped else weight * scale for i, weight in enumerate(weights)]
        capped |= above


def share_of(copies: Sequence[float], items: Labels, label: int) -> float:
    """The part of an epoch that holds a class."""
    held = sum(count for count, labels in zip(copies, items, strict=True) if label in labels)
    return held / sum(copies)
