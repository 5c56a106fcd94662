"""Tail of an increment and its antiderivative: what a transfer operator needs of a law.

For a symmetric law with S(t) = P(Z > t), t ≥ 0, the mean of a piecewise linear function over the law needs
only S and any B with B' = -S. Both are elementary for the laws of sdesim except the stable one, for which B
is tabulated from S by Gauss–Legendre quadrature on a grid uniform in asinh(t).
"""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdesim.problems.laws import Gaussian, Pareto, Rademacher, StudentT, Uniform

Function = Callable[[np.ndarray], np.ndarray]

TABLE_CELLS = 4000
TABLE_END = 1e12
# Tails that fall faster than this power are integrated from infinity: their small integrals then keep their digits.
LIGHT = 1.02


@dataclass(frozen=True)
class TailIntegral:
    """S(t) = P(Z > t) and B(t) with B' = -S, both for t ≥ 0, of a symmetric law.

    B is fixed up to a constant only; differences of it are integrals of the tail. It falls to zero where it can, so
    that differences far out are accurate relative to what is left of the tail.
    """

    survival: Function
    integral: Function

    @classmethod
    def of(cls, law: Any) -> TailIntegral:
        """The pair for `law`: any symmetric law with a density and a `tail(x)` = P(|Z| > x)."""
        if isinstance(law, Rademacher):
            raise ValueError(
                f"the transfer operator needs noise with a density, {law!r} has two atoms: simulate it with run, or "
                "use Gaussian, Stable, Pareto, StudentT or Uniform"
            )
        if isinstance(law, Gaussian):
            return cls(_half_tail(law), lambda t: law.scale**2 * law.density(t) - t * law.tail(t) / 2)
        if isinstance(law, Uniform):
            a = law.half_width
            return cls(_half_tail(law), lambda t: np.maximum(a - t, 0.0) ** 2 / (4 * a))
        if isinstance(law, Pareto):
            return cls(_half_tail(law), lambda t: _lomax_integral(law.alpha, law.scale, t))
        if isinstance(law, StudentT) and law.df > 1:
            return cls(_half_tail(law), lambda t: _student_integral(law, t))
        if not hasattr(law, "tail"):
            raise TypeError(
                f"the transfer operator needs a symmetric law with .tail(x), got {law!r}: use Gaussian, "
                "Stable, Pareto, StudentT or Uniform"
            )
        return _tabulated(_half_tail(law), float(getattr(law, "scale", 1.0)))


def _half_tail(law: Any) -> Function:
    """P(Z > t) for t ≥ 0."""
    return lambda t: law.tail(t) / 2


def _lomax_integral(alpha: float, scale: float, t: np.ndarray) -> np.ndarray:
    """Integral of (1 + u/scale)**-alpha / 2 over (t, ∞), or minus that over (0, t) where the tail is too heavy."""
    log = np.log1p(t / scale)
    if alpha == 1:
        return -0.5 * scale * log
    if alpha > 1:
        return 0.5 * scale * np.exp((1 - alpha) * log) / (alpha - 1)
    return -0.5 * scale * np.expm1((1 - alpha) * log) / (1 - alpha)


def _student_integral(law: StudentT, t: np.ndarray) -> np.ndarray:
    """Integral of P(Z > u) over (t, ∞) = E[Z; Z > t] - t P(Z > t)."""
    u = t / law.scale
    mean_above = law.scale**2 * (law.df + u * u) / (law.df - 1) * law.density(t)
    return mean_above - t * law.tail(t) / 2


def _tabulated(survival: Function, scale: float) -> TailIntegral:
    """S and B interpolated in asinh(t / scale), with S continued as a power beyond the table."""
    from scipy.interpolate import CubicHermiteSpline, PchipInterpolator

    edges = np.linspace(0.0, math.asinh(TABLE_END), TABLE_CELLS + 1)
    x, w = np.polynomial.legendre.leggauss(4)
    half = 0.5 * (edges[1] - edges[0])
    nodes = (edges[:-1] + half)[:, None] + half * x
    values = survival(scale * np.sinh(nodes.ravel())).reshape(nodes.shape)
    jacobian = scale * np.cosh(nodes)
    at_edges = np.maximum(survival(scale * np.sinh(edges)), 1e-300)
    pieces = (values * jacobian * half) @ w
    index = -math.log(at_edges[-1] / at_edges[-2]) / (edges[1] - edges[0])
    if index > LIGHT:
        rest = at_edges[-1] * scale * math.sinh(edges[-1]) / (index - 1)
        integral = np.cumsum(np.append(pieces, rest)[::-1])[::-1]
    else:
        integral = -np.concatenate([[0.0], np.cumsum(pieces)])
    spline = CubicHermiteSpline(edges, integral, -at_edges * scale * np.cosh(edges))
    log_tail = PchipInterpolator(edges, np.log(at_edges))
    last = edges[-1]
    return TailIntegral(
        lambda t: np.exp(log_tail(np.minimum(np.arcsinh(t / scale), last))),
        lambda t: spline(np.minimum(np.arcsinh(t / scale), last)),
    )
