"""Survival function of the exit time: Kaplan and Meier's estimate with a band."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import xarray as xr

from sdesim.analysis.exit_times.sample import Sample, check_exits, check_level, over_cells, swept, time_units

GRID = 201


def survival(ds: xr.Dataset, times: Any = None, level: float = 0.95) -> xr.Dataset:
    """Kaplan–Meier estimate of P(exit time > t) with a pointwise confidence band.

    Parameters
    ----------
    ds : xarray.Dataset
        Result of `run` with a `FirstExit`; swept dimensions are kept.
    times : array, optional
        Where the function is wanted; by default 201 times up to the last one seen.
    level : float
        Confidence level of the band: log-log, exact binomial where no path or every path has exited.

    Returns
    -------
    xarray.Dataset
        survival, low, high over the swept dimensions and `time`; NaN beyond the last path at risk.
    """
    check_level(level)
    check_exits(ds)
    if times is None:
        at_risk = over_cells(ds, lambda sample: float(sample.time.max()))
        times = np.linspace(0.0, max(at_risk), GRID)
    grid = np.atleast_1d(np.asarray(times, dtype=float))
    bands = np.array(over_cells(ds, lambda sample: _kaplan_meier(sample, grid, level)))
    dims, coords = swept(ds)
    bands = bands.reshape((*[ds.sizes[d] for d in dims], 3, grid.size))
    long_names = ["probability of no exit yet", "lower end of the band", "upper end of the band"]
    variables = {
        name: ((*dims, "time"), bands[..., i, :], {"units": "1", "long_name": long_names[i]})
        for i, name in enumerate(["survival", "low", "high"])
    }
    time = ("time", grid, {"units": time_units(ds), "long_name": "time"})
    out = xr.Dataset(variables, coords={**coords, "time": time})
    out.attrs["level"] = level
    return out


def _kaplan_meier(sample: Sample, grid: np.ndarray, level: float) -> np.ndarray:
    """Survival, low and high on the grid, shape (3, time)."""
    from scipy.stats import CensoredData, ecdf

    data = CensoredData(uncensored=sample.time[sample.exited], right=sample.time[~sample.exited])
    function = ecdf(data).sf
    value = function.evaluate(grid)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        band = function.confidence_interval(confidence_level=level, method="log-log")
    low, high = band.low.evaluate(grid), band.high.evaluate(grid)
    none = (0.5 * (1 - level)) ** (1.0 / sample.time.size)
    low = np.where(value == 1, none, np.where(value == 0, 0.0, low))
    high = np.where(value == 1, 1.0, np.where(value == 0, 1 - none, high))
    beyond = (grid > sample.time.max()) & ~((value == 0) & sample.exited[np.argmax(sample.time)])
    return np.where(beyond, np.nan, np.array([value, low, high]))
