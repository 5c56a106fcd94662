"""Numbers from independent values, one a path: means, shares, distances from a law and zeros, with intervals.

`values` are a DataArray with the dimension `path` (others are kept) or an array of one dimension. Values recorded
along one path depend on each other: average each path over time first, or look at one time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import betaincinv, stdtrit

from sdesim.analysis.estimate import Estimate


def mean(values: Any, level: float = 0.95) -> Estimate:
    """Mean over paths with its Student interval.

    Parameters
    ----------
    values : DataArray with the dimension `path`, or array, shape (path,)
        Independent over paths.
    level : float
        Of the interval.

    Returns
    -------
    Estimate
        Numbers, or arrays over the other dimensions. A single value has the interval (-inf, inf).

    Raises
    ------
    ValueError
        If there is no path, a value is not finite, or the level is not in (0, 1).
    """
    x = _by_path(values, level)
    n = x.sizes["path"]
    centre, half = x.mean("path"), x.mean("path") * 0 + np.inf
    if n > 1:
        half = stdtrit(n - 1, (1 + level) / 2) * x.std("path", ddof=1) / np.sqrt(n)
    return _estimate(centre, centre - half, centre + half, level, n, "mean over paths, Student interval")


def share(hits: Any, level: float = 0.95) -> Estimate:
    """Share of paths for which something holds, with the exact binomial interval of Clopper and Pearson.

    Parameters
    ----------
    hits : boolean DataArray with the dimension `path`, or array, shape (path,)
        Independent over paths.
    level : float
        Of the interval.

    Raises
    ------
    ValueError
        If there is no path, an entry is neither true nor false, or the level is not in (0, 1).

    Examples
    --------
    >>> found = share([False] * 20)
    >>> found.value, found.low, round(found.high, 4)  # 1 - 0.025**(1/20)
    (0.0, 0.0, 0.1684)
    """
    x = _by_path(hits, level)
    if not bool(((x == 0) | (x == 1)).all()):
        raise ValueError("a share needs values that are true or false: write a comparison such as abs(x) < 1")
    n, k = x.sizes["path"], x.sum("path")
    tail = (1 - level) / 2
    low = xr.where(k > 0, betaincinv(np.maximum(k, 1), n - k + 1, tail), 0.0)
    high = xr.where(k < n, betaincinv(k + 1, np.maximum(n - k, 1), 1 - tail), 1.0)
    return _estimate(k / n, low, high, level, n, "share of paths, exact binomial interval")


def distance(values: Any, cdf: Callable[[np.ndarray], np.ndarray], level: float = 0.95) -> Estimate:
    """Kolmogorov distance sup |F - cdf| between the law F of the values and a given continuous law.

    The empirical distribution function is within sqrt(log(2/(1 - level)) / 2n) of F everywhere, with probability
    at least `level`, whatever F is; the distance inherits that interval.

    Parameters
    ----------
    values : array, shape (path,)
        Independent values.
    cdf : callable
        Distribution function of the law they are compared with, of an array.
    level : float
        Of the interval.

    Raises
    ------
    ValueError
        If there is no path, a value is not finite, there is more than one dimension, or the level is not in (0, 1).

    References
    ----------
    Massart, The tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality, Ann. Probab. 18 (1990).
    """
    x = _by_path(values, level)
    if x.ndim != 1:
        raise ValueError(f"a distance needs one value a path, got dimensions {', '.join(map(str, x.dims))}")
    n = x.sizes["path"]
    at = np.asarray(cdf(np.sort(x.values)), dtype=float)
    found = float(max(np.max(np.arange(1, n + 1) / n - at), np.max(at - np.arange(n) / n)))
    room = float(np.sqrt(np.log(2 / (1 - level)) / (2 * n)))
    method = "Kolmogorov distance, Dvoretzky-Kiefer-Wolfowitz interval"
    return Estimate(found, max(found - room, 0.0), min(found + room, 1.0), level, n, method)


def zero(values: xr.DataArray, along: str, level: float = 0.95) -> Estimate:
    """Where the mean of the values, a straight line in a varied parameter, is zero.

    A line a + b x is fitted to each path; the interval holds every x at which the mean of a + b x over paths does not
    differ from zero (Fieller's theorem).

    Parameters
    ----------
    values : DataArray with the dimensions `path` and `along`
        Rows of the same path number may depend on each other, different paths may not.
    along : str
        Name of the parameter, a dimension with at least two values.
    level : float
        Of the interval.

    Returns
    -------
    Estimate
        (-inf, inf) where the slope is not known to differ from zero.

    Raises
    ------
    ValueError
        If there are other dimensions, fewer than two paths or parameter values, values that are not finite, or the
        level is not in (0, 1).

    References
    ----------
    Fieller, Some problems in interval estimation, J. R. Statist. Soc. B 16 (1954).
    """
    y = _by_path(values, level)
    n = y.sizes["path"]
    if set(y.dims) != {"path", along} or n < 2 or y.sizes[along] < 2:
        raise ValueError(f"a zero along {along!r} needs several paths and values of it alone, got {dict(y.sizes)}")
    slope, start = np.polyfit(np.asarray(y[along], dtype=float), y.transpose(along, "path").values, 1)
    t2 = stdtrit(n - 1, (1 + level) / 2) ** 2 / n
    spread = np.cov(start, slope)
    a, b = float(start.mean()), float(slope.mean())
    square, cross, rest = b * b - t2 * spread[1, 1], a * b - t2 * spread[0, 1], a * a - t2 * spread[0, 0]
    low, high = -np.inf, np.inf
    if square > 0:
        half = np.sqrt(max(cross * cross - square * rest, 0.0))
        low, high = (-cross - half) / square, (-cross + half) / square
    return Estimate(-a / b, float(low), float(high), level, n, "zero of fitted lines, Fieller's interval")


def _by_path(values: Any, level: float) -> xr.DataArray:
    """The values as floats with the dimension `path`, or one clear error."""
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}")
    if not isinstance(values, xr.DataArray):
        array = np.asarray(values)
        if array.ndim != 1:
            raise ValueError(f"values have shape {array.shape}: give one a path, or a DataArray with a path dimension")
        values = xr.DataArray(array, dims="path")
    if "path" not in values.dims or values.sizes["path"] == 0:
        raise ValueError(f"values have no path to average over, dimensions are {dict(values.sizes)}")
    x = values.astype(float)
    lost = int((~np.isfinite(x)).sum())
    if lost:
        raise ValueError(f"{lost} of {x.size} values are not finite: select the paths that count (see status) first")
    return x


def _estimate(value: Any, low: Any, high: Any, level: float, n: int, method: str) -> Estimate:
    """Plain numbers where there is nothing but paths."""
    if value.ndim == 0:
        value, low, high = float(value), float(low), float(high)
    return Estimate(value, low, high, level, n, method)
