"""Beta and Dirichlet variables from counted uniforms: a pure function of them, so the same on every machine."""

from __future__ import annotations

import numpy as np

from .boxes import F64

TRIES = 8
"""Each is accepted more than 95 times in 100, so none is in fewer than 1 in 10**10; then the mode is taken."""
UNIFORMS = 3 * TRIES + 1
"""How many uniforms one gamma variable takes."""


def dirichlet(alpha: float, u: F64) -> F64:
    """(..., k) weights that sum to 1, symmetric Dirichlet(alpha), from uniforms (..., k, UNIFORMS)."""
    logs = _log_gamma(alpha, u)
    weights = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def beta(alpha: float, u: F64) -> F64:
    """(...,) in [0, 1], Beta(alpha, alpha), from uniforms (..., 2, UNIFORMS)."""
    return dirichlet(alpha, u)[..., 0]


def _log_gamma(alpha: float, u: F64) -> F64:
    """The logarithm of Gamma(alpha, 1): Marsaglia and Tsang 2000, all tries at once, the first accepted one wins.

    Below 1 by Gamma(alpha + 1) * U ** (1 / alpha), in logarithms, since small powers underflow.
    """
    tries = u[..., :-1].reshape(*u.shape[:-1], TRIES, 3)
    normal = np.sqrt(-2 * np.log1p(-tries[..., 0])) * np.cos(2 * np.pi * tries[..., 1])  # Box and Muller 1958
    d = (alpha if alpha >= 1 else alpha + 1) - 1 / 3
    cube = (1 + normal / np.sqrt(9 * d)) ** 3
    log_cube = np.log(np.where(cube > 0, cube, 1))
    accepted = (cube > 0) & (np.log1p(-tries[..., 2]) < normal**2 / 2 + d * (1 - cube + log_cube))
    first = np.take_along_axis(log_cube, accepted.argmax(-1)[..., None], -1)[..., 0]
    drawn = np.log(d) + np.where(accepted.any(-1), first, 0.0)
    return np.asarray(drawn if alpha >= 1 else drawn + np.log1p(-u[..., -1]) / alpha)
