"""Exit times from a dataset of `run`: means and survival functions, censored paths included.

A path that did not exit (still running, censored at the horizon, interrupted) is a datum: it was at risk for
n_steps · clock. A path that diverged is left out and counted, and the result says so.
"""
from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from sdesim.analysis.estimate import Estimate

EXITED, DIVERGED = 1, 3
# Below this many exits the skewness of a sample says nothing; the exponential law is assumed instead.
FEW = 10
# Standard errors of Laplace's trend statistic beyond which exits are visibly not exponential.
TREND = 4.0
GRID = 201


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


class _Sample(NamedTuple):
    """Time at risk of each path that counts, whether it exited, and how many were left out."""

    time: np.ndarray
    exited: np.ndarray
    n_diverged: int


def mean_exit_time(ds: xr.Dataset, level: float = 0.95) -> ExitTimeEstimate:
    """Mean exit time with its interval.

    Every path exited: the sample mean, with Hall's skewness-corrected t interval (fewer than ten paths: the
    exact interval of the exponential law). Some did not: time at risk divided by exits, with the chi-square
    interval that the exponential law gives; `warning` says when the exits contradict that law. None did: no
    value, but the lower bound that the time at risk implies.

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
    _check_level(level)
    cells = _over_cells(ds, lambda sample: _estimate(sample, level))
    names = ["value", "low", "high", "n", "method", "n_exited", "n_censored", "n_diverged", "warning"]
    columns = {name: _shaped(ds, cells, [cell[name] for cell in cells], name) for name in names}
    return ExitTimeEstimate(level=level, **columns)


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
    _check_level(level)
    _check(ds)
    if times is None:
        at_risk = _over_cells(ds, lambda sample: float(sample.time.max()))
        times = np.linspace(0.0, max(at_risk), GRID)
    grid = np.atleast_1d(np.asarray(times, dtype=float))
    bands = np.array(_over_cells(ds, lambda sample: _kaplan_meier(sample, grid, level)))
    dims, coords = _swept(ds)
    bands = bands.reshape((*[ds.sizes[d] for d in dims], 3, grid.size))
    units = ds["exit_time"].attrs.get("units", "1")
    long_names = ["probability of no exit yet", "lower end of the band", "upper end of the band"]
    variables = {
        name: ((*dims, "time"), bands[..., i, :], {"units": "1", "long_name": long_names[i]})
        for i, name in enumerate(["survival", "low", "high"])
    }
    time = ("time", grid, {"units": units, "long_name": "time"})
    out = xr.Dataset(variables, coords={**coords, "time": time})
    out.attrs["level"] = level
    return out


def _check(ds: xr.Dataset) -> None:
    """Refuse a dataset without exit times."""
    missing = [name for name in ("status", "exit_time", "n_steps", "clock") if name not in ds]
    if missing:
        raise ValueError(f"the dataset has no {', '.join(missing)}: run with observers=[FirstExit(region)]")


def _check_level(level: float) -> None:
    """Refuse a confidence level outside (0, 1)."""
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level!r}: write 0.95")


def _swept(ds: xr.Dataset) -> tuple[list[Any], dict[Any, Any]]:
    """Swept dimensions of the exit times, and their coordinates."""
    dims = [d for d in ds["exit_time"].dims if d != "path"]
    return dims, {d: ds[d] for d in dims if d in ds.coords}


def _over_cells(ds: xr.Dataset, statistic: Callable[[_Sample], Any]) -> list[Any]:
    """The statistic of every cell of the sweep, the last dimension fastest."""
    _check(ds)
    dims, _ = _swept(ds)
    columns = xr.broadcast(ds["exit_time"], ds["status"], ds["n_steps"], ds["clock"])
    arrays = [a.transpose(*dims, "path").values.reshape(-1, ds.sizes["path"]) for a in columns]
    return [statistic(_sample(*cell)) for cell in zip(*arrays, strict=True)]


def _sample(times: np.ndarray, status: np.ndarray, steps: np.ndarray, clock: np.ndarray) -> _Sample:
    """Paths of one cell that count; diverged ones are counted apart."""
    counts = status != DIVERGED
    exited = status[counts] == EXITED
    if not counts.any():
        raise ValueError(f"all {counts.size} paths diverged, none has an exit time: take a smaller step")
    at_risk = np.where(exited, times[counts], steps[counts] * clock[counts])
    return _Sample(at_risk.astype(float), exited, int((~counts).sum()))


def _estimate(sample: _Sample, level: float) -> dict[str, Any]:
    """Fields of the estimate for one cell."""
    n, exits = sample.time.size, int(sample.exited.sum())
    if exits == n and n >= FEW:
        value, low, high = _hall(sample.time, level)
        method = "sample mean, Hall's skewness-corrected t interval"
    elif exits == 0:
        value, low, high = np.nan, float(sample.time.sum() / -np.log1p(-level)), np.inf
        method = "no exit seen: lower bound from the time at risk, exponential law assumed"
    else:
        value, low, high = _exponential(sample, level)
        method = "time at risk / exits, chi-square interval, exponential law assumed"
    return {
        "value": value, "low": low, "high": high, "n": n, "method": method, "n_exited": exits,
        "n_censored": n - exits, "n_diverged": sample.n_diverged, "warning": _warning(sample, method),
    }  # fmt: skip


def _hall(x: np.ndarray, level: float) -> tuple[float, float, float]:
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


def _exponential(sample: _Sample, level: float) -> tuple[float, float, float]:
    """Time at risk per exit; exact if every path exited, else the exact interval of a Poisson count."""
    from scipy.special import chdtri

    exits, total = int(sample.exited.sum()), float(sample.time.sum())
    more = 0 if exits == sample.exited.size else 2
    low = 2 * total / chdtri(2 * exits + more, 0.5 * (1 - level))
    high = 2 * total / chdtri(2 * exits, 0.5 * (1 + level))
    return total / exits, float(low), float(high)


def _warning(sample: _Sample, method: str) -> str:
    """What to doubt: paths left out, or an exit rate assumed constant that visibly changes."""
    notes = []
    if sample.n_diverged:
        notes.append(f"{sample.n_diverged} diverged paths left out")
    trend = _trend(sample) if "exponential" in method else 0.0
    if abs(trend) > TREND:
        turn = "rises" if trend > 0 else "falls"
        notes.append(
            f"the exit rate {turn} with time (Laplace trend {trend:+.1f} standard errors), not exponential: "
            "run until every path exits or look at survival"
        )
    return "; ".join(notes)


def _trend(sample: _Sample) -> float:
    """Laplace's trend statistic on the clock of total time at risk: standard normal if exponential."""
    order = np.argsort(sample.time, kind="stable")
    time, exited = sample.time[order], sample.exited[order]
    if exited.sum() < FEW or time[-1] <= 0:
        return 0.0
    alive = time.size - np.arange(time.size)
    clock = np.cumsum(alive * np.diff(time, prepend=0.0))
    places = clock[exited] / clock[-1]
    if exited[-1]:
        places = places[:-1]
    return float((places.mean() - 0.5) * np.sqrt(12 * places.size))


def _kaplan_meier(sample: _Sample, grid: np.ndarray, level: float) -> np.ndarray:
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


def _shaped(ds: xr.Dataset, cells: list[Any], values: list[Any], name: str) -> Any:
    """One number without a sweep, else an array over the swept dimensions."""
    dims, coords = _swept(ds)
    if not dims:
        return values[0]
    data = np.array(values).reshape([ds.sizes[d] for d in dims])
    attrs = {}
    if name in ("value", "low", "high"):
        attrs = {"units": ds["exit_time"].attrs.get("units", "1"), "long_name": f"mean exit time, {name}"}
    return xr.DataArray(data, dims=dims, coords=coords, name=name, attrs=attrs)
