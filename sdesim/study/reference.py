"""Which theory holds for an experiment, and its numbers beside the simulated ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

THEORY = "exit_time_theory"
SHARES = "occupancy_theory"
# Enough for a table and a figure: the error of a share is far below its statistical one.
SHARE_RTOL, SHARE_NODES = 0.03, 1500


def mean_exit_time(dynamics: Any, x0: Any, region: Any) -> Any | None:
    """The exact mean exit time where a theory gives it, else None.

    Parameters
    ----------
    dynamics : Dynamics
        Euler steps of a 1-D Itô SDE with Gaussian noise (quadrature of the SDE), Euler steps without drift
        and with isotropic stable noise (Getoor), or any 1-D recursion with a density (its operator).
    x0 : number or array
        Start, the same for all paths.
    region : region
        Which the paths leave.

    Returns
    -------
    Reference or None
        `value`, `error`, `method`.
    """
    from sdesim.analysis import theory
    from sdesim.problems.laws import Gaussian, Stable

    start = np.asarray(x0, dtype=float) if isinstance(x0, float | int | list | tuple | np.ndarray) else None
    if start is None or start.size != dynamics.dim:
        return None
    sde = getattr(dynamics, "sde", None)
    try:
        if isinstance(sde and sde.noise, Stable):
            return _getoor(sde, start.ravel(), region)
        if dynamics.dim > 1:
            return None
        if isinstance(sde and sde.noise, Gaussian):
            return theory.mean_exit_time(sde, float(start.item()), region)
        return theory.chain_exit_time(dynamics, float(start.item()), region)
    except (TypeError, ValueError):
        return None


def _getoor(sde: Any, x0: np.ndarray, region: Any) -> Any | None:
    """Getoor's formula where it holds: no drift, one constant diffusion, isotropic noise, a ball."""
    from sdesim.analysis.estimate import Reference
    from sdesim.analysis.region_ends import region_ends
    from sdesim.analysis.stable_exit import stable_exit_time

    if sde.dim == 1:
        low, high = region_ends(region)
        center, radius = np.array([(low + high) / 2]), (high - low) / 2
    elif hasattr(region, "radius") and sde.noise.isotropic:
        center, radius = np.asarray(region.center, dtype=float), float(region.radius)
    else:
        return None
    sigma = _constant_diffusion(sde)
    if sigma is None or any(drift != 0 for drift in sde.drift):
        return None
    scale = sigma * float(sde.noise.scale)
    value = stable_exit_time(sde.noise.alpha, sde.dim, radius, float(np.linalg.norm(x0 - center)), scale)
    return Reference(value, 0.0, "Getoor 1961")


def _constant_diffusion(sde: Any) -> float | None:
    """Sigma if the diffusion is the constant matrix sigma times the identity."""
    import sympy

    values = {sympy.Symbol(name, real=True): value for name, value in sde.params.items()}
    matrix = sympy.Matrix(sde.diffusion).subs(values)
    if matrix != matrix[0] * sympy.eye(matrix.rows) or matrix[0].free_symbols:
        return None
    return float(matrix[0])


def occupancy(dynamics: Any, landscape: Any) -> Any | None:
    """Long-run share of time in each well of a 1-D recursion on bounded states, else None."""
    from sdesim.analysis import theory

    if dynamics.dim != 1:
        return None
    try:
        law = theory.chain_stationary_law(
            dynamics, intervals=landscape.basins, rtol=SHARE_RTOL, max_nodes=SHARE_NODES
        )
    except (TypeError, ValueError):
        return None
    return law.interval_mass


def with_theory(
    ds: xr.Dataset, dynamics: Any, x0: Any, observers: Sequence[Any], vary: Mapping[str, Any] | None = None
) -> xr.Dataset:
    """The dataset with what theory says as variables: mean exit time, long-run share of time in each well.

    Over a grid only the exit times of SDEs are evaluated: an operator for every cell would take longer than
    the simulation.
    """
    from sdesim.engine.trace import watch

    if not getattr(dynamics, "formulas", True):
        return ds
    seen = watch(observers)
    if seen.passages is not None and not vary:
        shares = occupancy(dynamics, seen.passages.landscape)
        if shares is not None:
            attributes = {"long_name": "share of time in the long run", "units": "1", "method": shares.method}
            ds = ds.assign({SHARES: ("well", shares.value, attributes)})
    if seen.exit is not None and (hasattr(dynamics, "sde") or not vary):
        ds = _with_exit_times(ds, dynamics, x0, seen, vary or {})
    return ds


def _with_exit_times(
    ds: xr.Dataset, dynamics: Any, x0: Any, seen: Any, vary: Mapping[str, Any]
) -> xr.Dataset:
    from sdesim.dynamics.parameters import resolve
    from sdesim.engine.trace import all_parameters, bind

    grid = {name: np.atleast_1d(np.asarray(values, dtype=float)) for name, values in vary.items()}
    known = all_parameters(dynamics, seen)
    shape = tuple(len(values) for values in grid.values())
    times, method = np.full(shape, np.nan), ""
    for cell in np.ndindex(shape):
        values = {resolve(name, known): grid[name][i] for name, i in zip(grid, cell, strict=True)}
        moved, region, _ = bind(dynamics, seen, values)
        found = mean_exit_time(moved, x0, region)
        if found is None:
            return ds
        times[cell], method = float(np.ravel(found.value)[0]), found.method
    attributes = {"long_name": "mean exit time, theory", "units": "time", "method": method}
    return ds.assign({THEORY: (tuple(grid), times, attributes)})
