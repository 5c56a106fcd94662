"""Exit rate under the exponential law, with censoring and delayed entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from sdesim.analysis.estimate import Estimate
from sdesim.analysis.exit_times.sample import (
    ADVICE,
    Sample,
    check_level,
    counts,
    left_out,
    over_cells,
    table,
    time_units,
)
from sdesim.analysis.exit_times.trend import trend_note

NO_EXIT = "no exit seen: {} from the time at risk, exponential law assumed"


@dataclass(frozen=True, repr=False)
class ExitRate(Estimate):
    """Exits per unit of time at risk; `n` counts the paths at risk.

    Attributes
    ----------
    n_exited, n_censored, n_diverged : int or xarray.DataArray
        Of the paths at risk: those that left and those that had not when last seen; paths that blew up.
    time_at_risk : float or xarray.DataArray
        Sum over paths, time.
    warning : str or xarray.DataArray
        What to doubt about the number; empty if nothing.
    """

    n_exited: Any
    n_censored: Any
    n_diverged: Any
    time_at_risk: Any
    warning: Any


def exit_rate(ds: xr.Dataset, after: Any = 0.0, level: float = 0.95) -> ExitRate:
    """Rate of an exponential exit time: exits divided by total time at risk.

    With d exits in total time T the rate is d/T and its interval [chi2(a/2; 2d), chi2(1 - a/2; 2d + 2)] / 2T with
    a = 1 - level: exact when every path exits (2d degrees of freedom on both sides then) or when T is fixed in
    advance, conservative for a fixed horizon. For a recursion d/T is the probability of an exit per step over
    the step's time, the inverse of the mean of the geometric law.

    Parameters
    ----------
    ds : xarray.Dataset
        Result of `run` with a `FirstExit`; swept dimensions are kept.
    after : float or xarray.DataArray
        Delayed entry (left truncation): only paths still inside at this time count, from this time on. Leaves out
        the relaxation from the start, after which metastable exits are exponential. An array may depend on swept
        parameters or on the path.
    level : float
        Confidence level in (0, 1).

    Returns
    -------
    ExitRate
        Per unit time. Without an exit the value is NaN and `high` the upper bound -log(1 - level)/T.

    Raises
    ------
    ValueError
        If the dataset has no exit times, no path counts, or none is at risk after `after`.

    References
    ----------
    J. F. Lawless, Statistical Models and Methods for Lifetime Data, 2nd ed. (2003), sections 4.1 and 4.3.
    """
    check_level(level)
    _check_after(after)
    cells = over_cells(ds, lambda sample, start: _of_sample(sample.after(start), level), after)
    return ExitRate(level=level, **table(ds, cells, "exit rate", f"1/{time_units(ds)}"))


def exponential_rate(sample: Sample, level: float) -> tuple[float, float, float]:
    """Exits per time at risk; exact if every path exited, else the exact interval of a Poisson count."""
    from scipy.special import chdtri

    exits, total = sample.n_exited, float(sample.time.sum())
    if not exits:
        return np.nan, 0.0, float(-np.log1p(-level)) / total if total > 0 else np.inf
    more = 0 if exits == sample.exited.size else 2
    low = chdtri(2 * exits, 0.5 * (1 + level)) / (2 * total)
    high = chdtri(2 * exits + more, 0.5 * (1 - level)) / (2 * total)
    return exits / total, float(low), float(high)


def _of_sample(sample: Sample, level: float) -> dict[str, Any]:
    value, low, high = exponential_rate(sample, level)
    method, notes = "exits / time at risk, chi-square interval, exponential law assumed", left_out(sample)
    if not sample.n_exited:
        method = NO_EXIT.format("upper bound")
        notes.append(ADVICE)
    return {
        "value": value, "low": low, "high": high, "n": sample.time.size, "method": method, **counts(sample),
        "time_at_risk": float(sample.time.sum()), "warning": "; ".join(notes + trend_note(sample)),
    }  # fmt: skip


def _check_after(after: Any) -> None:
    if not np.all(np.asarray(after, dtype=float) >= 0):
        raise ValueError(f"after must be a time ≥ 0, got {after!r}: 0 counts every path from its start")
