"""Which theory holds for an experiment's exit time: exact ones first, then limits, else the reason why none does."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np

NODES, RTOL = 1000, 2e-3  # an operator of that size takes a few seconds

Theory = Callable[[], Any]


class NoTheory(ValueError):
    """No theory holds; the message is the assumption that is not met."""


def exit_theory(dynamics: Any, x0: Any, region: Any, *, nodes: int | None = NODES) -> Any:
    """Mean exit time by the best theory that holds.

    In this order: quadrature for diffusions on the line, Getoor's formula for stable noise without drift, the transfer
    operator for any other recursion on the line, a grid for diffusions in the plane; then the limits of small noise,
    Eyring and Kramers (exits of a `Basin`) and Imkeller and Pavlyukevich (stable noise).

    Parameters
    ----------
    dynamics : Dynamics
    x0 : number or array
        Start, the same for all paths.
    region : region
        Which the paths leave.
    nodes : int, optional
        Largest operator; None leaves operators out.

    Returns
    -------
    Reference
        An `Asymptotic` where only a limit is known.

    Raises
    ------
    NoTheory
        If none holds.
    """
    if not getattr(dynamics, "formulas", True):
        raise NoTheory("the dynamics is not given by formulas")
    if not isinstance(x0, Real | list | tuple | np.ndarray):
        raise NoTheory("the paths start from a law, not from one point")
    start = np.ravel(np.asarray(x0, dtype=float))
    if start.size != dynamics.dim:
        raise NoTheory("the paths start from several points")
    refusals = []
    for theory in _candidates(dynamics, start, region, nodes):
        try:
            return theory()
        except (TypeError, ValueError) as error:
            refusals.append(str(error))
    if refusals:
        raise NoTheory(" ".join(refusals[-1].split()))
    raise NoTheory(f"none is known for recursions in {dynamics.dim} dimensions")


def _candidates(dynamics: Any, start: np.ndarray, region: Any, nodes: int | None) -> list[Theory]:
    """What may hold, the exact before the asymptotic."""
    from sdesim.analysis import theory
    from sdesim.problems.laws import Stable

    sde = getattr(dynamics, "sde", None)
    operator: list[Theory] = []
    if dynamics.dim == 1 and nodes is not None:
        operator = [lambda: theory.chain_exit_time(dynamics, start[0], region, rtol=RTOL, max_nodes=nodes)]
    elif dynamics.dim == 1:
        operator = [_too_long]
    if sde is None:
        return operator
    getoor: list[Theory] = [lambda: _getoor(sde, start, region)] if isinstance(sde.noise, Stable) else []
    if sde.noise.index != 2:
        return [*getoor, *operator, lambda: theory.small_noise_stable_exit_time(sde, start, region)]
    if sde.dim == 1:
        return [lambda: theory.mean_exit_time(sde, float(start[0]), region)]
    return [*getoor, *_plane(sde, start, region), lambda: _kramers(sde, start, region)]


def _too_long() -> Any:
    raise ValueError("the operators of all cells would take too long: theory.chain_exit_time gives it for one of them")


def _plane(sde: Any, start: np.ndarray, region: Any) -> list[Theory]:
    """The grid solution of diffusions in two dimensions."""
    from sdesim.analysis import theory

    solve = getattr(theory, "plane_exit_time", None)
    return [lambda: solve(sde, start, region)] if solve is not None and sde.dim == 2 else []


def _kramers(sde: Any, start: np.ndarray, region: Any) -> Any:
    """Eyring–Kramers up to the boundary of a basin, for a drift that is minus the gradient of its landscape."""
    from sdesim.analysis import theory
    from sdesim.observe.basin import FlowBasin

    if not isinstance(region, FlowBasin):
        raise ValueError(
            f"in {sde.dim} dimensions the time to leave a {type(region).__name__} has no formula; for small noise "
            "Basin(landscape, at) has Eyring–Kramers"
        )
    sigma = constant_diffusion(sde)
    if sigma is None:
        raise ValueError("Eyring–Kramers needs one constant diffusion for all coordinates")
    landscape = region.landscape.with_params(**region.params) if region.params else region.landscape
    if not _descends(sde, landscape):
        raise ValueError("Eyring–Kramers needs the drift to be minus the gradient of the basin's landscape")
    if not region.contains(start):
        raise ValueError(f"the start {start} is outside the basin")
    return theory.eyring_kramers(landscape, sigma * float(np.sqrt(sde.noise.variance)), start, until="boundary")


def _descends(sde: Any, landscape: Any) -> bool:
    """Whether the drift is -∇f, judged at points all over the landscape's domain."""
    from sdesim.core.ops import NUMPY

    low, high = np.array(landscape.search_domain).T
    x = low + (high - low) * np.random.default_rng(0).random((32, landscape.dim))
    if tuple(sde.variables) != tuple(landscape.variables):
        return False
    drift = np.stack(np.broadcast_arrays(*sde.coefficients(NUMPY, x, 0.0)[0], x[:, 0])[:-1], axis=-1)
    slope = landscape.gradient(x)
    return bool(np.abs(drift + slope).max() <= 1e-9 * np.abs(slope).max())


def _getoor(sde: Any, x0: np.ndarray, region: Any) -> Any:
    """Getoor's formula where it holds: no drift, one constant diffusion, isotropic noise, a ball."""
    from sdesim.analysis.estimate import Reference
    from sdesim.analysis.limits.stable_exit import stable_exit_time
    from sdesim.analysis.region_ends import region_ends

    if sde.dim == 1:
        low, high = region_ends(region)
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ValueError("Getoor's formula needs an interval with two finite ends")
        center, radius = np.array([(low + high) / 2]), (high - low) / 2
    elif hasattr(region, "radius") and sde.noise.isotropic:
        center, radius = np.asarray(region.center, dtype=float), float(region.radius)
    else:
        raise ValueError("Getoor's formula needs isotropic noise and a Ball")
    sigma = constant_diffusion(sde)
    if sigma is None or any(drift != 0 for drift in sde.drift):
        raise ValueError("Getoor's formula needs a drift of zero and one constant diffusion")
    scale = abs(sigma) * float(sde.noise.scale)
    value = stable_exit_time(sde.noise.alpha, sde.dim, radius, float(np.linalg.norm(x0 - center)), scale)
    return Reference(value, 4e-16 * value, "Getoor 1961")


def constant_diffusion(sde: Any) -> float | None:
    """Sigma if the diffusion is the constant matrix sigma times the identity."""
    import sympy

    values = {sympy.Symbol(name, real=True): value for name, value in sde.params.items()}
    matrix = sympy.Matrix(sde.diffusion).subs(values)
    if matrix.rows != matrix.cols or matrix != matrix[0] * sympy.eye(matrix.rows) or matrix[0].free_symbols:
        return None
    return float(matrix[0])
