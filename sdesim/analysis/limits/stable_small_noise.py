"""Exits by one jump under small stable noise: Imkeller and Pavlyukevich 2006.

For dX = a(X) dt + ε dL, L symmetric α-stable, a path rests at the attractor x* of the region until one jump leaves:

    E τ ≈ 1 / ν(y : x* + ε y outside),

polynomial in ε, and a matter of the width of the region, not of the height of a barrier (P. Imkeller and
I. Pavlyukevich, Stoch. Proc. Appl. 116, 611-642, theorem 2.1; their Lévy measure is |y|^(-1-α) dy, here it is that of
characteristic function exp(-t |ξ|^α)). With the Lévy measure ν the rates are, c = Γ(α) sin(πα/2)/π:

    an interval                 c (d_L^-α + d_R^-α), d_L and d_R the distances from x* to the ends
    a ball, isotropic noise     2^α Γ((d + α)/2) / (Γ(d/2) Γ(1 - α/2)) × mean of ρ(θ)^-α over directions θ
    a ball, coordinatewise      c Σ over the noises j and both signs of ρ(±b_j)^-α: big jumps are along one axis only

times ε^α, with ρ(θ) the distance from x* to the sphere in direction θ.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from sdesim.analysis.limits.asymptotic import Asymptotic
from sdesim.analysis.limits.attractor import attractor
from sdesim.analysis.limits.stable_exit import stable_jump_rate
from sdesim.analysis.region_ends import refuse_time, region_ends
from sdesim.core.field import Field
from sdesim.core.ops import NUMPY

ANGLES = 200


def small_noise_stable_exit_time(sde: Any, x0: Any, region: Any) -> Asymptotic:
    """Mean exit time of dX = a(X) dt + b(X) dL from the basin of one attractor, L stable and b small.

    Parameters
    ----------
    sde : SDE
        Stable noise, α < 2. The diffusion counts at the attractor, where the jump out starts; isotropic noise in
        several dimensions needs one common factor there.
    x0 : number or array of d numbers
        Start inside the region; it matters only through the attractor that the drift carries it to.
    region : Interval (one dimension), or Ball
        The drift must carry every point of it to that attractor without leaving.

    Returns
    -------
    Asymptotic
        In time. The error is the value times the chance of a second big jump on the way back to the attractor, which
        takes (1 + log(1/m)/α) relaxation times, m the rate times the relaxation time.

    Raises
    ------
    ValueError
        If the noise is not stable with α < 2, coefficients depend on time, the region holds several attractors, none,
        or one that the flow leaves it from, or the noise is not small: an exit at least every relaxation time.
    """
    from sdesim.problems.laws import Stable

    refuse_time(sde)
    if not isinstance(sde.noise, Stable) or sde.noise.alpha == 2:
        raise ValueError(
            f"one-jump exits need Stable noise with alpha < 2, got {sde.noise!r}: Gaussian noise leaves over the "
            "barrier, use mean_exit_time or eyring_kramers"
        )
    place = _region(sde, region)
    start = np.ravel(np.asarray(x0, dtype=float))
    if start.size != sde.dim or not bool(np.all(place.contains(start if sde.dim > 1 else start[0]))):
        raise ValueError(f"x0={x0} is not a point inside {region!r}: start inside the region")
    rest = attractor(Field(sde.drift, sde.variables, _numbers(sde)), start, place)
    _, factors = sde.coefficients(NUMPY, rest.point, 0.0)
    factor = np.array([[float(b) for b in row] for row in factors]) * float(sde.noise.scale)
    rate, error = _jump_rate(float(sde.noise.alpha), bool(sde.noise.isotropic), rest.point, factor, place)
    if not rate > 0:
        raise ValueError(f"no jump from the attractor {rest.point} leaves {region!r}: the noise vanishes there")
    memory = rest.relaxation * rate
    if memory > 1:
        raise ValueError(
            f"one-jump exits need small noise: the rate {rate:.4g} must be below one per relaxation time "
            f"{rest.relaxation:.4g}; lower the noise, or use chain_exit_time or run"
        )
    second = min(memory * (1 - np.log(memory) / float(sde.noise.alpha)), 1.0)
    return Asymptotic(
        1 / rate, (second + error / rate) / rate, "one jump out (Imkeller and Pavlyukevich 2006)", "noise small"
    )


def _numbers(sde: Any) -> dict[str, float]:
    """The parameters that the drift uses; a Field refuses others."""
    names = {s.name for f in sde.drift for s in f.free_symbols}
    return {name: float(value) for name, value in sde.params.items() if name in names}


def _region(sde: Any, region: Any) -> Any:
    """An Interval in one dimension, a Ball in several."""
    from sdesim.observe.regions import Ball, Interval

    if sde.dim == 1:
        return Interval(*region_ends(region))
    if not isinstance(region, Ball):
        raise ValueError(
            f"one-jump exits in {sde.dim} dimensions are known here for a Ball, got {type(region).__name__}: "
            "simulate others with run"
        )
    if region.dim != sde.dim:
        raise ValueError(f"the region has dimension {region.dim}, the SDE {sde.dim}")
    return region


def _jump_rate(
    alpha: float, isotropic: bool, x: np.ndarray, factor: np.ndarray, region: Any
) -> tuple[float, float]:
    """Rate of jumps from x out of the region, and the error of its quadrature."""
    line = 0.5 * stable_jump_rate(alpha)
    if x.size == 1:
        ends = np.array([x[0] - region.low, region.high - x[0]])
        scale = float((np.abs(factor) ** alpha).sum()) if not isotropic else float(np.linalg.norm(factor) ** alpha)
        return line * scale * float((ends**-alpha).sum()), 0.0
    center, radius = np.asarray(region.center, dtype=float), float(region.radius)
    if not isotropic:
        total = 0.0
        for column in factor.T:
            length = float(np.linalg.norm(column))
            if length > 0:
                reach = [_chord(x - center, radius, s * column / length) for s in (1.0, -1.0)]
                total += line * sum((r / length) ** -alpha for r in reach)
        return total, 0.0
    if factor.shape[0] != factor.shape[1] or np.any(np.abs(factor - factor[0, 0] * np.eye(x.size)) > 0):
        raise ValueError(
            "one-jump exits under isotropic noise need one diffusion factor for all coordinates, got a matrix: "
            "write coordinatewise noise, Stable(alpha, isotropic=False), or simulate it with run"
        )
    offset = float(np.linalg.norm(x - center))
    means = [_mean_reach(alpha, x.size, offset, radius, n) for n in (ANGLES, 2 * ANGLES)]
    scale = stable_jump_rate(alpha, x.size) * abs(float(factor[0, 0])) ** alpha
    return scale * means[1], scale * abs(means[1] - means[0])


def _chord(offset: np.ndarray, radius: float, direction: np.ndarray) -> float:
    """Distance to the sphere from a point at `offset` from its centre, along a unit vector."""
    along = float(offset @ direction)
    return -along + float(np.sqrt(along**2 + radius**2 - offset @ offset))


def _mean_reach(alpha: float, dim: int, offset: float, radius: float, n: int) -> float:
    """Mean of ρ^-α over directions, ρ(φ) = -δ cos φ + √(r² - δ² sin² φ); cos φ has the density (1 - u²)^((d-3)/2)."""
    from scipy.special import roots_gegenbauer

    if dim == 2:
        u, weight = np.cos((np.arange(n) + 0.5) * np.pi / n), np.full(n, 1 / n)
    else:
        u, weight = roots_gegenbauer(n, dim / 2 - 1)
        weight = weight / weight.sum()
    reach = -offset * u + np.sqrt(radius**2 - offset**2 * (1 - u**2))
    return float(weight @ reach**-alpha)
