"""Polygons to masks, pixel for pixel as COCO's official mask library draws them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
_SCALE = 5.0  # the boundary is walked on a grid five times as fine


def polygon_mask(xy: NDArray[np.float64], height: int, width: int) -> Mask:
    """(H, W) mask of one polygon (n, 2); parts outside the image are cut off.

    Algorithm of ``rleFrPoly`` in cocoapi's maskApi.c (P. Dollar, T.-Y. Lin), vectorised: walk the boundary on a
    finer grid, note in which pixel each column is crossed, and fill each column between its crossings.
    """
    if len(xy) == 0:
        return np.zeros((height, width), dtype=np.bool_)
    u, v = _walk(np.trunc(_SCALE * xy + 0.5).astype(np.int64))
    crossing = np.flatnonzero(u[1:] != u[:-1]) + 1
    # The x between the two points, in pixels: only crossings of a pixel's centre line count.
    x = (np.minimum(u[crossing], u[crossing - 1]) + 0.5) / _SCALE - 0.5
    y = np.ceil(np.clip((np.minimum(v[crossing], v[crossing - 1]) + 0.5) / _SCALE - 0.5, 0, height))
    inside = (np.floor(x) == x) & (x >= 0) & (x <= width - 1)
    # column-major: a pixel is inside where an odd number of crossings came before it
    toggles = np.bincount((x * height + y)[inside].astype(np.int64), minlength=height * width + 1)
    filled: Mask = (np.cumsum(toggles[:-1]) % 2).astype(np.bool_)
    return filled.reshape(width, height).T


def _walk(points: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every grid point along the closed boundary, edge by edge: u and v, each (m,)."""
    start, end = points, np.roll(points, -1, axis=0)
    delta = np.abs(end - start)
    steep = delta[:, 1] > delta[:, 0]
    longer = np.where(steep, delta[:, 1], delta[:, 0])
    major = steep.astype(np.int64)  # the coordinate that advances by one: 0 for x, 1 for y
    edges = np.arange(len(points))
    backward = start[edges, major] > end[edges, major]
    low, high = np.where(backward[:, None], end, start), np.where(backward[:, None], start, end)
    slope = (high[edges, 1 - major] - low[edges, 1 - major]) / np.where(longer == 0, np.nan, longer)
    edge = np.repeat(edges, longer + 1)
    step = np.arange(len(edge)) - np.repeat(np.cumsum(longer + 1) - longer - 1, longer + 1)
    t = np.where(backward[edge], longer[edge] - step, step)
    minor = np.trunc(low[edge, 1 - major[edge]] + np.nan_to_num(slope)[edge] * t + 0.5).astype(np.int64)
    along = low[edge, major[edge]] + t
    return np.where(steep[edge], minor, along), np.where(steep[edge], along, minor)
