"""Mean exit time of a 1-D diffusion by quadrature: Karlin and Taylor 1981, A Second Course, section 15.3.

With scale measure S and speed measure m on (a, b), both ends absorbing,

    E_x τ = S(a,x)/S(a,b) ∫_x^b S(y,b) m(dy) + S(x,b)/S(a,b) ∫_a^x S(a,y) m(dy),

and with only b absorbing, E_x τ = ∫_x^b m(a,y) S(dy).
"""
from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp

from sdesim.analysis.diffusion_ends import End, low_end
from sdesim.analysis.estimate import Reference
from sdesim.analysis.panels import Coefficients, Panels
from sdesim.analysis.region_ends import inside, refuse_time, region_ends
from sdesim.core.formula import differentiate, ops_function
from sdesim.core.ops import NUMPY


def mean_exit_time(sde: Any, x0: Any, region: Any, *, reflecting: float | None = None) -> Reference:
    """Mean first exit time of dX = μ(X) dt + σ(X) dW from an interval, by quadrature.

    Parameters
    ----------
    sde : SDE
        One component, Gaussian noise, in either calculus (μ is Itô's drift); σ may depend on the state and must not
        vanish inside.
    x0 : float or array
        Starting points inside the region.
    region : Interval
        One end may be infinite, or one the path never reaches (geometric Brownian motion at 0).
    reflecting : float, optional
        A wall the path is reflected at, in place of the end of the region on its side of x0.

    Returns
    -------
    Reference
        value ± error, in time; arrays of the shape of x0.

    Raises
    ------
    ValueError
        If the SDE has more than one component or jumps, the diffusion vanishes inside, x0 lies outside, or
        the mean is infinite; the message says which.

    Examples
    --------
    Brownian motion leaves (-1, 1) after a mean time of one::

        theory.mean_exit_time(SDE(drift=0, diffusion=1), x0=0.0, region=Interval(-1, 1)).value
    """
    coefficients = _coefficients(sde)
    low, high = region_ends(region)
    x = inside(x0, low, high)
    walls = (False, False)
    if reflecting is not None:
        low, high, walls = _with_wall(float(reflecting), x, low, high)
    points = np.unique(x)
    left = End(False, np.array([low])) if walls[0] else low_end(coefficients, low, float(points[0]), low)
    mirrored = coefficients.mirrored()
    right = End(False, np.array([-high])) if walls[1] else low_end(mirrored, -high, float(-points[-1]), high)
    if not left.absorbs and not right.absorbs:
        raise ValueError(f"no end of ({low:g}, {high:g}) lets a path out: the mean exit time is infinite")
    values, error = _solve(coefficients, left, right, points)
    where = np.searchsorted(points, x)
    return Reference(values[where][()], error[where][()], "scale function and speed measure by quadrature")


def _with_wall(
    wall: float, x: np.ndarray, low: float, high: float
) -> tuple[float, float, tuple[bool, bool]]:
    """Ends of the region with the wall in place of one of them."""
    if low <= wall <= x.min():
        return wall, high, (True, False)
    if x.max() <= wall <= high:
        return low, wall, (False, True)
    raise ValueError(
        f"reflecting={wall:g} must lie in the region [{low:g}, {high:g}] with every x0 on the same side of it"
    )


def _coefficients(sde: Any) -> Coefficients:
    """Drift and variance rate of a one-dimensional SDE, in Itô's sense, as functions of the state."""
    if sde.dim != 1:
        raise ValueError(f"mean_exit_time needs an SDE in one dimension, got {sde.dim}: simulate it with run")
    refuse_time(sde)
    if sde.noise.index != 2:
        raise ValueError(
            f"mean_exit_time needs Gaussian noise, got {sde.noise!r}: use theory.stable_exit_time (no drift) "
            "or theory.chain_exit_time for its Euler steps"
        )
    names = [*sde.variables, *sde.params]
    given = [np.float64(v) for v in sde.params.values()]
    variance = float(sde.noise.variance)
    ito = sde.drift[0]
    if sde.calculus == "stratonovich":
        x = sp.Symbol(sde.variables[0], real=True)
        ito += sp.Float(variance) / 2 * sum(b * differentiate(b, x) for b in sde.diffusion[0])
    evaluate = ops_function([ito, *sde.diffusion[0]], names)

    def drift(x: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.asarray(evaluate(NUMPY, x, *given)[0], dtype=float), x.shape)

    def rate(x: np.ndarray) -> np.ndarray:
        total = sum(np.asarray(s, dtype=float) ** 2 for s in evaluate(NUMPY, x, *given)[1:])
        return np.broadcast_to(variance * np.asarray(total, dtype=float), x.shape)

    return Coefficients(drift, rate)


def _solve(
    coefficients: Coefficients, left: End, right: End, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean exit times from sorted distinct points, and their errors."""
    if not right.absorbs:
        values, error = _solve(coefficients.mirrored(), right, left, -points[::-1])
        return values[::-1], error[::-1]
    edges = np.unique(np.concatenate([left.edges, -right.edges, points]))
    panels = Panels.resolve(coefficients, edges)
    grids = panels, panels.halved(coefficients)
    means = [_mean(grid, left, np.searchsorted(grid.edges, points)) for grid in grids]
    rest = left.rest + right.rest + 1e-15 * panels.edges.size
    return means[1], np.abs(means[1] - means[0]) + rest * means[1]


def _mean(panels: Panels, left: End, at: np.ndarray) -> np.ndarray:
    """Mean exit time from the edges numbered `at`; the high end absorbs."""
    _, phi = panels.potential()
    log_speed = phi + np.log(panels.weight)
    if not left.absorbs:
        _, inner = panels.log_from_left(log_speed)
        return _exp(panels.log_from_right(inner - phi)[0][at])
    below, below_nodes = panels.log_from_left(-phi)
    above, above_nodes = panels.log_from_right(-phi)
    to_right, _ = panels.log_from_right(above_nodes + log_speed)
    to_left, _ = panels.log_from_left(below_nodes + log_speed)
    return _exp(np.logaddexp(below[at] + to_right[at], above[at] + to_left[at]) - below[-1])


def _exp(log_mean: np.ndarray) -> np.ndarray:
    """Mean exit times from their logarithms, refused where no double can hold them."""
    if log_mean.max() > 709:
        power = log_mean.max() / np.log(10)
        raise ValueError(f"the mean exit time is about 1e{power:.0f}, too large for a float: raise the noise")
    return np.exp(log_mean)
