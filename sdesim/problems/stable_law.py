"""Tail and density of the symmetric stable law by Zolotarev's integral.

With V(theta) = (cos theta / sin(alpha theta))**(alpha/(alpha-1)) cos((alpha-1) theta) / cos theta and
g = x**(alpha/(alpha-1)) V(theta) (Nolan 1997, theorem 1, symmetric case, x > 0):

    P(|Z| > x) = (2/pi) ∫ exp(-g) dtheta        for alpha > 1,      (2/pi) ∫ (1 - exp(-g)) dtheta   for alpha < 1,
    density(x) = alpha / (pi |alpha - 1| x) ∫ g exp(-g) dtheta,

over theta in (0, pi/2). The integrand turns over at theta ~ x near zero and at pi/2 - theta ~ x**-alpha at the other
end; tanh-sinh nodes resolve both at once, in one fixed vectorised sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

NEAR_ONE = 2e-3


@lru_cache(maxsize=8)
def _nodes(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """theta, pi/2 - theta (both without cancellation) and weights of the tanh-sinh rule on (0, pi/2)."""
    s = np.linspace(-5.6, 5.6, n)
    q = np.exp(-math.pi * np.sinh(np.abs(s)))
    small, large = q / (1 + q), 1 / (1 + q)
    theta = np.where(s < 0, small, large) * (math.pi / 2)
    rest = np.where(s < 0, large, small) * (math.pi / 2)
    weight = (s[1] - s[0]) * (math.pi / 2) * math.pi * np.cosh(s) * small * large
    return theta, rest, weight


def _log_v(alpha: float, n: int) -> tuple[np.ndarray, np.ndarray]:
    """log V at the nodes, and the weights."""
    theta, rest, weight = _nodes(n)
    log_cos = np.log(np.where(rest < 0.5, np.sin(rest), np.cos(theta)))
    sin_a = np.where(theta < 0.5, np.sin(alpha * theta), np.sin(alpha * math.pi / 2 - alpha * rest))
    if alpha > 1.5:  # sin(alpha theta) vanishes at pi/2 when alpha = 2
        sin_a = np.where(rest < 0.5, np.sin((2 - alpha) * math.pi / 2 + alpha * rest), sin_a)
    log_ratio = log_cos - np.log(sin_a)
    power = alpha / (alpha - 1)
    return power * log_ratio + np.log(np.cos((alpha - 1) * theta)) - log_cos, weight


def _integral(alpha: float, x: np.ndarray, kind: str) -> np.ndarray:
    n = 801 * min(512, math.ceil(0.4 / abs(alpha - 1)))  # it turns over within |alpha - 1| of log theta
    log_v, weight = _log_v(alpha, n)
    out = np.empty(x.shape)
    rows = max(1, 4_000_000 // n)
    for i in range(0, x.size, rows):
        with np.errstate(over="ignore", under="ignore"):
            g = np.exp(np.minimum(alpha / (alpha - 1) * np.log(x[i : i + rows, None]) + log_v, 700.0))
        term = g * np.exp(-g) if kind == "density" else np.exp(-g) if alpha > 1 else -np.expm1(-g)
        out[i : i + rows] = term @ weight
    return out


def _interpolated(function: Callable[[float, np.ndarray], np.ndarray], alpha: float, x: np.ndarray) -> np.ndarray:
    """exp of the polynomial in alpha through log values at five indices around 1, where the integral is sharp."""
    nodes = 1 + NEAR_ONE * np.array([-2, -1, 0, 1, 2])
    total = np.zeros_like(x)
    for node in nodes:
        others = nodes[nodes != node]
        total += np.prod((alpha - others) / (node - others)) * np.log(function(float(node), x))
    return np.exp(total)


def tail(alpha: float, x: np.ndarray) -> np.ndarray:
    """P(|Z| > x) of the symmetric stable law with characteristic function exp(-|xi|**alpha)."""
    from scipy.special import erfc

    x = np.minimum(np.abs(np.asarray(x, dtype=float)), 1e300)
    if alpha == 1:
        return 2 / math.pi * np.arctan2(1.0, x)
    if abs(alpha - 1) < 0.999 * NEAR_ONE:
        return _interpolated(tail, alpha, x)
    if alpha == 2:
        return erfc(x / 2)
    flat = np.clip(x.ravel(), 1e-300, 1e300)
    return (2 / math.pi * _integral(alpha, flat, "tail")).reshape(x.shape)


def density(alpha: float, x: np.ndarray) -> np.ndarray:
    """Density of the symmetric stable law with characteristic function exp(-|xi|**alpha)."""
    x = np.abs(np.asarray(x, dtype=float))
    if alpha == 1:
        return 1 / (math.pi * (1 + x * x))
    if abs(alpha - 1) < 0.999 * NEAR_ONE:
        return _interpolated(density, alpha, np.minimum(x, 1e150))
    if alpha == 2:
        return np.exp(-x * x / 4) / math.sqrt(4 * math.pi)
    at_zero = math.gamma(1 + 1 / alpha) / math.pi
    flat = np.clip(x.ravel(), 1e-12, 1e300)
    values = alpha / (math.pi * abs(alpha - 1) * flat) * _integral(alpha, flat, "density")
    curvature = math.gamma(3 / alpha) / (math.gamma(1 / alpha) * 2)
    near_zero = at_zero * (1 - curvature * flat**2)
    return np.where(flat < 1e-5, near_zero, values).reshape(x.shape)
