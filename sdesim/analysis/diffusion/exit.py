"""Moments of the exit time of a 1-D diffusion by quadrature: Karlin and Taylor 1981, A Second Course, section 15.3.

With scale measure S and speed measure m on (a, b), both ends absorbing,

    E_x τ = G m (x),   G f (x) = S(a,x)/S(a,b) ∫_x^b S(y,b) f(dy) + S(x,b)/S(a,b) ∫_a^x S(a,y) f(dy),

and with only b absorbing, G f (x) = ∫_x^b f(a,y) S(dy). The variance v solves ½σ²v'' + μv' = -σ²u'² for the mean u,
so v = G(σ²u'² m): terms of one sign, so that nothing cancels however small the variance is.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sdesim.analysis.diffusion.panels import Panels
from sdesim.analysis.diffusion.setup import Passage
from sdesim.analysis.estimate import Reference

METHOD = "scale function and speed measure by quadrature"


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
    passage = Passage.out_of(sde, x0, region, reflecting, asked="mean_exit_time")
    return on_two_grids(passage, _log_mean, "the mean exit time")


def exit_time_variance(sde: Any, x0: Any, region: Any, *, reflecting: float | None = None) -> Reference:
    """Variance of the first exit time of dX = μ(X) dt + σ(X) dW from an interval, by quadrature.

    Arguments, shapes and refusals are those of `mean_exit_time`.

    Returns
    -------
    Reference
        value ± error, in time squared; arrays of the shape of x0.

    Examples
    --------
    Brownian motion leaves (-1, 1) after a time of variance 2/3::

        theory.exit_time_variance(SDE(drift=0, diffusion=1), x0=0.0, region=Interval(-1, 1)).value
    """
    passage = Passage.out_of(sde, x0, region, reflecting, asked="exit_time_variance")
    return on_two_grids(passage, _log_variance, "the variance of the exit time")


def on_two_grids(
    passage: Passage, log_value: Callable[[Panels, Passage, np.ndarray], np.ndarray], what: str
) -> Reference:
    """A positive quantity at the starting points from its logarithm on panels, with the error seen by halving them."""
    panels = passage.panels()
    grids = panels, panels.halved(passage.coefficients)
    coarse, fine = (
        exponential(log_value(grid, passage, np.searchsorted(grid.edges, passage.points)), what) for grid in grids
    )
    rest = passage.rest + 1e-15 * panels.edges.size
    error = np.abs(fine - coarse) + rest * fine
    return Reference(fine[passage.where][()], error[passage.where][()], METHOD)


def _log_mean(panels: Panels, passage: Passage, at: np.ndarray) -> np.ndarray:
    """Logarithm of the mean exit time from the edges numbered `at`."""
    _, phi = panels.potential()
    return _log_green(panels, passage, phi, phi + np.log(panels.weight))[at]


def _log_variance(panels: Panels, passage: Passage, at: np.ndarray) -> np.ndarray:
    """Logarithm of the variance of the exit time from the edges numbered `at`."""
    _, phi = panels.potential()
    log_speed = phi + np.log(panels.weight)
    if not passage.left.absorbs:
        log_slope = panels.log_from_left(log_speed)[1]
    else:
        below, above, total = _log_scales(panels, phi)
        right, left = panels.log_from_right(above + log_speed)[1], panels.log_from_left(below + log_speed)[1]
        with np.errstate(divide="ignore"):
            log_slope = np.maximum(right, left) + np.log(-np.expm1(-np.abs(right - left))) - total
    # exp(log_slope) is |u'| over the scale density exp(-Φ), and σ² m(dy) = 2 exp(Φ) dy.
    source = np.log(2) - phi + 2 * np.maximum(log_slope, -1e300)
    return _log_green(panels, passage, phi, source)[at]


def _log_green(panels: Panels, passage: Passage, phi: np.ndarray, log_source: np.ndarray) -> np.ndarray:
    """Logarithm of G f at the edges, for f with density exp(log_source)."""
    if not passage.left.absorbs:
        _, inner = panels.log_from_left(log_source)
        return panels.log_from_right(inner - phi)[0]
    below_nodes, above_nodes, total = _log_scales(panels, phi)
    below, above = panels.log_from_left(-phi)[0], panels.log_from_right(-phi)[0]
    to_right, _ = panels.log_from_right(above_nodes + log_source)
    to_left, _ = panels.log_from_left(below_nodes + log_source)
    return np.logaddexp(below + to_right, above + to_left) - total


def _log_scales(panels: Panels, phi: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Logarithms of S(a, y) and S(y, b) at the nodes, and of S(a, b)."""
    at_edges, below = panels.log_from_left(-phi)
    return below, panels.log_from_right(-phi)[1], float(at_edges[-1])


def exponential(logs: np.ndarray, what: str) -> np.ndarray:
    """Numbers from their logarithms, refused where no double can hold them."""
    if logs.max() > 709:
        power = logs.max() / np.log(10)
        raise ValueError(f"{what} is about 1e{power:.0f}, too large for a float: raise the noise")
    return np.exp(logs)
