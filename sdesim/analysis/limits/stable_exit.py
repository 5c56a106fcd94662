"""Mean exit time of a stable process without drift from a ball (Getoor 1961, theorem 5.2), and its jump rates."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from sdesim.core.checks import count, positive


def stable_exit_time(
    alpha: float, dim: int, radius: float, x0_distance: Any = 0.0, scale: float = 1.0
) -> Any:
    """Mean exit time of an isotropic stable process from a ball.

        E τ = Γ(d/2) (r² - |x|²)^{α/2} / (2^α Γ(1 + α/2) Γ((d + α)/2) scale^α)

    for characteristic function E exp(i ξ·X_t) = exp(-t |scale ξ|^α): Brownian motion of variance 2 scale² t
    at α = 2. Coordinatewise stable noise in more than one dimension is another law, for which this is wrong.

    Parameters
    ----------
    alpha : float
        Stability index in (0, 2].
    dim : int
        Dimension d ≥ 1.
    radius : float
        Radius of the ball.
    x0_distance : float or array
        Distance of the start from the centre, below the radius.
    scale : float
        Scale of the noise.

    Returns
    -------
    float or ndarray
        Mean exit time, of the shape of x0_distance.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    References
    ----------
    R. K. Getoor, First passage times for symmetric stable processes in space, Trans. AMS 101 (1961).

    Examples
    --------
    >>> round(float(stable_exit_time(2, dim=1, radius=1)), 12)
    0.5
    >>> round(float(stable_exit_time(1, dim=1, radius=2, x0_distance=1) ** 2), 12)
    3.0
    """
    positive("alpha", alpha, upper=2.0)
    count("dim", dim, least=1)
    positive("radius", radius)
    positive("scale", scale)
    distance = np.asarray(x0_distance, dtype=float)
    if np.any(~((distance >= 0) & (distance < radius))):
        raise ValueError(f"x0_distance must be in [0, {radius:g}), got {x0_distance}: start inside the ball")
    half = alpha / 2
    log_factor = math.lgamma(dim / 2) - math.lgamma(1 + half) - math.lgamma(dim / 2 + half)
    chord = (radius - distance) * (radius + distance)
    return (math.exp(log_factor) * (2 * scale) ** -alpha * chord**half)[()]


def stable_interval_exit_time(alpha: float, x0: Any, low: float, high: float, scale: float = 1.0) -> Any:
    """Mean exit time of a symmetric stable process on the line from the interval (low, high).

    Parameters
    ----------
    alpha : float
        Stability index in (0, 2].
    x0 : float or array
        Starting points inside the interval.
    low, high : float
        Finite ends.
    scale : float
        Scale of the noise, characteristic function exp(-t |scale ξ|^α).

    Raises
    ------
    ValueError
        If the interval is empty or infinite, or x0 lies outside.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"the interval ({low:g}, {high:g}) must be finite with low < high")
    middle, radius = 0.5 * (low + high), 0.5 * (high - low)
    return stable_exit_time(alpha, 1, radius, np.abs(np.asarray(x0, dtype=float) - middle), scale)


def stable_jump_rate(alpha: float, dim: int = 1) -> float:
    """Rate at which a standard isotropic stable process makes jumps longer than 1.

        ν(|y| > 1) = 2^α Γ((d + α)/2) / (Γ(d/2) Γ(1 - α/2))

    for characteristic function exp(-t |ξ|^α); jumps longer than r come at r^-α times this rate. On the line it is
    2 Γ(α) sin(πα/2)/π, one half for each direction. It follows from the Lévy measure C |y|^(-d-α) dy with
    C = α 2^(α-1) Γ((d + α)/2) / (π^(d/2) Γ(1 - α/2)) (Sato 1999, theorem 14.14, in Kwaśnicki's 2017 normalisation),
    times the surface 2π^(d/2)/Γ(d/2) of the unit sphere, over α.

    Parameters
    ----------
    alpha : float
        Stability index in (0, 2); at 2 there are no jumps.
    dim : int

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> round(stable_jump_rate(1.0) * math.pi, 12)
    2.0
    """
    positive("alpha", alpha, upper=2.0)
    if alpha == 2:
        raise ValueError("alpha must be below 2: Brownian motion has no jumps, use mean_exit_time or eyring_kramers")
    count("dim", dim, least=1)
    logs = math.lgamma((dim + alpha) / 2) - math.lgamma(dim / 2) - math.lgamma(1 - alpha / 2)
    return float(2**alpha * math.exp(logs))
