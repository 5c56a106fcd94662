"""Lyapunov exponents from runs: the rate at which displacements grow, with an interval."""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.special import stdtrit

from sdesim.analysis.estimate import Estimate
from sdesim.core.checks import near
from sdesim.dynamics.tangent import GROWTH
from sdesim.engine.results import Status
from sdesim.observe.schedule import steps_of

UNITS = {"units": "1/time", "long_name": "Lyapunov exponent"}


def lyapunov(ds: xr.Dataset, after: float = 0.0, level: float = 0.95, *, distance: str | None = None) -> Estimate:
    """Exponential rate of growth of a small displacement per unit time, the Lyapunov exponent.

        λ = mean over paths of (s(T) - s(t₁)) / (T - t₁)

    with s the logarithm of the growth. Paths are independent, so the interval is Student's over their slopes and
    needs no assumption on correlations in time. It holds the mean slope of the window: the exponent, once x and the
    direction v have forgotten their starts by t₁.

    Parameters
    ----------
    ds : Dataset
        A run of `Tangent`; or of any dynamics, with `distance`.
    after : float
        t₁, the time whose growth is not counted; it must be a time of `Record` where it is not 0.
    level : float
        Of the interval.
    distance : str, optional
        A variable of ds with the dimensions path and time, such as a recorded distance from a set: s is its
        logarithm, for the ordinary run of a path that does not lie in the set. Numbers below 1e-308 are 0 and have
        no logarithm, and far from the set the rate is another one: `Tangent` has neither problem.

    Returns
    -------
    Estimate
        In 1/time, a number or an array over the varied parameters. NaN in cells where a path diverged.

    Raises
    ------
    ValueError
        If ds has no growth, one path, paths stopped by an exit, no recorded time t₁, or a distance that is 0.

    Examples
    --------
    >>> import sdesim as sd
    >>> ds = sd.run(sd.Tangent(sd.EulerMaruyama(sd.SDE("-x", 0.5), 0.01)), 0.0, 2, n_steps=100, engine="reference")
    >>> print(f"{lyapunov(ds).value:.4f}")  # log(1 - dt) / dt
    -1.0050

    References
    ----------
    Benettin, Galgani, Giorgilli and Strelcyn, Meccanica 15 (1980) 9-20.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}")
    gone = int((ds["status"] == Status.EXITED).sum())
    if gone:
        raise ValueError(
            f"{gone} paths were stopped by an exit: how they grew until then is a condition on them, and the mean of "
            "their rates no exponent; run without FirstExit"
        )
    slopes = _slopes(ds, after) if distance is None else _distance_slopes(ds, after, distance)
    n = slopes.sizes["path"]
    if n < 2:
        raise ValueError("an exponent with an interval needs at least two paths, got 1: write n_paths=16 or more")
    slopes = slopes.where(ds["status"] != Status.DIVERGED)
    centre = slopes.mean("path", skipna=False)
    half = stdtrit(n - 1, (1 + level) / 2) * slopes.std("path", ddof=1, skipna=False) / np.sqrt(n)
    ends = (v.assign_attrs(UNITS) for v in (centre, centre - half, centre + half))
    value, low, high = (v if v.ndim else float(v) for v in ends)
    return Estimate(value, low, high, level, n, "mean growth rate over paths, Student interval")


def _slopes(ds: xr.Dataset, after: float) -> xr.DataArray:
    """Growth per unit time of each path, from its last state."""
    if GROWTH not in ds.get("component", xr.DataArray([])).values:
        raise ValueError(
            "the dataset has no growth of displacements: run Tangent(dynamics), or name a recorded distance, "
            "distance='...'"
        )
    end, time = ds["final_state"].sel(component=GROWTH, drop=True), ds["n_steps"] * ds["clock"]
    if after == 0:
        return end / time
    if "state" not in ds:
        raise ValueError(f"after={after:g} needs the state at that time: observers=[sd.Record([{after:g}])]")
    start = ds["state"].sel(component=GROWTH, drop=True).isel(time=_index(ds, after), drop=True)
    window = time - _steps_time(ds, after)
    if not bool((window > 0).any()):
        raise ValueError(f"no step was taken later than after={after:g}, the last one was at {float(time.max()):g}")
    return (end - start) / window


def _distance_slopes(ds: xr.Dataset, after: float, distance: str) -> xr.DataArray:
    """Growth per unit time of a recorded distance, from time `after` to the last one."""
    if distance not in ds:
        raise ValueError(f"the dataset has no variable {distance!r}: {near(distance, map(str, ds.data_vars))}")
    d = ds[distance]
    if not {"path", "time"} <= set(d.dims):
        raise ValueError(f"{distance!r} has dimensions {d.dims}: record it at two times, Record(times, values={{...}})")
    first, last = _index(ds, after), d.sizes["time"] - 1
    if first == last:
        raise ValueError(f"{distance!r} is recorded at no time later than {after:g}")
    start, end = d.isel(time=first, drop=True), d.isel(time=last, drop=True)
    if bool((end <= 0).any()) or bool((start <= 0).any()):
        raise ValueError(
            f"{distance!r} is 0 or below on {int(((end <= 0) | (start <= 0)).sum())} paths, which has no logarithm: "
            "look at earlier times, or run Tangent(dynamics, normal_to=set)"
        )
    times = [_steps_time(ds, float(ds["time"][i])) for i in (first, last)]
    return xr.DataArray((np.log(end) - np.log(start)) / (times[1] - times[0]))


def _index(ds: xr.Dataset, after: float) -> int:
    """Where a time is among the recorded ones."""
    times = ds["time"].values if "time" in ds else np.empty(0)
    found = np.flatnonzero(np.isclose(times, after, rtol=1e-9, atol=1e-12))
    if not len(found):
        raise ValueError(f"nothing was recorded at time {after:g}, only at {times.tolist()}: add it to Record")
    return int(found[0])


def _steps_time(ds: xr.Dataset, time: float) -> xr.DataArray:
    """Time of the last step at or before `time`, whose state Record keeps."""
    return xr.DataArray(steps_of(time, ds["clock"]) * ds["clock"])
