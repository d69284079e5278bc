"""Average precision of one category, by the three definitions that EMOTIC numbers are published in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import MissingExtra

Definition = Literal["sklearn", "voc", "11point"]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def sklearn_ap(labels: Bools, scores: Floats) -> float:
    """Sum of precision times the step of recall, not interpolated: scikit-learn's ``average_precision_score``.

    What Tandon-A/emotic reports. ``labels`` and ``scores`` (n,), at least one label true, as for the others here.
    """
    try:
        from sklearn.metrics import average_precision_score
    except ImportError as error:
        raise MissingExtra("this average precision needs scikit-learn: pip install 'shardstream[eval]'.") from error
    return float(average_precision_score(labels, scores))


def voc_ap(labels: Bools, scores: Floats) -> float:
    """Area under precision made non-increasing in recall: PASCAL VOC 2010 and later, the EMOTIC authors' MATLAB demo.

    Equal scores are one threshold, so that no order decides; the demo parts them by random jitter of 1e-10.
    """
    hits, kept = _at_thresholds(labels, scores)
    best = np.maximum.accumulate((hits / kept)[::-1])[::-1]
    return float(np.sum(np.diff(hits, prepend=0) * best) / hits[-1])


def eleven_point_ap(labels: Bools, scores: Floats) -> float:
    """Mean over recall 0, .1 .. 1 of the best precision from there on: VOC 2007, the log of rkosti/emotic.

    Recall is compared in integers, so 3 of 10 reach .3. Equal scores are one threshold.
    """
    hits, kept = _at_thresholds(labels, scores)
    points = np.arange(11)[:, None]  # (11, 1) against (thresholds,)
    return float(np.where(10 * hits >= points * hits[-1], hits / kept, 0.0).max(1).mean())


DEFINITIONS: Mapping[str, Callable[[Bools, Floats], float]] = {
    "sklearn": sklearn_ap,
    "voc": voc_ap,
    "11point": eleven_point_ap,
}


def _at_thresholds(labels: Bools, scores: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """True positives and detections when all scores from a value on count, per distinct value from the top."""
    order = np.argsort(-scores, kind="stable")
    ranked: NDArray[Any] = scores[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    return np.cumsum(labels[order], dtype=np.int64)[last], last + 1
