r"""Distances between the distribution functions F and G of two samples of numbers.

    Wasserstein-1   W = ∫ |F - G| dx,      energy   E = 2 ∫ (F - G)² dx = 2 E|X - Y| - E|X - X'| - E|Y - Y'|

A sample's distance is off by at most the norm of D̂ - D, where D = F - G: |Ŵ - W| <= ∫ |D̂ - D|, and likewise for
the root of E by the norm of L². The law of D̂ - D does not know whether F = G, and Gaussian multipliers of the rows
imitate it, so the intervals hold at distance zero, where a bootstrap of the distance itself does not, and are wide
rather than narrow elsewhere.

Székely and Rizzo, Energy statistics, J. Statist. Plann. Inference 143 (2013); van der Vaart and Wellner, Weak
Convergence and Empirical Processes (1996), section 2.9 for the multipliers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Numbers worked on at once: more are slower, each block being new memory.
AT_ONCE = 2**17


class Distances(NamedTuple):
    """Of every look: distance and interval, (looks, 3), and the statistics of all permutations."""

    wasserstein: np.ndarray
    energy: np.ndarray
    wasserstein_permuted: np.ndarray
    energy_permuted: np.ndarray


def distances(
    a: np.ndarray, b: np.ndarray, first: np.ndarray, paired: bool, level: float, replicates: int, seed: int
) -> Distances:
    """Distances of all looks; `first` as `permute.labels` gives it."""
    x = np.concatenate([a, b])
    own = np.ascontiguousarray(first.T)
    noise = _multipliers(len(a), len(b), paired, replicates, seed)
    looks = x.shape[1]
    w, e = np.full((len(first), looks), np.nan), np.full((len(first), looks), np.nan)
    w_ends, e_ends = np.full((looks, 3), np.nan), np.full((looks, 3), np.nan)
    for m in range(looks):
        order = np.argsort(x[:, m], kind="stable")[: int(np.isfinite(x[:, m]).sum())]
        gaps = np.diff(x[order, m])
        if min((order < len(a)).sum(), (order >= len(a)).sum()) < 2:
            continue
        w[:, m], e[:, m] = _of_labels(own, order, gaps)
        off_w, off_e = _spread(noise, order, gaps, order < len(a), level)
        w_ends[m] = w[0, m], max(w[0, m] - off_w, 0.0), w[0, m] + off_w
        root = np.sqrt(e[0, m])
        value = e[0, m] - _bias(a[:, m], b[:, m], paired)
        e_ends[m] = max(value, 0.0), max(root - off_e, 0.0) ** 2, (root + off_e) ** 2
    return Distances(w_ends, e_ends, w, e)


def _of_labels(own: np.ndarray, order: np.ndarray, gaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both distances for every column of labels, (rows, permutations)."""
    n, total = len(order), own.shape[1]
    w, e = np.empty(total), np.empty(total)
    rank = np.arange(1, n)[:, None]
    chunk = max(AT_ONCE // n, 1)
    for k in range(0, total, chunk):
        below = np.cumsum(own[order, k : k + chunk], axis=0, dtype=np.int32)
        size = below[-1].astype(float)
        d = below[:-1] * float(n)
        d -= rank * size  # whole numbers: F - G times size (n - size), so equal samples have distance 0 exactly
        with np.errstate(all="ignore"):
            unit = 1 / (size * (n - size))
            w[k : k + chunk] = gaps @ np.abs(d, out=d) * unit
            e[k : k + chunk] = 2 * (gaps @ np.square(d, out=d)) * unit**2
    # A permutation that leaves one side without a value has no distance: it counts as none.
    return np.nan_to_num(w), np.nan_to_num(e)


def _multipliers(n_reference: int, n_other: int, paired: bool, replicates: int, seed: int) -> np.ndarray:
    """Gaussian multipliers of the rows, (rows, replicates); one for both rows of a pair."""
    rng = np.random.default_rng([seed, 1])
    noise = rng.standard_normal((n_reference, replicates), dtype=np.float32)
    return np.concatenate([noise, noise if paired else rng.standard_normal((n_other, replicates), dtype=np.float32)])


def _spread(
    noise: np.ndarray, order: np.ndarray, gaps: np.ndarray, own: np.ndarray, level: float
) -> tuple[float, float]:
    """What ∫ |D̂ - D| and the root of 2 ∫ (D̂ - D)² stay below with probability `level`."""
    found = []
    chunk = max(AT_ONCE // len(order), 1)
    for k in range(0, noise.shape[1], chunk):
        weights = noise[order, k : k + chunk].astype(float)
        for side, sign in ((own, 1.0), (~own, -1.0)):
            n = side.sum()
            weights[side] = sign * (weights[side] - weights[side].mean(axis=0)) / np.sqrt(n * (n - 1.0))
        d = np.cumsum(weights, axis=0)[:-1]
        found.append([gaps @ np.abs(d, out=d), np.sqrt(2 * (gaps @ np.square(d, out=d)))])
    ends = np.quantile(np.concatenate(found, axis=1), level, axis=1)
    return float(ends[0]), float(ends[1])


def _bias(a: np.ndarray, b: np.ndarray, paired: bool) -> float:
    """Mean of the energy distance of two samples above that of their laws, estimated without bias."""
    a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    found = sum(_mean_gap(v) / (len(v) - 1) for v in (a, b))
    if not paired:
        return float(found)
    n = len(a)
    both = _cross_gap(a, b)
    return float(found + 2 * both - 2 * (n * both - np.abs(a - b).mean()) / (n - 1))


def _mean_gap(x: np.ndarray) -> float:
    """(1/n²) Σ |x_i - x_j|."""
    n = len(x)
    return float(2 * np.sum((2 * np.arange(1, n + 1) - n - 1) * np.sort(x)) / n**2)


def _cross_gap(a: np.ndarray, b: np.ndarray) -> float:
    """(1/(n m)) Σ |a_i - b_j|, from the gaps of the pooled sample: all pairs less those of one side."""
    n, m = len(a), len(b)
    every = _mean_gap(np.concatenate([a, b])) * (n + m) ** 2
    return float((every - _mean_gap(a) * n**2 - _mean_gap(b) * m**2) / (2 * n * m))
