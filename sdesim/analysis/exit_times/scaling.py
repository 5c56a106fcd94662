"""Scaling exponents: how exit times and rates depend on a swept parameter."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from sdesim.analysis.estimate import Estimate, Reference
from sdesim.analysis.exit_times.mean import mean_exit_time
from sdesim.analysis.exit_times.power_law import PowerLaw, local_slopes, power_law
from sdesim.analysis.exit_times.rate import exit_rate
from sdesim.analysis.exit_times.restricted import restricted_mean
from sdesim.analysis.exit_times.sample import check_level
from sdesim.core.checks import near

QUANTITIES: dict[str, Callable[..., Estimate]] = {
    "mean_exit_time": mean_exit_time, "exit_rate": exit_rate, "restricted_mean": restricted_mean,
}  # fmt: skip
# Level of an interval of one standard error on either side.
ONE_SIGMA = math.erf(math.sqrt(0.5))


@dataclass(frozen=True, repr=False)
class ScalingExponent(Estimate):
    """Slope of log value against log parameter; `n` counts the points it rests on.

    Attributes
    ----------
    prefactor : float or xarray.DataArray
        Of the fit, value = prefactor * parameter ** exponent.
    local_slopes : Estimate
        Slopes between neighbouring points, at the geometric mean of their parameters, each with its interval.
    points : Estimate
        What was fitted, over the parameter.
    misfit_p_value : float or xarray.DataArray
        Of the chi-square statistic of the fit; NaN without errors or with two points.
    warning : str or xarray.DataArray
        What to doubt about the number; empty if nothing.
    """

    prefactor: Any
    local_slopes: Estimate
    points: Estimate
    misfit_p_value: Any
    warning: Any


def scaling_exponent(
    data: Any, over: Any, quantity: str = "mean_exit_time", *, error: Any = None, level: float = 0.95, **options: Any
) -> ScalingExponent:
    r"""Exponent p of a power law, value = prefactor * parameter^p, by weighted regression of the logarithms.

    A point of a simulation has the error s = (log high - log low) / 2z from its interval and the weight 1/s^2. With
    the misfit Q, the weighted sum of squares of m residuals, the interval is

        p +- z / sqrt(S)                             where Q is below its 95 % quantile (chi-square, m - 2),
        p +- t_{m-2} sqrt(Q / (m - 2)) / sqrt(S)     where it is not, or where the points have no errors,

    with S the weighted sum of squares of the log parameter about its mean. The second says how well a power law
    describes these points; the limiting exponent may lie outside. `warning` says when local slopes drift: a parabola
    in the log parameter whose coefficient is beyond three standard errors.

    Parameters
    ----------
    data : xarray.Dataset, Estimate, Reference or array
        Result of `run` with a `FirstExit` and a swept parameter; or an estimate over it; or, for theory, numbers at
        the values `over`.
    over : str or array
        Name of the swept parameter, whose values are positive; for a Reference or array the values themselves.
    quantity : str
        Of a dataset: "mean_exit_time", "exit_rate" or "restricted_mean".
    error : array, optional
        Standard errors of an array of numbers; those of a Reference are its own.
    level : float
        Confidence level in (0, 1).
    options
        Of the quantity, such as t= of the restricted mean.

    Returns
    -------
    ScalingExponent
        Over the other swept dimensions. Points without an exit are left out, and the warning says so; fewer than two
        points give NaN and an infinite interval.

    Raises
    ------
    ValueError
        If the parameter is not swept or has fewer than two values, or parameters or numbers are not positive.

    References
    ----------
    P. R. Bevington and D. K. Robinson, Data Reduction and Error Analysis, 3rd ed. (2003), chapters 6 and 7.

    Examples
    --------
    >>> found = scaling_exponent([1.0, 8.0, 64.0], over=[1.0, 2.0, 4.0])
    >>> round(found.value, 12), round(found.prefactor, 12), found.warning
    (3.0, 1.0, '')
    """
    check_level(level)
    points = _points(data, over, quantity, error, level, options)
    name = over if isinstance(over, str) else "x"
    x = _positive_values(points.value, name)
    y, s = _logarithms(points)
    cells = list(np.ndindex(y.shape[:-1]))
    laws = [power_law(x, y[i], s[i], level) for i in cells]
    said = [str(note) for note in np.ravel(getattr(points, "warning", ""))]
    said = said if len(said) == y.size else [""] * y.size
    notes = np.array(said, dtype=object).reshape(y.shape)
    warnings = [_warning(law, name, np.exp(x), y[i], notes[i]) for law, i in zip(laws, cells, strict=True)]
    kept = points.value.isel({name: 0}, drop=True)

    def shaped(values: list[Any]) -> Any:
        return _filled(kept, np.array(values).reshape(kept.shape)) if kept.ndim else values[0]

    return ScalingExponent(
        value=shaped([law.slope for law in laws]),
        low=shaped([law.low for law in laws]),
        high=shaped([law.high for law in laws]),
        level=level,
        n=shaped([law.n for law in laws]),
        method=shaped([f"weighted regression of logarithms, {law.method}" for law in laws]),
        prefactor=shaped([law.prefactor for law in laws]),
        local_slopes=_local_slopes(points, name, x, y, s, level),
        points=points,
        misfit_p_value=shaped([law.misfit_p_value for law in laws]),
        warning=shaped(warnings),
    )


def _points(data: Any, over: Any, quantity: str, error: Any, level: float, options: dict[str, Any]) -> Estimate:
    """An estimate over the parameter, ascending, which is the last dimension."""
    if isinstance(data, xr.Dataset):
        if quantity not in QUANTITIES:
            raise ValueError(f"unknown quantity {quantity!r}: {near(quantity, QUANTITIES)}")
        data = QUANTITIES[quantity](data, level=level, **options)
    elif options:
        raise TypeError(f"{', '.join(options)} is for a dataset, whose quantity it goes to; got numbers")
    if not isinstance(data, Estimate):
        return _numbers(data, over, error)
    if error is not None:
        raise TypeError("error= is for an array of numbers; an estimate has its interval")
    dims = getattr(data.value, "dims", ())
    if not isinstance(over, str) or over not in dims:
        raise ValueError(
            f"cannot scale over {over!r}: {near(str(over), map(str, dims))}; write vary={{'lr': [0.1, 0.05]}} in run"
        )
    fields = {}
    for field, value in vars(data).items():
        array = isinstance(value, xr.DataArray) and over in value.dims
        fields[field] = value.sortby(over).transpose(..., over) if array else value
    return type(data)(**fields)


def _numbers(data: Any, over: Any, error: Any) -> Estimate:
    """Theory's numbers as points: value ± error."""
    if isinstance(over, str):
        raise ValueError(f"numbers need the values of the parameter: write over=[...] in place of over={over!r}")
    method = "numbers as given"
    if isinstance(data, Reference):
        if error is not None:
            raise TypeError("error= is for an array of numbers; a Reference has its own")
        data, error, method = data.value, data.error, data.method
    x, numbers = np.asarray(over, dtype=float), np.asarray(data, dtype=float)
    if x.ndim != 1 or numbers.shape != x.shape:
        raise ValueError(f"each value of the parameter needs one number, got shapes {x.shape} and {numbers.shape}")
    errors = np.broadcast_to(np.asarray(0.0 if error is None else error, dtype=float), x.shape)
    order = np.argsort(x)
    value, half = (xr.DataArray(array[order], dims="x", coords={"x": x[order]}) for array in (numbers, errors))
    return Estimate(value, value - half, value + half, ONE_SIGMA, x.size, method)


def _positive_values(value: xr.DataArray, name: str) -> np.ndarray:
    """Logarithms of the parameter."""
    x = np.asarray(value[name], dtype=float) if value[name].dtype.kind in "fiu" else np.full(value.sizes[name], np.nan)
    if x.size < 2:
        raise ValueError(f"a slope needs at least two values of {name}, got {x.size}")
    if not np.all((x > 0) & np.isfinite(x)) or np.any(np.diff(x) == 0):
        raise ValueError(f"a power law in {name} needs positive, different numbers, got {value[name].values}")
    return np.log(x)


def _logarithms(points: Estimate) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of the points and their standard errors; NaN where there is no number."""
    from scipy.special import ndtri

    value, low, high = (np.asarray(a, dtype=float) for a in (points.value, points.low, points.high))
    if np.any(value <= 0):
        raise ValueError(f"a power law needs positive numbers, got {value.min():g}")
    z = ndtri(0.5 * (1 + points.level))
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.log(value)
        s = np.where(low > 0, 0.5 * (np.log(high) - np.log(low)), np.log(high) - y) / z
    return y, s


def _local_slopes(
    points: Estimate, name: str, x: np.ndarray, y: np.ndarray, s: np.ndarray, level: float
) -> Estimate:
    from scipy.special import ndtri

    slopes, errors = local_slopes(x, y, s)
    half = ndtri(0.5 * (1 + level)) * errors
    between = points.value.isel({name: slice(1, None)}).assign_coords({name: np.exp(0.5 * (x[1:] + x[:-1]))})
    value, low, high = (_filled(between, a) for a in (slopes, slopes - half, slopes + half))
    return Estimate(value, low, high, level, 2, "slope between neighbours, normal interval")


def _warning(law: PowerLaw, name: str, x: np.ndarray, y: np.ndarray, notes: np.ndarray) -> str:
    """Points left out, local slopes that drift, and doubts about the points."""
    said = []
    if law.n < x.size:
        missing = ", ".join(f"{value:.4g}" for value in x[~np.isfinite(y)])
        said.append(f"no number at {name} = {missing}, left out: no exit seen; run longer or use rare_exit_time")
    if law.n < 2:
        said.append("fewer than two points have a number: no slope")
    if law.drifts:
        first, last = law.ends
        size = f"{law.curvature:+.1f} standard errors" if np.isfinite(law.curvature) else "numbers without errors"
        said.append(
            f"local slopes drift from {first:.3g} to {last:.3g} as {name} grows (curvature: {size}): one exponent "
            "does not describe these points; look at local_slopes or take smaller values"
        )
    doubts = [note for note, value in zip(notes, y, strict=True) if note and np.isfinite(value)]
    if doubts:
        said.append(f"{len(doubts)} of {law.n} points carry a warning, the first: {doubts[0]}")
    return "; ".join(said)


def _filled(like: xr.DataArray, data: np.ndarray) -> xr.DataArray:
    """Other values at the same coordinates, without what the attributes say of the old ones."""
    return xr.DataArray(data, like.coords, like.dims)
