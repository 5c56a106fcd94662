"""The clock of total time at risk, on which exponential exits are uniform, and Laplace's trend on it."""

from __future__ import annotations

import numpy as np

from sdesim.analysis.exit_times.sample import FEW, Sample

# Standard errors of Laplace's trend statistic beyond which exits are visibly not exponential.
TREND = 4.0


def places(sample: Sample) -> np.ndarray:
    r"""Exits on the clock of total time at risk, as shares of the last one, which is left out; ascending.

    The clock runs as fast as there are paths at risk: V(t) = \int_0^t Y(s) ds with Y(s) the paths whose time is
    at least s. With a constant exit rate exits are a Poisson process on it, so that V(t_i)/V(t_d), i < d, are
    uniform order statistics: exactly if every path exits or the observation ends with the d-th exit, asymptotically
    under any censoring that does not look ahead (Gill, Ann. Statist. 14, 1986).
    """
    order = np.argsort(sample.time, kind="stable")
    time, exited = sample.time[order], sample.exited[order]
    alive = time.size - np.arange(time.size)
    clock = np.cumsum(alive * np.diff(time, prepend=0.0))[exited]
    return clock[:-1] / clock[-1] if clock.size and clock[-1] > 0 else clock[:0]


def laplace(sample: Sample) -> float:
    """Laplace's trend statistic: standard normal if exponential, positive if the exit rate rises with time."""
    found = places(sample) if sample.n_exited >= FEW else np.empty(0)
    return float((found.mean() - 0.5) * np.sqrt(12 * found.size)) if found.size else 0.0


def trend_note(sample: Sample) -> list[str]:
    """A note if an exit rate assumed constant visibly changes."""
    trend = laplace(sample)
    if abs(trend) <= TREND:
        return []
    turn = "rises" if trend > 0 else "falls"
    return [
        f"the exit rate {turn} with time (Laplace trend {trend:+.1f} standard errors), not exponential: "
        "run until every path exits or look at survival"
    ]
