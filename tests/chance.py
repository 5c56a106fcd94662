"""Tests of chance: every statement fails by bad luck with probability ALARM at most.

Some eighty statistical statements share the suite's false-alarm rate of 1e-5; seeds are fixed, so that luck is decided
once. A statement about a law is worth something only if it fails for a wrong law: each has such a twin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.stats

ALARM = 1e-7
WIDTH = float(scipy.stats.norm.isf(ALARM / 2))  # 5.33 standard errors


def follows(sample: Any, cdf: Callable[[np.ndarray], np.ndarray], looks: int = 2000) -> bool:
    """Whether a sample is one of the law with this distribution function (Kolmogorov and Smirnov).

    The distance is taken at `looks` order statistics: no larger than over all, so the alarm is no more frequent.
    """
    sample = np.sort(np.asarray(sample, dtype=float))
    assert np.isfinite(sample).all()
    n = len(sample)
    at = np.unique(np.linspace(0, n - 1, min(n, looks)).astype(int))
    levels = np.asarray(cdf(sample[at]))
    distance = max(np.max((at + 1) / n - levels), np.max(levels - at / n))
    return bool(scipy.stats.kstwo.sf(distance, n) > ALARM)


def has_mean(values: Any, expected: float, bias: float = 0.0) -> bool:
    """Whether the mean of independent values is as expected, up to a known bias."""
    values = np.asarray(values, dtype=float)
    assert np.isfinite(values).all()
    error = values.std(ddof=1) / np.sqrt(values.size)
    return bool(abs(values.mean() - expected) <= WIDTH * error + bias)


def has_share(hits: Any, expected: float) -> bool:
    """Whether a share of hits is as expected, by the exact binomial law."""
    hits = np.asarray(hits, dtype=bool)
    return bool(scipy.stats.binomtest(int(hits.sum()), hits.size, expected).pvalue > ALARM)


def slope(steps: Any, errors: Any) -> float:
    """Order of convergence: slope of log error against log step."""
    return float(np.polyfit(np.log(steps), np.log(np.abs(errors)), 1)[0])
