"""Strong orders on one path of the noise, with intervals: what the tests of Heun and Milstein share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.stats

import sdesim as sd
from tests import chance

FINE, LEVELS, PATHS, GROUPS = 256, (2, 4, 8, 16), 4000, 20
MU, SIGMA = 0.4, 0.7
GEOMETRIC = {"drift": "mu*x", "diffusion": "s*x", "params": {"mu": MU, "s": SIGMA}}
QUANTILE = float(scipy.stats.t.isf(chance.ALARM / 2, GROUPS - 1))


def chains(make: Callable[[float, int], Any], x0: Any = 1.0) -> np.ndarray:
    """States at time 1 of chains with ever longer steps under the same fine increments, (level, path, ...)."""
    runs = [sd.run(make(m / FINE, m), x0, PATHS, t_max=1.0, engine="reference", seed=11) for m in LEVELS]
    return np.array([ds.final_state.values for ds in runs])


def driving_noise(scale: float = 1.0) -> np.ndarray:
    """The Brownian motion of these paths at time 1: the sum of the fine increments."""
    walk = sd.EulerMaruyama(sd.SDE("0", 1, noise=sd.Gaussian(scale), variables=["x"]), 1 / FINE)
    return sd.run(walk, 0.0, PATHS, t_max=1.0, engine="reference", seed=11).final_state.values


def order(ends: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Strong order and half the width of its interval: slopes of the mean absolute error in groups of paths."""
    groups = np.abs(ends - truth).reshape(len(LEVELS), GROUPS, -1).mean(axis=2)
    slopes = [chance.slope(LEVELS, groups[:, g]) for g in range(GROUPS)]
    return float(np.mean(slopes)), QUANTILE * float(np.std(slopes, ddof=1)) / np.sqrt(GROUPS)


def has_order(ends: np.ndarray, truth: np.ndarray, expected: float, bias: float = 0.05) -> bool:
    """Whether the order is as expected up to the bias of finite steps, and known well enough to tell 1/2 from 1."""
    value, half = order(ends, truth)
    assert half < 0.2, half
    return abs(value - expected) < half + bias
