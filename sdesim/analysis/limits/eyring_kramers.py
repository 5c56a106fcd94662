"""Escape over saddles by small Gaussian noise: the law of Eyring and Kramers, and the chain of wells it predicts.

For dX = -∇f dt + σ dW and D = σ²/2, the rate over a saddle s of index one from the minimum m is

    k = |λ_s|/2π √(det ∇²f(m) / |det ∇²f(s)|) exp(-(f(s) - f(m))/D) (1 + O(D log(1/D)^(3/2)))

with λ_s the negative eigenvalue of ∇²f(s) (Bovier, Eckhoff, Gayrard and Klein 2004, J. Eur. Math. Soc. 6, 399-424,
theorem 3.2; they write ε for D). Rates over several saddles add.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from sdesim.analysis.limits.asymptotic import Asymptotic
from sdesim.analysis.limits.passes import Pass, Well, passes, well_of, wells
from sdesim.core.checks import near, positive

UNTIL = {"well": 1.0, "boundary": 0.5}
LIMIT = "noise small against the barriers"


def eyring_kramers(landscape: Any, diffusion: float, start: Any = None, *, until: str = "well") -> Asymptotic:
    """Mean time in which dX = -∇f dt + σ dW escapes from a well, for small σ, in any dimension.

        E τ = 1 / Σ_s k_s

    summed over the saddles s around the well, k_s the rate of Eyring and Kramers (see the module).

    Parameters
    ----------
    landscape : Landscape
        The loss f.
    diffusion : float
        σ, the factor in front of dW: D = σ²/2.
    start : number or array of d numbers, optional
        A point of the well; not needed where there is only one.
    until : "well" or "boundary"
        Until the path has arrived in another well, or until it first touches the boundary of the basin. Every other
        path that touches it falls back, so the boundary takes half of the time.

    Returns
    -------
    Asymptotic
        In time. The error is the value times D over the lowest barrier, the order of what is left out; for the
        boundary the root of that, since the climb up to a saddle without the way down feels its skewness.

    Raises
    ------
    ValueError
        If the well has no saddle, a minimum or saddle is degenerate or at a kink, or the noise is not small: D above
        the lowest barrier.

    Examples
    --------
    The double well with both curvatures, √2 π exp(1/(2σ²))::

        theory.eyring_kramers(Landscape("x**4/4 - x**2/2"), 0.2, start=-1.0).value
    """
    if until not in UNTIL:
        raise ValueError(f"until must be 'well' or 'boundary', got {until!r}: {near(str(until), UNTIL)}")
    d = _noise(diffusion)
    well = wells(landscape)[well_of(landscape, start)]
    around = [p for p in passes(landscape) if _leaves(p, well.index)]
    if not around:
        raise ValueError(
            f"no saddle leads out of the well at {well.point}: Eyring–Kramers needs one of index 1; "
            "for another way out use mean_exit_time (one variable) or simulate it with run"
        )
    barrier = _lowest(around, well, d)
    logs = [_log_rate(p, well, d) for p in around]
    value = UNTIL[until] * float(np.exp(-np.logaddexp.reduce(logs)))
    order = d / barrier if until == "well" else float(np.sqrt(d / barrier))
    return Asymptotic(value, value * order, f"Eyring–Kramers, {_searched(landscape, len(around))}", LIMIT)


def kramers_generator(landscape: Any, diffusion: float) -> Asymptotic:
    """Generator of the Markov chain over the wells that dX = -∇f dt + σ dW becomes for small σ.

    Q_ij = Σ k_s over the saddles s whose two sides flow into the wells i and j, k_s from i as in `eyring_kramers`;
    Q_ii = -Σ_j Q_ij. In detailed balance with √(1/det ∇²f(m_i)) exp(-f(m_i)/D).

    Parameters
    ----------
    landscape : Landscape
    diffusion : float
        σ, the factor in front of dW.

    Returns
    -------
    Asymptotic
        value and error of shape (well, well), per time, in the order of `landscape.minima`.

    Raises
    ------
    ValueError
        As `eyring_kramers`, if there is one well only, or if a pass leads out of the landscape.
    """
    d = _noise(diffusion)
    places, ways = wells(landscape), passes(landscape)
    if len(places) < 2:
        raise ValueError("the landscape has one well: a chain needs two, use eyring_kramers for the escape from one")
    outward = next((p for p in ways if min(p.wells) < 0), None)
    if outward is not None:
        raise ValueError(
            f"the pass at {outward.point} leads to no well on one side: paths are lost there, and the chain has no "
            "generator; enlarge the domain of the landscape or use eyring_kramers for each well"
        )
    rates = np.zeros((len(places), len(places)))
    error = np.zeros_like(rates)
    for p in ways:
        for i, j in (p.wells, p.wells[::-1]):
            if i == j:
                continue
            barrier = _lowest([p], places[i], d)
            rate = float(np.exp(_log_rate(p, places[i], d)))
            rates[i, j] += rate
            error[i, j] += rate * d / barrier
    cut_off = [str(places[i].point) for i in np.flatnonzero(~rates.any(axis=1))]
    if cut_off:
        raise ValueError(f"no saddle leads out of the well at {cut_off[0]}: Eyring–Kramers needs one of index 1")
    np.fill_diagonal(rates, -rates.sum(axis=1))
    np.fill_diagonal(error, error.sum(axis=1))
    return Asymptotic(rates, error, f"Eyring–Kramers, {_searched(landscape, len(ways))}", LIMIT)


def _noise(diffusion: Any) -> float:
    """D = σ²/2."""
    positive("diffusion", diffusion)
    return 0.5 * float(diffusion) ** 2


def _leaves(p: Pass, well: int) -> bool:
    return well in p.wells and p.wells[0] != p.wells[1]


def _log_rate(p: Pass, well: Well, d: float) -> float:
    return float(
        np.log(p.unstable / (2 * np.pi)) + 0.5 * (well.log_det - p.log_det) - (p.height - well.height) / d
    )


def _lowest(around: list[Pass], well: Well, d: float) -> float:
    """Lowest barrier, refused where the noise is not small against it."""
    barrier = min(p.height for p in around) - well.height
    if barrier < d:
        raise ValueError(
            f"Eyring–Kramers needs noise that is small against the barrier: D = diffusion²/2 = {d:.4g}, the barrier of "
            f"the well at {well.point} is {barrier:.4g}; lower the noise, or use mean_exit_time or run"
        )
    return float(barrier)


def _searched(landscape: Any, count: int) -> str:
    found = f"{count} saddle{'s' if count > 1 else ''}"
    return found if landscape.search["complete"] else f"{found} found by multistart"
