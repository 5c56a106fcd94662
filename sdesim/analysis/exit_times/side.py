"""Through which end of an interval paths leave."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from sdesim.analysis.estimate import Estimate
from sdesim.analysis.exit_times.sample import ADVICE, FEW, Sample, check_level, counts, left_out, samples, swept
from sdesim.analysis.exit_times.trend import TREND

SIDES = ("low", "high")
METHOD = "share of the exits seen, exact binomial interval"


@dataclass(frozen=True, repr=False)
class ExitSide(Estimate):
    """Shares of exits over the dimension `side` ("low", "high"); `n` counts the exits they rest on.

    Attributes
    ----------
    n_exited, n_censored, n_diverged : int or xarray.DataArray
        Paths that left, that had not left when they were last seen, and that blew up.
    warning : str or xarray.DataArray
        What to doubt about the numbers; empty if nothing.
    """

    n_exited: Any
    n_censored: Any
    n_diverged: Any
    warning: Any


def exit_side(ds: xr.Dataset, between: Any = None, level: float = 0.95) -> ExitSide:
    """Share of the exits through the low and through the high end of an interval.

    Paths that have not exited have no side. The shares are then those of exits before the horizon; they are the
    shares of all exits if side and time of the exit are independent, as they are after the relaxation in a well.
    `warning` says when the exits contradict that.

    Parameters
    ----------
    ds : xarray.Dataset
        Result of `run` of a 1-D dynamics with a `FirstExit`; swept dimensions are kept.
    between : float or xarray.DataArray, optional
        A point inside the region; an array may depend on swept parameters. By default in the middle of the ends
        `low` and `high` of the `Interval` of the run.
    level : float
        Confidence level in (0, 1), of each share.

    Returns
    -------
    ExitSide
        Over the swept dimensions and `side`. Clopper and Pearson's interval; without an exit the value is NaN and the
        interval [0, 1].

    Raises
    ------
    ValueError
        If the dataset has no exit states, they have several components, no path counts, or the ends are not known.
    """
    check_level(level)
    if "exit_state" not in ds:
        raise ValueError("the dataset has no exit_state: run with observers=[FirstExit(region)]")
    if "component" in ds["exit_state"].dims:
        raise ValueError(
            f"exit_side is for one variable, exit states have {ds.sizes['component']}: "
            "write exit_location(ds), or select a component of exit_state first"
        )
    middle = _middle(ds) if between is None else between
    cells = [_of_sample(*cell, level=level) for cell in samples(ds, ds["exit_state"], middle)]
    dims, coords = swept(ds)
    shape = [ds.sizes[d] for d in dims]
    columns: dict[str, Any] = {}
    for name in ("value", "low", "high"):
        data = np.array([cell[name] for cell in cells]).reshape(*shape, 2)
        known = {"units": "1", "long_name": f"share of exits by side, {name}"}
        columns[name] = xr.DataArray(data, dims=(*dims, "side"), coords={**coords, "side": list(SIDES)}, attrs=known)
    for name in ("n", "n_exited", "n_censored", "n_diverged", "warning"):
        data = np.array([cell[name] for cell in cells]).reshape(shape)
        columns[name] = xr.DataArray(data, dims=dims, coords=coords) if dims else cells[0][name]
    return ExitSide(level=level, method=METHOD, **columns)


def _of_sample(sample: Sample, place: np.ndarray, middle: np.ndarray, *, level: float) -> dict[str, Any]:
    from sdesim.analysis.sample import share

    notes, n = left_out(sample), sample.n_exited
    value, low, high = np.full(2, np.nan), np.zeros(2), np.ones(2)
    if n:
        up = place[sample.exited] > middle[sample.exited]
        found = share(xr.DataArray([~up, up], dims=("side", "path")), level)
        value, low, high = found.value.values, found.low.values, found.high.values
        drift = _dependence(sample.time[sample.exited], up)
        if n < sample.time.size and abs(drift) > TREND:
            notes.append(
                f"exits through the high end come {'later' if drift > 0 else 'earlier'} than those through the low one "
                f"({drift:+.1f} standard errors), and {sample.time.size - n} paths have not exited: the shares "
                "hold for exits up to the horizon only"
            )
    else:
        notes.append(ADVICE)
    return {"value": value, "low": low, "high": high, "n": n, **counts(sample), "warning": "; ".join(notes)}


def _dependence(times: np.ndarray, up: np.ndarray) -> float:
    """Mann and Whitney's statistic of the times on the two sides in standard errors, 0 with few exits on a side."""
    from scipy.stats import rankdata

    n, high = times.size, int(up.sum())
    if min(high, n - high) < FEW:
        return 0.0
    ranks = rankdata(times)
    spread = ranks.std(ddof=1) * np.sqrt(high * (n - high) / n)
    return float((ranks[up].sum() - high * (n + 1) / 2) / spread) if spread > 0 else 0.0


def _middle(ds: xr.Dataset) -> Any:
    """A point between the ends of the interval: parameters of the run or swept ones."""
    known = json.loads(ds.attrs.get("parameters", "{}"))
    low, high = (ds[name] if name in ds.coords else known.get(name) for name in SIDES)
    if (low is None and high is None) or "region=Interval(" not in str(ds.attrs.get("observers", "")):
        raise ValueError(
            "the ends of the region are not known from the dataset: write exit_side(ds, between=x) with a point x "
            "inside the region, such as the start"
        )
    if low is None:
        return high - 1e-9 * (1 + abs(high))
    return low + 1e-9 * (1 + abs(low)) if high is None else 0.5 * (low + high)
