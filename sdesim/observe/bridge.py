"""Crossings between two ends of a step: the Brownian bridge at a flat boundary.

Between x0 and x1, both inside at distances ρ0 and ρ1 from the boundary, a path with noise variance v = σ_n² h across it
has crossed with probability exp(-2 ρ0 ρ1 / v) (Gobet 2000; Baldi 1995). Given that it crossed, the fraction of
the step at which it first did so is y/(1 + y) with y inverse Gaussian of mean ρ0/|ρ1| and shape ρ0²/v: substitute
y = s/(h - s) in the product of the first-passage density to the boundary and the density of the rest. A constant
drift leaves the bridge unchanged, so for a constant drift and a flat boundary the exit time is exact at every h.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

from sdesim.core.ops import Ops

SMALLEST = 1e-300
ROUNDED_UP = 1 + 1e-9
NEVER = -100.0  # exp of it is below every uniform; far smaller values are subnormal, and slow to compute


def exponents(ops: Ops, dynamics: Any, region: Any, x0: Any, x1: Any, k: Any) -> list[Any]:
    """ρ0 ρ1 / v for each face of the region: the crossing probability is exp(-2 of it)."""
    found = []
    for (rho0, normal), (rho1, _) in zip(region.faces(ops, x0), region.faces(ops, x1), strict=True):
        variance = ops.maximum(dynamics.normal_variance(ops, x0, k, normal), SMALLEST)
        found.append(rho0 * rho1 / variance)
    return found


def probability(ops: Ops, dynamics: Any, region: Any, x0: Any, x1: Any, k: Any) -> Any:
    """Probability of a crossing inside the step, summed over faces (their joint crossing is of higher order)."""
    found = exponents(ops, dynamics, region, x0, x1, k)
    return sum(ops.exp(ops.maximum(-2 * e, NEVER)) for e in found)


def rarity(ops: Ops, dynamics: Any, region: Any, x0: Any, x1: Any, k: Any) -> Any:
    """At most 1/probability, and free of exponentials: where u times it exceeds 1, u exceeds the probability.

    For y >= 0, exp(y) is above its Taylor polynomial of degree 4; m faces have at most m times the largest term.
    """
    bounds = []
    for e in exponents(ops, dynamics, region, x0, x1, k):
        y = 2 * e
        bounds.append(1 + y * (1 + y * (1 / 2 + y * (1 / 6 + y / 24))))
    return reduce(ops.minimum, bounds) / (len(bounds) * ROUNDED_UP)


def crossing(ops: Ops, dynamics: Any, region: Any, x0: Any, x1: Any, k: Any, normal_square: Any, v: Any) -> list[Any]:
    """Fraction of the step and place of the first crossing: [fraction, component, ...].

    Parameters
    ----------
    x0, x1 : state, components last
        Ends of a step that is known to have crossed.
    normal_square, v
        Square of a standard normal and a uniform, fresh ones.
    """
    e = exponents(ops, dynamics, region, x0, x1, k)
    chosen: list[Any] = []
    for f, (before, after) in enumerate(zip(region.faces(ops, x0), region.faces(ops, x1), strict=True)):
        variance = ops.maximum(dynamics.normal_variance(ops, x0, k, before[1]), SMALLEST)
        fraction = _fraction(ops, before[0], after[0], variance, normal_square, v)
        result = [fraction, *_place(ops, region, f, x0, x1, fraction)]
        nearer = None if f == 0 else e[f] < e[f - 1]
        chosen = result if f == 0 else [ops.where(nearer, a, b) for a, b in zip(result, chosen, strict=True)]
    return chosen


def _fraction(ops: Ops, rho0: Any, rho1: Any, variance: Any, w: Any, v: Any) -> Any:
    """y/(1 + y) for an inverse Gaussian y (Michael, Schucany and Haas 1976), written without cancellation."""
    shape = rho0 * rho0 / variance
    ratio = ops.abs(rho1) / rho0
    q = ops.maximum(ratio + (w + ops.sqrt(w * w + 4 * ratio * shape * w)) / (2 * shape), SMALLEST)
    return ops.where(v * (1 + ratio / q) < 1, 1 / (1 + q), q / (ratio * ratio + q))


def _place(ops: Ops, region: Any, face: int, x0: Any, x1: Any, fraction: Any) -> list[Any]:
    """The point of the chord at that fraction, moved onto the boundary."""
    ends = zip(ops.split(x0), ops.split(x1), strict=True)
    chord = [a + fraction * (b - a) for a, b in ends]
    rho, normal = region.faces(ops, ops.stack(chord))[face]
    return [c - rho * n for c, n in zip(chord, normal, strict=True)]
