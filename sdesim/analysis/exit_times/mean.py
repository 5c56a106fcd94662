"""Mean exit time, censored paths included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from sdesim.analysis.estimate import Estimate
from sdesim.analysis.exit_times.rate import NO_EXIT, exponential_rate
from sdesim.analysis.exit_times.sample import (
    ADVICE,
    FEW,
    Sample,
    check_level,
    counts,
    left_out,
    over_cells,
    table,
    time_units,
)
from sdesim.analysis.exit_times.trend import trend_note

HALL = "sample mean, Hall's skewness-corrected t interval"


@dataclass(frozen=True, repr=False)
class ExitTimeEstimate(Estimate):
    """Mean exit time; `n` counts the paths it rests on.

    Attributes
    ----------
    n_exited, n_censored, n_diverged : int or xarray.DataArray
        Paths that left, that had not left when they were last seen, and that blew up (left out of the
        estimate).
    warning : str or xarray.DataArray
        What to doubt about the number; empty if nothing.
    """

    n_exited: Any
    n_censored: Any
    n_diverged: Any
    warning: Any


def mean_exit_time(ds: xr.Dataset, level: float = 0.95) -> ExitTimeEstimate:
    """Mean exit time with its interval.

    Every path exited: the sample mean, with Hall's skewness-corrected t interval (fewer than ten paths: the
    exact interval of the exponential law). Some did not: time at risk divided by exits, with the chi-square
    interval that the exponential law gives; `warning` says when the exits contradict that law. None did: no
    value, but the lower bound that the time at risk implies, and advice.

    Parameters
    ----------
    ds : xarray.Dataset
        Result of `run` with a `FirstExit`; swept dimensions are kept.
    level : float
        Confidence level in (0, 1).

    Returns
    -------
    ExitTimeEstimate
        Fields are numbers, or arrays over the swept dimensions.

    Raises
    ------
    ValueError
        If the dataset has no exit times or no path that counts.

    References
    ----------
    P. Hall, On the removal of skewness by transformation, J. R. Statist. Soc. B 54 (1992).
    """
    check_level(level)
    cells = over_cells(ds, lambda sample: mean_of_sample(sample, level))
    return ExitTimeEstimate(level=level, **table(ds, cells, "mean exit time", time_units(ds)))


def mean_of_sample(sample: Sample, level: float) -> dict[str, Any]:
    """Fields of the estimate for one cell."""
    n, exits = sample.time.size, sample.n_exited
    notes = left_out(sample)
    if exits == n and n >= FEW:
        value, low, high = hall(sample.time, level)
        method = HALL
    else:
        rate, slowest, fastest = exponential_rate(sample, level)
        value, low, high = 1 / rate, 1 / fastest if fastest else 0.0, 1 / slowest if slowest else np.inf
        method = "time at risk / exits, chi-square interval, exponential law assumed"
        if not exits:
            method = NO_EXIT.format("lower bound")
            notes.append(ADVICE)
        notes += trend_note(sample)
    return {
        "value": value, "low": low, "high": high, "n": n, "method": method,
        **counts(sample), "warning": "; ".join(notes),
    }  # fmt: skip


def hall(x: np.ndarray, level: float) -> tuple[float, float, float]:
    """Mean and interval by Hall's cubic transformation of the t statistic, which removes the skewness."""
    from scipy.special import stdtrit

    n, mean, std = x.size, x.mean(), x.std(ddof=1)
    if std == 0:
        return float(mean), float(mean), float(mean)
    skew = np.mean((x - mean) ** 3) / np.mean((x - mean) ** 2) ** 1.5 / np.sqrt(n)
    t = stdtrit(n - 1, 0.5 * (1 + level))
    ends = np.array([t, -t])
    if abs(skew) > 1e-8:
        ends = 3 / skew * (np.cbrt(1 + skew * (ends - skew / 6)) - 1)
    low, high = mean - std / np.sqrt(n) * ends
    return float(mean), float(low), float(high)
