"""Estimators of γ = 1/α, each of the columns of an array (n, m) at once; all are free of location-scale of |x|."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np

Estimator = Callable[[np.ndarray, int], np.ndarray]


def mohammadi(x: np.ndarray, m: int) -> np.ndarray:
    r"""γ = (mean log|Y| - mean log|X|)/log m, Y the sums of m samples each.

    For symmetric stable X, |Y| has the law of m^{1/α}|X|. On other data it measures how fast sums grow, at m alone.
    Mohammadi, Mohammadpour and Ogata, Metrika 78 (2015), corollary 2.4.
    """
    groups = len(x) // m
    used = x[: groups * m]
    sums = used.reshape(groups, m, -1).sum(1)
    return np.asarray((np.log(np.abs(sums)).mean(0) - np.log(np.abs(used)).mean(0)) / math.log(m))


def hill(x: np.ndarray, k: int) -> np.ndarray:
    """γ = mean of log(|x|_(i)/|x|_(k+1)) over the k largest |x| (Hill, Ann. Stat. 3, 1975)."""
    return _excesses(x, k).mean(0)


def moment(x: np.ndarray, k: int) -> np.ndarray:
    """γ = M₁ + 1 - ½/(1 - M₁²/M₂), M_j the mean j-th power of Hill's logarithms; not positive for light tails.

    Dekkers, Einmahl and de Haan, Ann. Stat. 17 (1989).
    """
    excess = _excesses(x, k)
    first, second = excess.mean(0), (excess**2).mean(0)
    return np.asarray(first + 1 - 0.5 / (1 - first**2 / second))


def _excesses(x: np.ndarray, k: int) -> np.ndarray:
    top = np.partition(np.abs(x), len(x) - k - 1, axis=0)[len(x) - k - 1 :]
    top.sort(axis=0)
    return np.asarray(np.log(top[1:] / top[0]))


def characteristic(x: np.ndarray, points: int) -> np.ndarray:
    """α = slope of log(-log|φ(t)|²) against log t, at t = 1/points, ..., 1 quartile units.

    For a symmetric stable law it is exact: |φ(t)| = exp(-|σt|^α). Koutrouvelis, J. Am. Stat. Assoc. 75 (1980), with
    one fixed grid.
    """
    low, high = np.quantile(x, [0.25, 0.75], axis=0)
    first = np.exp(2j / points * x / (high - low))
    power, size = first, [np.abs(first.mean(0))]
    for _ in range(points - 1):
        power = power * first
        size.append(np.abs(power.mean(0)))
    y, log_t = np.log(-2 * np.log(size)), np.log(np.arange(1, points + 1))
    log_t -= log_t.mean()
    return np.asarray((log_t**2).sum() / (log_t[:, None] * y).sum(0))


def quantile(x: np.ndarray, unused: int) -> np.ndarray:
    """α at which (q.95 - q.05)/(q.75 - q.25) is that of a symmetric stable law (McCulloch 1986).

    McCulloch, Commun. Stat. Simul. Comput. 15. Ratios below the normal one give α above 2 (extrapolated).
    """
    q = np.quantile(x, [0.05, 0.25, 0.75, 0.95], axis=0)
    ratio = np.log((q[3] - q[0]) / (q[2] - q[1]))
    alphas, ratios = _quantile_ratios()
    end = (alphas[-1] - alphas[-2]) / (ratios[-1] - ratios[-2])
    inside = np.interp(ratio, ratios[::-1], alphas[::-1])
    return np.asarray(1 / np.where(ratio < ratios[-1], alphas[-1] + end * (ratio - ratios[-1]), inside))


@cache
def _quantile_ratios() -> tuple[np.ndarray, np.ndarray]:
    """Values of α and the logarithms of their ratio of quantiles, which falls."""
    from scipy.optimize import brentq

    from sdesim.problems.laws import Stable

    def log_quantile(law: Stable, p: float) -> float:
        return float(brentq(lambda u: float(law.tail(math.exp(u))) - 2 * (1 - p), -3.0, 12.0, xtol=1e-10))

    alphas = np.array([0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 1.95, 2.0])
    laws = [Stable(float(a)) for a in alphas]
    return alphas, np.array([log_quantile(law, 0.95) - log_quantile(law, 0.75) for law in laws])


METHODS: dict[str, Estimator] = {
    "hill": hill, "moment": moment, "mohammadi": mohammadi, "characteristic": characteristic, "quantile": quantile,
}  # fmt: skip
STABLE = ("mohammadi", "characteristic", "quantile")  # these need symmetric samples


def default_number(method: str, n: int) -> int:
    """Largest values, samples a sum, or points used unless the caller says."""
    if method in ("hill", "moment"):
        return max(10, round(n**0.65))
    return max(2, min(round(math.sqrt(n)), n // 40)) if method == "mohammadi" else 10
