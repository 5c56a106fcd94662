"""Escape of SGD whose noise is proportional to the loss and to its Hessian: a power law in the loss."""
from __future__ import annotations

from typing import Any

import numpy as np

from sdesim.analysis.limits.asymptotic import Asymptotic
from sdesim.analysis.limits.passes import passes, well_of, wells
from sdesim.core.checks import positive

ALIKE = 0.01


def sgd_escape_time(
    landscape: Any, learning_rate: float, batch_size: float, start: Any = None, *, curvature: float | None = None
) -> Asymptotic:
    r"""Mean time in which SGD with noise of covariance 2 L(θ) h/B escapes from a well, for small η h/B.

    For the mean-square loss the noise of a minibatch of B has, near a minimum, the covariance 2 L(θ) ∇²L / B. With h
    the typical size of the outlying eigenvalues of the Hessian the SDE is

        dθ = -∇L dt + √(2 η h L(θ)/B) dW.

    Its generator is L(θ) (-∇log L · ∇ + D Δ) with D = η h/B: after the change of time dt' = L dt it is a diffusion
    with additive noise in the potential log L. Eyring–Kramers there, and a time of 1/L(m) for each unit of t' while
    the path sits at the minimum m, give the rate over a saddle s

        k = |λ_s|/2π √(det ∇²L(m) / |det ∇²L(s)|) (L(s)/L(m))^-(B/(η h) + 1 - n/2)

    with n the number of variables: each determinant of ∇² log L carries L^-n, |λ_s| a factor 1/L(s). This is the
    escape rate of Mori, Ziyin, Liu and Ueda 2022 (ICML; arXiv 2105.09557), whose n counts the outlying eigenvalues.
    With one variable it is the small-noise limit of the exact quadrature (`mean_exit_time` of the SDE above, read as
    Itô's), so there the published exponent B/(η h) + 1/2 is exact; the tests hold it against that.

    Xie, Sato and Sugiyama 2021 (arXiv 2002.03495) take noise proportional to |∇²L(θ)| instead and find
    exp(2B ΔL/η (s/H_m + (1 - s)/|H_s|)) with an unknown share s. Read literally that noise vanishes at the
    inflection points between minimum and saddle, which for small noise no path then reaches (Feller's test: the drift
    points away from a linear zero of the variance), and the exit time of the SDE is infinite; the formula needs the
    Hessian held constant around both points, so it is not offered here.

    Parameters
    ----------
    landscape : Landscape
        The loss L, positive at its minima: at L = 0 the noise vanishes and no path leaves.
    learning_rate, batch_size : float
        η and B.
    start : number or array, optional
        A point of the well; not needed where there is only one.
    curvature : float, optional
        h. By default the curvature of the minimum, which must then be the same in all directions.

    Returns
    -------
    Asymptotic
        Time until the path has arrived on the other side, in units of η × steps. The error is the value times
        η h / (B log(L(s)/L(m))), the order of what is left out.

    Raises
    ------
    ValueError
        If the loss is not positive at the minimum, its curvatures differ and none is given, no saddle leads out, a
        point is degenerate, or the noise is not small: η h/B above log(L(s)/L(m)).
    """
    positive("learning_rate", learning_rate)
    positive("batch_size", batch_size)
    well = wells(landscape)[well_of(landscape, start)]
    if not well.height > 0:
        raise ValueError(
            f"the noise of the mean-square loss is proportional to the loss, which is {well.height:.4g} at the minimum "
            f"{well.point}: it must be positive, or no path leaves"
        )
    h = _typical(well.curvatures, curvature)
    around = [p for p in passes(landscape) if well.index in p.wells and p.wells[0] != p.wells[1]]
    if not around:
        raise ValueError(f"no saddle leads out of the well at {well.point}: the escape rate needs one of index 1")
    d = float(learning_rate) * h / float(batch_size)
    climb = np.log(np.array([p.height for p in around]) / well.height)
    if climb.min() < d:
        raise ValueError(
            f"the power law needs small noise: η h/B = {d:.4g} must be below the barrier log(L(s)/L(m)) = "
            f"{climb.min():.4g}; lower the learning rate or raise the batch size"
        )
    power = 1 / d + 1 - landscape.dim / 2
    logs = [
        np.log(p.unstable / (2 * np.pi)) + 0.5 * (well.log_det - p.log_det) - power * c
        for p, c in zip(around, climb, strict=True)
    ]
    value = float(np.exp(-np.logaddexp.reduce(logs)))
    method = "power law of the loss (Mori, Ziyin, Liu and Ueda 2022)"
    return Asymptotic(value, value * d / float(climb.min()), method, "noise small against the barrier of log L")


def _typical(curvatures: tuple[float, float], given: float | None) -> float:
    """The one size of the outlying eigenvalues."""
    if given is not None:
        positive("curvature", given)
        return float(given)
    low, high = curvatures
    if high > (1 + ALIKE) * low:
        raise ValueError(
            f"the formula needs one typical curvature, those of the minimum range from {low:.4g} to {high:.4g}: "
            "give curvature="
        )
    return 0.5 * (low + high)
