"""Holding times in a well: the shape of the Weibull law that fits them, some cut off by the end of the record."""

from __future__ import annotations

import numpy as np
import xarray as xr

from sdesim.analysis.wells.sojourns import Sojourns

FEW = 10  # stays seen to their end below which nothing is said


def holding_times(s: Sojourns, share: float, wells: xr.DataArray) -> xr.Dataset:
    """Shape of the Weibull law of the holding times of each well, with intervals that all hold with 1 - `share`."""
    from scipy.special import ndtri

    done = [(s.well == i) & (s.to >= 0) for i in range(s.n_wells)]
    n = np.array([d.sum() for d in done])
    z = float(ndtri(1 - share / (2 * max((n >= FEW).sum(), 1))))
    rows = []
    for i in range(s.n_wells):
        if n[i] < FEW:
            rows.append((np.nan, np.nan, np.nan))
            continue
        here = s.well == i
        shape, error = weibull_shape(s.end[here] - s.start[here], s.to[here] >= 0, s.clock)
        wide = np.exp(z * error / shape)
        rows.append((shape, shape / wide, shape * wide))
    shape, low, high = np.array(rows).T
    with np.errstate(divide="ignore"):
        mean = np.array([(s.end - s.start)[s.well == i].sum() for i in range(s.n_wells)]) / n
    variables = {"shape": shape, "low": low, "high": high, "n": n, "mean": mean}
    units = {"mean": "time"}
    return xr.Dataset(
        {k: ("well", v, {"units": units.get(k, "1")}) for k, v in variables.items()}, {"well": wells}
    )


def weibull_shape(times: np.ndarray, seen: np.ndarray, clock: float = 0.0) -> tuple[float, float]:
    """Likeliest shape k of P(T > t) = exp(-(t/c)^k) and its standard error; k = 1 is the exponential law.

    Parameters
    ----------
    times : ndarray, shape (stay,)
        Time until the end, or until the record ended where it was not `seen`.
    seen : boolean ndarray, shape (stay,)
    clock : float
        Times seen to their end are multiples of it; they stand for the half step before.
    """
    from scipy.optimize import brentq

    t = np.where(seen, times - 0.5 * clock, times)
    positive = t > 0
    t, seen = t[positive], seen[positive]
    logs = np.log(t / t.max())
    r, mean = int(seen.sum()), float(logs[seen].mean())

    def moments(k: float) -> tuple[float, float]:
        weights = np.exp(k * logs)
        total = weights.sum()
        first = (weights * logs).sum() / total
        return float(first), float((weights * logs**2).sum() / total - first**2)

    shape = float(brentq(lambda k: 1 / k + mean - moments(k)[0], 1e-3, 1e3))
    return shape, float((r / shape**2 + r * moments(shape)[1]) ** -0.5)
