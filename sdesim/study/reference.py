"""Which theory holds for an experiment, and its numbers beside the simulated ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

THEORY = "exit_time_theory"


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


def with_theory(
    ds: xr.Dataset, dynamics: Any, x0: Any, observers: Sequence[Any], vary: Mapping[str, Any] | None
) -> xr.Dataset:
    """The dataset with the exact mean exit time as a variable, where there is one and nothing is swept."""
    regions = [observer.region for observer in observers if hasattr(observer, "region")]
    if vary or len(regions) != 1 or "exit_time" not in ds:
        return ds
    found = mean_exit_time(dynamics, x0, regions[0])
    if found is None:
        return ds
    attributes = {"long_name": "mean exit time, theory", "units": "time", "method": found.method}
    return ds.assign({THEORY: ((), float(np.ravel(found.value)[0]), attributes)})
