r"""Permutations of two samples, and p-values that hold for all looks at once.

Two independent samples: their rows are dealt anew. Pairs: the two rows of a pair change places, each with probability
1/2, which is exact if they have equal laws given what they share (a start), whatever that is. For equal laws and any
other dependence inside a pair it is valid for many paths: the swaps are Rademacher multipliers of the differences of a
pair, and give the difference of the two distribution functions its limiting covariance.

A row moves as a whole, with all its observables and times, so that the maximum of a statistic over all looks has
its true law: p-values against that maximum bound the probability of any false alarm (Westfall and Young 1993).
"""

from __future__ import annotations

import numpy as np

# Statistics equal up to this share are ties.
TIE = 1e-9
# Numbers worked on at once.
AT_ONCE = 2**22


def labels(n_reference: int, n_other: int, paired: bool, permutations: int, seed: int) -> np.ndarray:
    """Which rows of the pooled sample count as the reference's, (1 + permutations, rows); the first as they are."""
    rng = np.random.default_rng(seed)
    n = n_reference + n_other
    own = np.arange(n) < n_reference
    if paired:
        swap = rng.random((permutations, n_reference), dtype=np.float32) < 0.5
        return np.vstack([own, np.concatenate([~swap, swap], axis=1)])
    dealt = np.empty((1 + permutations, n), dtype=bool)
    dealt[0] = own
    for k in range(1, 1 + permutations, rows := max(AT_ONCE // n, 1)):
        some = dealt[k : k + rows]
        some[:] = np.argsort(rng.random(some.shape), axis=1) < n_reference
    return dealt


def least_p_value(n_reference: int, n_other: int, paired: bool) -> float:
    """The smallest p-value that permutations of so many paths can give a two-sided statistic."""
    from scipy.special import gammaln

    if paired:
        return float(2.0 ** (1 - n_reference))
    ways = gammaln(n_reference + n_other + 1) - gammaln(n_reference + 1) - gammaln(n_other + 1)
    return float((2.0 if n_reference == n_other else 1.0) * np.exp(-ways))


def t_statistics(a: np.ndarray, b: np.ndarray, first: np.ndarray, paired: bool) -> np.ndarray:
    """|Welch's t| (of pairs: Student's) for every permutation and look, (permutations, looks)."""
    rows = max(AT_ONCE // first.shape[1], 1)
    return np.concatenate([_t(a, b, first[k : k + rows], paired) for k in range(0, len(first), rows)])


def _t(a: np.ndarray, b: np.ndarray, first: np.ndarray, paired: bool) -> np.ndarray:
    if paired:
        d = np.nan_to_num(a - b)
        n = np.isfinite(a - b).sum(axis=0)
        signs = np.where(first[:, : len(a)], 1.0, -1.0)
        mean = signs @ d / n
        return _ratio(mean, np.sqrt(np.maximum((d**2).sum(axis=0) / n - mean**2, 0) / (n - 1)), np.abs(d).max(axis=0))
    x = np.concatenate([a, b])
    known = np.isfinite(x)
    centre = np.nan_to_num(x).sum(axis=0) / known.sum(axis=0)
    x = np.where(known, x - centre, 0.0)
    own, count = first.astype(float), known.astype(float)
    n, total, square = (own @ v for v in (count, x, x**2))
    means, squares = [], []
    for m, s, q in ((n, total, square), (count.sum(0) - n, x.sum(0) - total, (x**2).sum(0) - square)):
        with np.errstate(all="ignore"):
            means.append(s / m)
            squares.append(np.maximum(q / m - (s / m) ** 2, 0) / (m - 1))
    return _ratio(means[0] - means[1], np.sqrt(squares[0] + squares[1]), np.abs(x).max(axis=0))


def centred(a: np.ndarray, b: np.ndarray, paired: bool) -> tuple[np.ndarray, np.ndarray]:
    """Both samples with equal means; in pairs the mean difference is taken from one."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # looks without a value
        if paired:
            return a - np.nanmean(a - b, axis=0), b
        return a - np.nanmean(a, axis=0), b - np.nanmean(b, axis=0)


def exceeding(statistics: np.ndarray, level: float) -> float:
    """What the largest statistic of all looks stays below with probability `level`."""
    largest = np.sort(_largest(statistics))
    return float(largest[min(int(np.ceil(level * largest.size)), largest.size) - 1])


def adjusted(families: list[np.ndarray]) -> list[np.ndarray]:
    """P-values of the looks of every family of statistics, (permutations, looks), first row observed.

    Those of a look count the permutations whose largest statistic over all looks of the family is as large; the
    smallest of them over families is itself compared with its permutations. The probability that any is at most p,
    when all laws are equal, is at most p.
    """
    within, least = [], []
    for statistics in families:
        largest = np.sort(_largest(statistics))
        total = largest.size

        def reached(values: np.ndarray, largest: np.ndarray = largest, total: int = total) -> np.ndarray:
            below = np.searchsorted(largest, values - TIE * np.abs(np.where(np.isfinite(values), values, 0.0)))
            return (total - below) / total

        within.append(np.where(np.isnan(statistics[0]), np.nan, reached(statistics[0])))
        least.append(reached(_largest(statistics)))
    smallest = np.sort(np.min(least, axis=0))
    joint = [np.searchsorted(smallest, p * (1 + TIE), side="right") / smallest.size for p in within]
    return [np.where(np.isnan(p), np.nan, j) for p, j in zip(within, joint, strict=True)]


def standardized(statistics: np.ndarray) -> np.ndarray:
    """Every look's statistics in units of their spread over all permutations, 0 where they do not vary."""
    mean, spread = statistics.mean(axis=0), statistics.std(axis=0)
    varies = spread > TIE * np.abs(mean)
    return np.where(varies, (statistics - mean) / np.where(varies, spread, 1.0), statistics * 0.0)


def _largest(statistics: np.ndarray) -> np.ndarray:
    return np.max(np.where(np.isnan(statistics), -np.inf, statistics), axis=1)


def _ratio(difference: np.ndarray, error: np.ndarray, size: np.ndarray) -> np.ndarray:
    """|difference| / error; 0 where both vanish, infinite where the error alone does."""
    difference = np.abs(difference)
    with np.errstate(all="ignore"):
        t = difference / error
    none = difference <= 1e-12 * size
    return np.where(none, 0.0, np.where(error <= 1e-12 * size, np.inf, t))
