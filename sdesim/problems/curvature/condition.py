r"""A necessary condition for SGD to be near its SDE: enough noise against the gradient.

Let the loss be scale-invariant, L(cx) = L(x) for every batch, as networks with normalisation are, with weight decay λ.
Then x·g = 0 for every gradient g. In the long run E‖x‖² = R, E‖∇L‖² = G, E tr Σ/B = N stay as they are:

    SGD   x⁺ = (1 - ηλ)x - ηg:                  (2 - ηλ) λ R = η (G + N)
    SDE   dX = -(∇L + λX)dt + (ηΣ/B)^{1/2}dW:       2 λ R = η N

If R and N of the two differ by a factor of at most C, then G + N ≤ 2λR/η ≤ 2λC R_sde/η = C N_sde ≤ C² N:

    N/G ≥ 1/(C² - 1)

If instead SGD with (κη, κB) stands for the SDE (linear scaling rule), N'/G' ≥ (1 - C²/κ)/(C² - 1) with N', G' of the
larger batch. The derivation is this page's; the condition is that of the paper (its theorem on the failure of the
linear scaling rule, whose number we do not quote).

On a parabola with curvature h and additive noise the stationary variances are η σ²/(h(2 - ηh)) of SGD and ησ²/(2h) of
the SDE: their ratio is 1 + G/N exactly, whatever the loss's invariances; there closeness C asks for N/G ≥ 1/(C - 1).

Li, Malladi and Arora, arXiv 2102.12470, section 5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdesim.core.checks import positive


@dataclass(frozen=True)
class Condition:
    """Whether enough noise is there for SGD to be near its SDE.

    Parameters
    ----------
    ratio, low, high : float
        E N / E G over the paths, with its interval.
    bound : float
        What it must reach.
    level : float
        Of the interval.
    verdict : "may hold", "fails" or "undecided"
        "fails": the whole interval lies below the bound, so the two differ by more than the closeness. The condition is
        necessary, not sufficient: above the bound they may still differ.
    """

    ratio: float
    low: float
    high: float
    bound: float
    level: float
    verdict: str


def sde_condition(
    noise: Any, gradient: Any, closeness: float = 1.1, scale: float = math.inf, level: float = 0.95
) -> Condition:
    """The necessary condition of Li, Malladi and Arora at a learning rate, from stationary paths run at it.

        E N / E G ≥ (1 - C²/κ) / (C² - 1)

    Parameters
    ----------
    noise, gradient : arrays, shape (paths,)
        tr Σ/B and ‖∇L‖² at the end of independent long paths of SGD at the learning rate in question, as recorded by
        `noise_trace` (over B) and `gradient_square`.
    closeness : float
        C > 1: the factor by which long-run means of ‖x‖² and of the noise may differ. 1.1 stands for 10 %.
    scale : float
        κ > C²: the factor of learning rate and batch size that is to change nothing; infinite for the SDE itself.
    level : float
        Of the interval (first-order error of a ratio, Student).

    Raises
    ------
    ValueError
        If C ≤ 1, κ ≤ C², there are fewer than two paths, or a value is negative or not finite.

    Examples
    --------
    >>> sde_condition([1.0, 1.2, 1.1], [0.1, 0.12, 0.1]).verdict  # 10 is above 1/(1.1**2 - 1) = 4.8
    'may hold'
    """
    from scipy.special import stdtrit

    n_, g = (np.asarray(v, dtype=float) for v in (noise, gradient))
    positive("closeness", closeness)
    if closeness <= 1 or not scale > closeness**2:
        raise ValueError(f"closeness must be above 1 and scale above closeness², got {closeness:g} and {scale:g}")
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}")
    if n_.ndim != 1 or n_.shape != g.shape or len(g) < 2:
        raise ValueError(f"noise and gradient need one value for each of several paths, got {n_.shape} and {g.shape}")
    if not (np.isfinite(n_).all() and np.isfinite(g).all() and (n_ >= 0).all() and (g >= 0).all() and g.any()):
        raise ValueError("noise and gradient must be finite and not negative, and some gradient must not be 0")
    bound = (1 - closeness**2 / scale) / (closeness**2 - 1)
    ratio = n_.mean() / g.mean()
    error = float((n_ - ratio * g).std(ddof=1) / g.mean() / math.sqrt(len(g)))
    half = float(stdtrit(len(g) - 1, (1 + level) / 2)) * error
    low, high = max(ratio - half, 0.0), ratio + half
    verdict = "fails" if high < bound else "may hold" if low >= bound else "undecided"
    return Condition(float(ratio), float(low), float(high), float(bound), level, verdict)
