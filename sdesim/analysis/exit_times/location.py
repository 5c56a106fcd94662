"""Where paths leave: mean, quantiles and covariance of the state at the exit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from sdesim.analysis.estimate import Estimate
from sdesim.analysis.exit_times.mean import hall
from sdesim.analysis.exit_times.sample import ADVICE, FEW, Sample, check_level, counts, left_out, samples, swept, table

# Share of a component's squared deviations that one exit may carry before mean and covariance are doubted, and from
# how many exits on it is looked at: one of few carries much under any law.
HEAVY, MANY = 0.1, 200


@dataclass(frozen=True)
class ExitLocation:
    """State at the first exit.

    Attributes
    ----------
    mean : Estimate
        Over the swept dimensions and `component`, if the state has several.
    quantiles : Estimate
        Over `quantile` too.
    covariance : Estimate
        Over `component` and `other_component`; the variance, if the state has one.
    n_exited, n_censored, n_diverged : int or xarray.DataArray
        Paths that left, that had not left when they were last seen, and that blew up.
    warning : str or xarray.DataArray
        What to doubt about the numbers; empty if nothing.
    """

    mean: Estimate
    quantiles: Estimate
    covariance: Estimate
    n_exited: Any
    n_censored: Any
    n_diverged: Any
    warning: Any


def exit_location(
    ds: xr.Dataset, quantiles: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95), level: float = 0.95
) -> ExitLocation:
    """Mean, quantiles and covariance of the state at the first exit, each component by itself.

    Mean and covariance: Hall's skewness-corrected t intervals, of the states and of products of their deviations.
    They are asymptotic: a 95 per cent interval of the variance of an exponential law covers 90 per cent of the time
    with 20 exits, 93 with 100. Quantiles: order statistics, whose binomial interval needs no law; an end that would
    take more exits is infinite.
    Paths that have not exited have no place: the numbers are those of exits before the horizon. Jumps may leave far
    behind the boundary: `warning` says where one exit carries a tenth of the variance, and quantiles are what to look
    at then.

    Parameters
    ----------
    ds : xarray.Dataset
        Result of `run` with a `FirstExit`; swept dimensions are kept.
    quantiles : sequence of float
        Probabilities in (0, 1).
    level : float
        Confidence level in (0, 1), of each number.

    Returns
    -------
    ExitLocation
        Without an exit NaN, infinite intervals and advice. Fewer than ten exits: infinite intervals of mean and
        covariance.

    Raises
    ------
    ValueError
        If the dataset has no exit states, no path counts, or a probability is not in (0, 1).
    """
    check_level(level)
    if "exit_state" not in ds:
        raise ValueError("the dataset has no exit_state: run with observers=[FirstExit(region)]")
    p = np.atleast_1d(np.asarray(quantiles, dtype=float))
    if p.ndim != 1 or not p.size or not np.all((p > 0) & (p < 1)):
        raise ValueError(f"quantiles must be probabilities in (0, 1), got {quantiles!r}: write [0.05, 0.5, 0.95]")
    state = ds["exit_state"]
    if "component" not in state.dims:
        state = state.expand_dims("component", -1)
    parts = [state.isel(component=i, drop=True) for i in range(state.sizes["component"])]
    cells = [_of_cell(sample, np.stack(x, axis=-1), p, level) for sample, *x in samples(ds, *parts)]
    notes = table(ds, [cell["notes"] for cell in cells], "exit location", "1")
    hall_says = "Hall's skewness-corrected t interval"
    return ExitLocation(
        mean=_over_cells(ds, cells, "mean", p, level, f"mean over exits, {hall_says}"),
        quantiles=_over_cells(ds, cells, "quantiles", p, level, "order statistics of exits, binomial interval"),
        covariance=_over_cells(ds, cells, "covariance", p, level, f"covariance over exits, {hall_says}"),
        **notes,
    )


def _of_cell(sample: Sample, states: np.ndarray, p: np.ndarray, level: float) -> dict[str, Any]:
    """Arrays (value low high, ...) of one cell, and what to say about them."""
    x, n = states[sample.exited], sample.n_exited
    centred = x - x.mean(axis=0) if n else x
    notes = left_out(sample)
    if n < FEW:
        few = f"{n} exits are too few for intervals of the mean and the covariance, which need {FEW}"
        notes.append(few if n else ADVICE)
    if n >= MANY and _heaviest(centred) > HEAVY:
        notes.append(
            f"one of {n} exits carries {_heaviest(centred):.0%} of the variance of the exit state: mean and "
            "covariance rest on few exits, after jumps they may not exist; look at the quantiles"
        )
    d = x.shape[1]
    products = (centred[:, :, None] * centred[:, None, :]).reshape(n, d * d) * (n / max(n - 1, 1))
    return {
        "mean": np.stack([_mean(column, level) for column in x.T], axis=-1),
        "quantiles": np.stack([_quantiles(column, p, level) for column in x.T], axis=1),
        "covariance": np.stack([_mean(column, level) for column in products.T], axis=-1).reshape(3, d, d),
        "notes": {**counts(sample), "warning": "; ".join(notes)},
    }


def _mean(x: np.ndarray, level: float) -> np.ndarray:
    if x.size >= FEW:
        return np.array(hall(x, level))
    return np.array([x.mean() if x.size else np.nan, -np.inf, np.inf])


def _quantiles(x: np.ndarray, p: np.ndarray, level: float) -> np.ndarray:
    """Value, low and high of each quantile, shape (3, quantile)."""
    from scipy.stats import binom

    n, tail = x.size, 0.5 * (1 - level)
    if not n:
        return np.repeat([[np.nan], [-np.inf], [np.inf]], p.size, axis=1)
    # At most `tail` for fewer than `low`, and for at least `high`, of the values below the quantile.
    low, high = binom.ppf(tail, n, p).astype(int), binom.ppf(1 - tail, n, p).astype(int) + 1
    ordered = np.concatenate([[-np.inf], np.sort(x), [np.inf]])
    return np.array([np.quantile(x, p, method="inverted_cdf"), ordered[low], ordered[high]])


def _heaviest(centred: np.ndarray) -> float:
    """Largest share of a component's squared deviations that one exit carries."""
    squares = centred**2
    total = squares.sum(axis=0)
    return float(np.max(np.divide(squares.max(axis=0), total, out=np.zeros_like(total), where=total > 0)))


def _over_cells(
    ds: xr.Dataset, cells: list[dict[str, Any]], name: str, p: np.ndarray, level: float, method: str
) -> Estimate:
    """One estimate over the swept dimensions and its own; a single component is no dimension."""
    dims, coords = swept(ds)
    stacked = np.array([cell[name] for cell in cells])
    own = ("component", *{"quantiles": ["quantile"], "covariance": ["other_component"]}.get(name, []))
    places = {"quantile": p}
    if "component" in ds.coords:
        places |= dict.fromkeys(("component", "other_component"), ds["component"].values)
    units = "state^2" if name == "covariance" else "state"
    ends = {}
    for i, end in enumerate(("value", "low", "high")):
        data = stacked[:, i].reshape(*[ds.sizes[d] for d in dims], *stacked.shape[2:])
        array = xr.DataArray(data, dims=(*dims, *own), coords=coords, name=name)
        array.attrs = {"units": units, "long_name": f"{name} of the exit state, {end}"}
        if "component" not in ds["exit_state"].dims:
            array = array.squeeze([d for d in own if d != "quantile"], drop=True)
        array = array.assign_coords({d: places[d] for d in array.dims if d in places})
        ends[end] = array if array.ndim else float(array)
    n = np.array([cell["notes"]["n_exited"] for cell in cells]).reshape([ds.sizes[d] for d in dims])
    return Estimate(level=level, n=xr.DataArray(n, dims=dims, coords=coords) if dims else int(n), method=method, **ends)
