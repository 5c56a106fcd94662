"""At which end a 1-D diffusion leaves an interval: Karlin and Taylor 1981, A Second Course, section 15.3."""
from __future__ import annotations

from typing import Any

import numpy as np

from sdesim.analysis.diffusion.exit import on_two_grids
from sdesim.analysis.diffusion.panels import Panels
from sdesim.analysis.diffusion.setup import Passage
from sdesim.analysis.estimate import Reference


def exit_side(sde: Any, x0: Any, region: Any, *, reflecting: float | None = None) -> Reference:
    """Probability that dX = μ(X) dt + σ(X) dW leaves an interval (a, b) at its upper end.

        P_x(X_τ = b) = S(a, x) / S(a, b)

    with the scale measure S(dy) = exp(-∫ 2μ/σ²) dy. An end that is never reached counts as never left by; a path that
    runs to an infinite end for ever has not left at the other one.

    Parameters
    ----------
    sde : SDE
        One component, Gaussian noise, in either calculus; σ may depend on the state and must not vanish inside.
    x0 : float or array
        Starting points inside the region.
    region : Interval
    reflecting : float, optional
        A wall the path is reflected at, in place of the end of the region on its side of x0.

    Returns
    -------
    Reference
        value ± error; arrays of the shape of x0. Small probabilities keep their relative accuracy.

    Raises
    ------
    ValueError
        If the SDE has more than one component or jumps, the diffusion vanishes inside, x0 lies outside, or no end
        lets a path out.

    Examples
    --------
    Brownian motion leaves (-1, 2) at 2 with probability 1/3::

        theory.exit_side(SDE(drift=0, diffusion=1), x0=0.0, region=Interval(-1, 2)).value
    """
    passage = Passage.out_of(sde, x0, region, reflecting, asked="exit_side", finite_mean=False)
    if not passage.left.absorbs:
        certain = np.full(passage.where.shape, 0.0 if passage.mirrored else 1.0)
        return Reference(certain[()], np.zeros(certain.shape)[()], "only one end lets a path out")
    found = on_two_grids(passage, _log_up, "the probability")
    return Reference(found.value, found.error, "scale function by quadrature")


def _log_up(panels: Panels, passage: Passage, at: np.ndarray) -> np.ndarray:
    """Logarithm of the probability to leave at the high end; both ends absorb, so nothing is mirrored."""
    below = panels.log_from_left(-panels.potential()[1])[0]
    return below[at] - below[-1]
