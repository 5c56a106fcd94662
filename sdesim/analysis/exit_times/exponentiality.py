"""Whether exit times are exponential: a test that knows its law under censoring and on a time grid."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import xarray as xr

from sdesim.analysis.exit_times.sample import ADVICE, FEW, Sample, counts, left_out, over_cells, table
from sdesim.analysis.exit_times.trend import laplace, places

# Above this (p < 3e-8) the tail of the statistic is its first term, to 2 per cent; the series would cancel.
TAIL = 16.0
# Terms of the series for the statistic's law, and points of its integrals: 1e-12.
TERMS, POINTS = 8, 64


@dataclass(frozen=True, repr=False)
class Exponentiality:
    """Anderson and Darling's test of a constant exit rate.

    Attributes
    ----------
    p_value : float or xarray.DataArray
        Uniform on (0, 1) if exit times are exponential (geometric on a grid); NaN with fewer than ten exits.
    statistic : float or xarray.DataArray
        A², large if the rate changes.
    distance : float or xarray.DataArray
        Largest distance of the exits from uniform on the clock of total time at risk: the size of the deviation,
        which a p-value of very many paths does not tell.
    trend : float or xarray.DataArray
        Laplace's trend in standard errors, positive if the rate rises with time.
    n_exited, n_censored, n_diverged : int or xarray.DataArray
        Of the paths at risk: those that left and those that had not when last seen; paths that blew up.
    method : str or xarray.DataArray
        The test in words.
    warning : str or xarray.DataArray
        What to doubt about it; empty if nothing.
    """

    p_value: Any
    statistic: Any
    distance: Any
    trend: Any
    n_exited: Any
    n_censored: Any
    n_diverged: Any
    method: Any
    warning: Any

    def __str__(self) -> str:
        if np.ndim(self.p_value):
            return f"exponentiality over {dict(self.p_value.sizes)}: .p_value, .distance and .trend"
        shown = f"p={self.p_value:.3g}, A²={self.statistic:.3g}, distance {self.distance:.2g}, trend {self.trend:+.1f}"
        note = f"; {self.warning}" if self.warning else ""
        return f"{shown} (n={self.n_exited} exits; {self.method}{note})"

    def __repr__(self) -> str:
        return f"<Exponentiality {self}>"


def exponentiality(ds: xr.Dataset, after: Any = 0.0) -> Exponentiality:
    r"""Test of the exponential law with unknown rate, censored paths included.

    With V(t) = \int_0^t (paths at risk) ds, the exits V(t_i)/V(t_d), i < d, are uniform order statistics under the
    exponential law, whatever its rate. Anderson and Darling's statistic

        A^2 = -m - (1/m) \sum_i (2i - 1) (log u_i + log(1 - u_{m+1-i}))

    of these m = d - 1 places is compared with its limit law for a fully known distribution, which it follows from few
    values on; nothing is fitted. The places are exactly uniform if every path exits, asymptotically if some do not.

    Exit times of a recursion are multiples of the step, geometric at best: each is moved back by a share of the step
    that is exponential within it, with the rate that the exits show, which turns a geometric law into the exponential
    one. The draw is seeded by the data, so that the same dataset gives the same p-value.

    Parameters
    ----------
    ds : xarray.Dataset
        Result of `run` with a `FirstExit`; swept dimensions are kept.
    after : float or xarray.DataArray
        Only paths still inside at this time count, from this time on: the test then leaves out the relaxation from
        the start. An array may depend on swept parameters or on the path.

    Returns
    -------
    Exponentiality
        With as many fields over the swept dimensions.

    Raises
    ------
    ValueError
        If the dataset has no exit times, no path counts, or none is at risk after `after`.

    References
    ----------
    T. W. Anderson and D. A. Darling, A test of goodness of fit, J. Am. Statist. Assoc. 49 (1954).
    R. D. Gill, The total time on test plot and the cumulative total time on test statistic for a counting process,
    Ann. Statist. 14 (1986).
    """
    cells = over_cells(ds, lambda sample, start: _of_sample(sample.after(start)), after)
    return Exponentiality(**table(ds, cells, "test of exponentiality", "1"))


def _of_sample(sample: Sample) -> dict[str, Any]:
    method, grid, notes = "Anderson-Darling on the total time at risk", sample.grid(), left_out(sample)
    if grid:
        sample = within_steps(sample, grid)
        method += ", geometric law of the time grid spread over its steps"
    statistic = p_value = distance = np.nan
    if sample.n_exited >= FEW:
        at = places(sample)
        statistic, distance = anderson_darling(at), _distance(at)
        p_value = anderson_darling_tail(statistic)
    else:
        notes.append(f"{sample.n_exited} exits are too few for a test, it needs {FEW}")
    if not sample.n_exited:
        notes.append(ADVICE)
    return {
        "p_value": p_value, "statistic": statistic, "distance": distance, "trend": laplace(sample), **counts(sample),
        "method": method, "warning": "; ".join(notes),
    }  # fmt: skip


def within_steps(sample: Sample, grid: float) -> Sample:
    """Exits at the end of a step moved to a random time in it: exponential if the number of steps is geometric."""
    steps = np.round(sample.time / grid)
    exit_share = min(sample.n_exited / max(float(steps.sum()), 1.0), 1 - 1e-12)
    rate = -np.log1p(-exit_share)
    u = np.random.default_rng(zlib.crc32(steps.tobytes())).random(sample.n_exited)
    inside = -np.log1p(u * np.expm1(-rate)) / rate
    time = grid * steps
    time[sample.exited] += grid * (inside - 1)
    return sample._replace(time=time, clock=0.0)


def anderson_darling(u: np.ndarray) -> float:
    """A² of ascending values against the uniform law on (0, 1)."""
    m = u.size
    with np.errstate(divide="ignore"):  # a value at an end, from tied times, is infinitely unlikely
        ends = np.log(u) + np.log1p(-u[::-1])
    return float(-m - np.sum((2 * np.arange(1, m + 1) - 1) * ends) / m)


def anderson_darling_tail(z: float) -> float:
    r"""P(A^2 > z) in the limit of many values.

    The law is that of \sum_j X_j^2 / (j (j + 1)) with independent normal X_j. Below TAIL by Anderson and Darling's
    series (Ann. Math. Statist. 23, 1952); above by j = 1 alone, sqrt(3) erfc(sqrt(z)), 2 per cent too small there.
    """
    from scipy.special import binom, erfc

    if not z > 0:
        return 1.0
    if z > TAIL:
        return float(np.sqrt(3.0) * erfc(np.sqrt(z)))
    s, weights = _legendre()
    total = 0.0
    for j in range(TERMS):
        a = (4 * j + 1) ** 2 * np.pi**2 / (8 * z)
        # The width of the Gaussian factor sets the scale on which w runs.
        scale = 10 / np.sqrt(a)
        w = scale * s
        integral = scale * np.sum(weights * np.exp(z / (8 * (w * w + 1)) - a * w * w))
        total += binom(-0.5, j) * (4 * j + 1) * np.exp(-a) * integral
    return float(np.clip(1 - np.sqrt(2 * np.pi) / z * total, 0.0, 1.0))


@lru_cache(maxsize=1)
def _legendre() -> tuple[np.ndarray, np.ndarray]:
    """Gauss–Legendre nodes and weights on (0, 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(POINTS)
    return 0.5 * (nodes + 1), 0.5 * weights


def _distance(u: np.ndarray) -> float:
    """Kolmogorov's distance of ascending values from the uniform law."""
    m = u.size
    return float(max(np.max(np.arange(1, m + 1) / m - u), np.max(u - np.arange(m) / m)))
