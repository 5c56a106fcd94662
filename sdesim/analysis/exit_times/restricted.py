"""Restricted mean exit time: what censored paths say about the mean without any law assumed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from sdesim.analysis.estimate import Estimate
from sdesim.analysis.exit_times.mean import hall
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


@dataclass(frozen=True, repr=False)
class RestrictedMean(Estimate):
    """E min(exit time, t); `n` counts the paths it rests on.

    Attributes
    ----------
    n_exited, n_censored, n_diverged : int or xarray.DataArray
        Paths that left by t, those that had not by then or when last seen, those that blew up.
    error : float or xarray.DataArray
        Standard error, the root of Greenwood's variance.
    warning : str or xarray.DataArray
        What to doubt about the number; empty if nothing.
    """

    n_exited: Any
    n_censored: Any
    n_diverged: Any
    error: Any
    warning: Any


def restricted_mean(ds: xr.Dataset, t: Any, level: float = 0.95) -> RestrictedMean:
    r"""Mean of min(exit time, t): the area under the survival function up to t.

    With Kaplan and Meier's estimate S, exits d_j of Y_j paths at risk at the exit times t_j <= t and
    A_j = \int_{t_j}^t S,

        mean = \int_0^t S,    error^2 = \sum_j A_j^2 d_j / (Y_j (Y_j - d_j)).

    No law is assumed; where every path is followed to t this is the mean of min(exit time, t) and its error.

    Interval: Hall's skewness-corrected t interval of the paths' influences on the area (their mean square over the
    number of paths is Greenwood's variance). With fewer than ten exits by t a wider one that holds at any sample
    size: t P(exit by t) >= t - mean >= (t/2) P(exit by t/2), with exact binomial bounds of both probabilities. Paths
    lost before t count as followed in the second and not at all in the first, which only widens it. No exit by t:
    no value, but the lower bound, and advice.

    Parameters
    ----------
    ds : xarray.Dataset
        Result of `run` with a `FirstExit`; swept dimensions are kept.
    t : float or xarray.DataArray
        Time, not beyond the last path at risk; an array may depend on swept parameters.
    level : float
        Confidence level in (0, 1).

    Returns
    -------
    RestrictedMean
        In units of time.

    Raises
    ------
    ValueError
        If the dataset has no exit times, no path counts, or t is not in (0, last time at risk].

    References
    ----------
    J. P. Klein and M. L. Moeschberger, Survival Analysis, 2nd ed. (2003), section 4.5.
    """
    check_level(level)
    cells = over_cells(ds, lambda sample, until: _of_sample(sample, until, level), t)
    return RestrictedMean(level=level, **table(ds, cells, "restricted mean exit time", time_units(ds)))


def _of_sample(sample: Sample, until: np.ndarray, level: float) -> dict[str, Any]:
    t, last = _horizon(until), int(np.argmax(sample.time))
    if t > sample.time[last] * (1 + 1e-9) and not _all_exited_at_last(sample):
        raise ValueError(
            f"t={t:g} lies beyond the last path at risk, which was seen until {sample.time[last]:.6g}: take a smaller "
            "t or simulate longer (t_max)"
        )
    cut = sample._replace(exited=sample.exited & (sample.time <= t))
    notes = left_out(cut)
    value, error, influence = area(sample, t)
    if cut.n_exited >= FEW:
        method = "area under Kaplan-Meier, Hall's interval of the influences (Greenwood's variance)"
        _, low, high = hall(value + influence, level)
        low, high = max(low, 0.0), min(high, t)
    else:
        low, high = _few(sample, t, level)
        method = "area under Kaplan-Meier, binomial bounds of the exit probability"
    if not cut.n_exited:
        value = error = np.nan
        method = "no exit seen by t: lower bound from the exit probability"
        notes.append(ADVICE)
    return {
        "value": value, "low": low, "high": high, "n": sample.time.size, "method": method, **counts(cut),
        "error": error, "warning": "; ".join(notes),
    }  # fmt: skip


def area(sample: Sample, t: float) -> tuple[float, float, np.ndarray]:
    """Area under Kaplan–Meier up to t, its standard error, and each path's influence on it (mean zero)."""
    n = sample.time.size
    seen = sample.exited & (sample.time <= t)
    at, exits = np.unique(sample.time[seen], return_counts=True)
    at_risk = n - np.searchsorted(np.sort(sample.time), at, side="left")
    after = np.cumprod(1 - exits / at_risk)
    pieces = np.diff(np.append(at, t)) * after
    remaining = np.cumsum(pieces[::-1])[::-1]
    left = at_risk - exits
    weight = np.divide(remaining * at_risk, left, out=np.zeros_like(remaining), where=left > 0)
    passed = np.concatenate([[0.0], np.cumsum(weight * exits / at_risk**2)])
    influence = passed[np.searchsorted(at, np.minimum(sample.time, t), side="right")]
    place = np.searchsorted(at, sample.time[seen])
    influence[seen] -= (weight / at_risk)[place]
    value = float((at[0] if at.size else t) + pieces.sum())
    return value, float(np.sqrt(np.mean((n * influence) ** 2) / n)), n * influence


def _few(sample: Sample, t: float, level: float) -> tuple[float, float]:
    """Bounds of the restricted mean from exact bounds of the probabilities of an exit by t and by t/2."""
    from scipy.special import betaincinv

    seen, n = sample.exited & (sample.time <= t), sample.time.size
    d, early = int(seen.sum()), int((seen & (sample.time <= t / 2)).sum())
    followed = int((seen | (sample.time >= t * (1 - 1e-9))).sum())
    tail = 0.5 * (1 - level) if d else 1 - level
    most = betaincinv(d + 1, followed - d, 1 - tail) if d < followed else 1.0
    least = betaincinv(early, n - early + 1, tail) if early else 0.0
    return float(t * (1 - most)), float(t * (1 - least / 2))


def _horizon(until: np.ndarray) -> float:
    t = float(np.ravel(until)[0])
    if not (np.isfinite(t) and t > 0) or np.any(until != t):
        raise ValueError(f"t must be one positive time for all paths, got {t:g}: write restricted_mean(ds, 10.0)")
    return t


def _all_exited_at_last(sample: Sample) -> bool:
    return bool(np.all(sample.exited[sample.time == sample.time.max()]))
