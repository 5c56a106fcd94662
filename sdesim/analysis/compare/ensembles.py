"""compare: ensembles of different dynamics at all recorded quantities and times, looked at together."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import stdtrit

from sdesim.analysis.compare import permute
from sdesim.analysis.compare.distances import distances
from sdesim.analysis.compare.looks import Looks, cells, ensembles, looks
from sdesim.analysis.compare.result import Comparison, Comparisons
from sdesim.core.checks import count, near, positive

# Replicates of the multipliers that give the distances their intervals.
REPLICATES = 400
# Rows × looks × permutations beyond which a comparison would take minutes.
MOST_WORK = 2e10
# Rows × permutations, or × replicates, beyond which it would take gigabytes.
MOST_LABELS = 5e8


def compare(
    data: Any,
    other: Any = None,
    *,
    reference: str | None = None,
    observables: Sequence[str] | None = None,
    times: Sequence[float] | None = None,
    paired: Any = "auto",
    within: float | None = None,
    level: float = 0.95,
    permutations: int = 999,
    seed: int = 0,
) -> Comparisons:
    r"""Hold ensembles against a reference: where their laws part, when and by how much.

    For every recorded observable, component and time (a "look"; exit times as min(T, t) with t the first censoring,
    which is known of every path; last states where nothing was recorded):

        difference of means, other - reference, with Welch's t interval (of pairs: Student's) and a band that holds
        all differences at once with probability `level`: difference ± c · standard error, c the quantile of the
        largest |t| over all looks under permutation of the centred paths;
        Wasserstein-1 and energy distance (debiased, 0 where that is negative), each with an interval that holds at
        distance zero as well and is wide rather than narrow elsewhere;
        permutation p-values of the three, and of the shares of diverged paths (Fisher's test; of pairs McNemar's),
        corrected for all looks and statistics together: with equal laws, any of them is at most p with probability
        p or less.

    Ensembles with the same seed are compared in pairs of paths with the same number: they share their starts (fresh
    weights) and may share batches or normals, so their paths are dependent and dealing them anew would be wrong, too
    timid or too bold. Pairs change places instead, which is exact for equal laws given what is shared, and right for
    many paths whatever the dependence inside a pair. The correction is within one comparison: one other dynamics, one
    cell of a sweep. Values that are not finite (paths that stopped or diverged) are left out at their times and noted;
    values that differ by less than 64 roundings of the type they were computed in are equal.

    Parameters
    ----------
    data : Dataset with the dimension `dynamics`, or mapping of names to datasets, or Dataset
        Results of `run` or of a model; swept parameters are compared cell by cell.
    other : Dataset, optional
        Compared with `data`; the numbers of paths may differ.
    reference : str, optional
        Name of the dynamics the others are held against; default: the first.
    observables : sequence of str, optional
        Names of variables with the dimension `path`; default: all recorded over time, and exit times.
    times : sequence of floats, optional
        Some of the recorded times that both have; default: all.
    paired : "auto", True or False
        Pairs of paths with the same number; "auto": where the seed is the same.
    within : float, optional
        The relative difference of means that still counts as agreement; the verdict says whether it holds, fails, or
        how many paths would tell.
    level : float
        Confidence level; a difference is found where p <= 1 - level.
    permutations : int
    seed : int
        Of the permutations.

    Returns
    -------
    Comparisons
        One `Comparison` for each other dynamics and cell; printed, it is a table with verdicts.

    Raises
    ------
    ValueError
        If there is nothing to compare: one dynamics, no common observable, no common time, other swept values, too
        few paths for any p-value below 1 - level (says how many), or work for many minutes.

    References
    ----------
    Westfall and Young, Resampling-Based Multiple Testing (1993); Székely and Rizzo, J. Statist. Plann. Inference 143
    (2013).
    """
    _check(within, level, permutations, seed)
    runs = ensembles(data, other)
    name = next(iter(runs)) if reference is None else str(reference)
    if name not in runs:
        raise ValueError(f"no dynamics {name!r}: {near(name, runs)}")
    found = []
    for label, ds in runs.items():
        if label == name:
            continue
        for where, a, b in cells(runs[name], ds):
            seen = looks(a, b, observables, times, paired)
            _check_size(seen, level, permutations)
            parts = _compared(seen, level, permutations, seed)
            found.append(
                Comparison(name, label, where, *parts, level, seen.paired, permutations, within, tuple(seen.notes))
            )
    return Comparisons(tuple(found))


def _check(within: float | None, level: float, permutations: int, seed: int) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level!r}: write 0.95")
    if within is not None:
        positive("within", within)
    count("seed", seed)
    least = int(np.ceil(1 / (1 - level) - 1e-9)) - 1
    if count("permutations", permutations, least=1) < least:
        raise ValueError(
            f"{permutations} permutations give no p-value below {1 - level:.3g}: take at least {least}, better 999"
        )


def _check_size(seen: Looks, level: float, permutations: int) -> None:
    """Refuse too few paths for the level, and work without end."""
    n, m = len(seen.reference), len(seen.other)
    if permute.least_p_value(n, m, seen.paired) > 1 - level:
        need = next(k for k in range(2, 10_000) if permute.least_p_value(k, k, seen.paired) <= 1 - level)
        what = f"{n} pairs of paths" if seen.paired else f"{n} and {m} paths"
        raise ValueError(
            f"{what} are too few for level {level:g}: no difference could be found; take at least {need} paths each"
        )
    if float(n + m) * max(permutations, REPLICATES) > MOST_LABELS:
        raise ValueError(
            f"{n + m} paths are too many for {permutations} permutations: take "
            f"{int(MOST_LABELS / max(permutations, REPLICATES))} or fewer by ds.isel(path=slice(...))"
        )
    work = float(n + m) * len(seen.observable) * permutations
    if work > MOST_WORK:
        raise ValueError(
            f"{len(seen.observable)} looks at {n + m} paths are too many for {permutations} permutations: name some "
            f"observables= or times=, about {int(len(seen.observable) * MOST_WORK / work)} looks in all"
        )


def _compared(seen: Looks, level: float, permutations: int, seed: int) -> tuple[xr.Dataset, dict[str, float]]:
    """The table of the looks, and the shares of diverged paths."""
    a, b, paired = seen.reference, seen.other, seen.paired
    first = permute.labels(len(a), len(b), paired, permutations, seed)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # looks at which one ensemble has no values: their rows are NaN
        t = permute.t_statistics(a, b, first, paired)
        band = permute.exceeding(permute.t_statistics(*permute.centred(a, b, paired), first, paired), level)
        columns = _means(a, b, paired, level, band)
    off = distances(a, b, first, paired, level, REPLICATES, seed)
    lost = _share_differences(seen, first)
    families = [t, permute.standardized(off.wasserstein_permuted), permute.standardized(off.energy_permuted), lost]
    p_mean, p_wasserstein, p_energy, p_lost = permute.adjusted(families)
    for name, ends in (("wasserstein", off.wasserstein), ("energy", off.energy)):
        columns |= {name: ends[:, 0], f"{name}_low": ends[:, 1], f"{name}_high": ends[:, 2]}
    columns |= {"p_mean": p_mean, "p_wasserstein": p_wasserstein, "p_energy": p_energy}
    columns["wasserstein_if_equal"] = off.wasserstein_permuted[1:].mean(axis=0)
    coords = {"observable": seen.observable, "component": seen.component, "time": seen.time}
    table = xr.Dataset({k: ("look", v) for k, v in columns.items()}, {k: ("look", v) for k, v in coords.items()})
    shares = {
        "reference": float(seen.diverged_reference.mean()), "other": float(seen.diverged_other.mean()),
        "p": float(p_lost[0]),
    }  # fmt: skip
    return table, shares


def _means(a: np.ndarray, b: np.ndarray, paired: bool, level: float, band: float) -> dict[str, np.ndarray]:
    """Means, their difference, its t interval and its simultaneous band."""
    n, m = np.isfinite(a).sum(axis=0), np.isfinite(b).sum(axis=0)
    enough = np.where((n > 1) & (m > 1), 1.0, np.nan)
    mean_a, mean_b = np.nanmean(a, axis=0), np.nanmean(b, axis=0)
    sd_a, sd_b = np.nanstd(a, axis=0, ddof=1), np.nanstd(b, axis=0, ddof=1)
    u, v = sd_a**2 / n, sd_b**2 / m
    if paired:
        error, freedom = np.nanstd(a - b, axis=0, ddof=1) / np.sqrt(n), n - 1.0
    else:
        error = np.sqrt(u + v)
        freedom = np.where(error > 0, error**4 / (u**2 / (n - 1) + v**2 / (m - 1)), n + m - 2.0)
    difference = (mean_b - mean_a) * enough
    half = stdtrit(freedom, (1 + level) / 2) * error
    return {
        "n_reference": n, "n_other": m, "mean_reference": mean_a, "mean_other": mean_b, "sd_reference": sd_a,
        "sd_other": sd_b, "difference": difference, "error": error, "low": difference - half,
        "high": difference + half, "band_low": difference - band * error, "band_high": difference + band * error,
    }  # fmt: skip


def _share_differences(seen: Looks, first: np.ndarray) -> np.ndarray:
    """|Difference of the shares of diverged paths| for every permutation, (permutations, 1)."""
    lost = np.concatenate([seen.diverged_reference, seen.diverged_other]).astype(float)
    own = first @ lost
    n, m = len(seen.diverged_reference), len(seen.diverged_other)
    found: np.ndarray = np.abs(own / n - (lost.sum() - own) / m)[:, None]
    return found
