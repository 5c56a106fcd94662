"""Competitors timed in turn, and the check that they compute the same thing."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

PAUSE = 0.5
SHORT = 0.25
STANDARD_ERRORS = 5.0


@dataclass(frozen=True)
class Timed:
    """Seconds of every repetition, and what the last one returned."""

    seconds: tuple[float, ...]
    result: Any

    @property
    def median(self) -> float:
        """Median of the seconds."""
        return statistics.median(self.seconds)

    def summary(self) -> dict[str, float]:
        """Median, extremes and number of repetitions."""
        return {
            "median_s": self.median,
            "min_s": min(self.seconds),
            "max_s": max(self.seconds),
            "n": len(self.seconds),
        }


def alternate(work: Mapping[str, Callable[[], Any]], rounds: int = 3) -> dict[str, Timed]:
    """Time the functions one after the other, round after round, after one call of each that is not counted.

    A function that takes less than SHORT seconds is called again within its turn until they are full. Before each
    turn the threads of the last one get PAUSE seconds to fall asleep: OpenMP's spin for a while after their work.
    """
    results = {name: function() for name, function in work.items()}
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, function in work.items():
            time.sleep(PAUSE)
            turn = 0.0
            while turn < SHORT:
                began = time.perf_counter()
                results[name] = function()
                seconds[name].append(time.perf_counter() - began)
                turn += seconds[name][-1]
    return {name: Timed(tuple(seconds[name]), results[name]) for name in work}


class DisagreementError(Exception):
    """Two programs that should compute the same thing do not."""


def agree(what: str, a: Any, b: Any) -> float:
    """Difference of the means of two independent samples, in standard errors.

    Raises
    ------
    DisagreementError
        If it is larger than STANDARD_ERRORS.
    """
    a, b = np.asarray(a, dtype=float).ravel(), np.asarray(b, dtype=float).ravel()
    error = np.hypot(a.std(ddof=1) / np.sqrt(a.size), b.std(ddof=1) / np.sqrt(b.size))
    return within(what, a.mean() - b.mean(), error)


def within(what: str, difference: float, error: float) -> float:
    """A difference in standard errors, refused if it is larger than STANDARD_ERRORS."""
    z = float(difference / error)
    if not abs(z) < STANDARD_ERRORS:
        raise DisagreementError(f"{what}: the two differ by {z:.1f} standard errors")
    return z
