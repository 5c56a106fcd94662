"""The mean of log|a + b Z| for a standard normal Z: the exact exponent of a factor that is drawn afresh each step."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import dawsn

NODES, WEIGHTS = np.polynomial.legendre.leggauss(96)
FAR = 10.0  # beyond it the asymptotic series is exact to rounding
TERMS = 16


def mean_log(a: Any, b: Any) -> Any:
    r"""E log|a + b Z| for Z ~ N(0, 1).

    A recursion θ⁺ = (a + b Z) θ with a fresh Z each step grows at this rate per step: below 0 it collapses onto
    θ = 0. With x = |a| / (|b| √2) and D Dawson's function,

        E log|a + b Z| = log|b| - (γ + log 2)/2 + 2 ∫₀ˣ D(u) du,

    since the derivative with respect to a is the principal value of E 1/(a + b Z), a Hilbert transform of the normal
    density, √2 D(x)/b, and E log|Z| = -(γ + log 2)/2.

    Parameters
    ----------
    a, b : float or array
        They broadcast; b = 0 gives log|a|.

    Returns
    -------
    float or array
        Accurate to 1e-13 or so; -inf where both are 0.

    Examples
    --------
    >>> round(mean_log(0.0, 1.0), 6), round(mean_log(2.0, 0.0), 6)  # -(γ + log 2)/2 and log 2
    (-0.635181, 0.693147)
    """
    a, b = np.broadcast_arrays(np.abs(np.asarray(a, dtype=float)), np.abs(np.asarray(b, dtype=float)))
    with np.errstate(divide="ignore", invalid="ignore"):
        x = a / (b * np.sqrt(2))
        near = np.where(x < FAR, x, 0.0)
        inner = (near / 2)[..., None] * (1 + NODES)
        integral = near / 2 * (dawsn(inner) @ WEIGHTS)
        close = np.log(b) - (np.euler_gamma + np.log(2)) / 2 + 2 * integral
        found = np.where(x < FAR, close, np.log(a) - _series(b / np.where(a > 0, a, 1.0)))
    found = np.where(np.isnan(a) | np.isnan(b), np.nan, found)
    return found if found.ndim else float(found)


def _series(r: np.ndarray) -> np.ndarray:
    """Σ r^{2k} (2k-1)!! / (2k): minus the mean of log|1 + r Z| to every order."""
    total, term = np.zeros_like(r), np.ones_like(r)
    for k in range(1, TERMS + 1):
        term = term * r * r * (2 * k - 1)
        total = total + term / (2 * k)
    return total
