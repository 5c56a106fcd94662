"""Whether a path between wells is fairly described by a Markov chain of the wells.

Three things are asked of the record. Chapman and Kolmogorov: is the well at a time `lag` later distributed as
exp(Q lag) says? Holding times: does the Weibull law that fits them have shape 1, the exponential one? Memory: does the
next well depend on the one before? Each deviation gets an interval, all of them at once at the level asked for, and is
held against the largest deviation still called fair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import xarray as xr

from sdesim.analysis.wells.generator import generator
from sdesim.analysis.wells.holding import FEW, holding_times
from sdesim.analysis.wells.memory import memory
from sdesim.analysis.wells.names import well_names
from sdesim.analysis.wells.sojourns import Sojourns, counted, cut, pairs, sojourns

UNITS = 64  # paths, or pieces of paths, from which errors are taken


@dataclass(frozen=True, repr=False)
class Fairness:
    """What speaks for and against the Markov chain of wells.

    Attributes
    ----------
    verdict : str
        "fair": every interval is inside the tolerance; "unfair": one is outside; "undecided": neither.
    reasons : tuple of str
        What the verdict rests on, the worst first.
    chapman_kolmogorov : Dataset
        `observed`, `predicted`, `difference`, `low`, `high` over lag, well and to_well; NaN where fewer than ten
        windows started in the well.
    holding_times : Dataset
        Over well: `shape` of the Weibull law with `low` and `high`, `n` stays seen to their end, `mean` holding time.
    memory : Dataset
        Over before, well and to_well: share of the next wells given both, given the last one only, their difference.
    cores : Dataset or None
        Over core and well: `ratio` of the exit rate with that core to the one examined, with `low` and `high`.
    level, tolerance : float
    """

    verdict: str
    reasons: tuple[str, ...]
    chapman_kolmogorov: xr.Dataset
    holding_times: xr.Dataset
    memory: xr.Dataset
    cores: xr.Dataset | None
    level: float
    tolerance: float

    def __repr__(self) -> str:
        return f"<{self.verdict}: {'; '.join(self.reasons)}>"


def fairness(
    ds: xr.Dataset,
    lags: Sequence[float] | None = None,
    level: float = 0.95,
    tolerance: float = 0.1,
    cores: Mapping[float, xr.Dataset] | None = None,
) -> Fairness:
    """Whether the passages of a run are those of a Markov chain, in words and numbers.

    Parameters
    ----------
    ds : Dataset
        One cell of a result of `run` with `Passages(landscape, capacity=...)` that kept every passage, of paths
        that no exit stops.
    lags : sequence of float, optional
        Times at which the law of the well is compared. By default 1/2, 1, 2 and 4 mean holding times of the well
        that is left fastest, as far as a quarter of the record reaches.
    level : float
        Of all intervals together (Bonferroni).
    tolerance : float
        Largest deviation called fair: of a probability, of a Weibull shape from 1, of a ratio of exit
        rates of two cores from 1.
    cores : mapping of float to Dataset, optional
        The same run watched with other cores, by their size.

    Returns
    -------
    Fairness

    Raises
    ------
    ValueError
        If passages are missing or were not all kept (the message says the capacity to set), parameters are swept,
        paths stop at an exit, or no well was left ten times.

    Notes
    -----
    Under the Markov property the differences of windows that do not overlap are uncorrelated, so that a long path may
    be cut into pieces for its error; differences of the observed and the predicted law are linearised in both, piece
    by piece. Holding times are censored at the end of the record and enter with their censoring.

    References
    ----------
    Prinz et al., Markov models of molecular kinetics, J. Chem. Phys. 134, 174105 (2011), section IV F.
    """
    if not 0 < level < 1 or not 0 < tolerance < 1:
        raise ValueError(f"level and tolerance must be between 0 and 1, got {level!r} and {tolerance!r}")
    stays = sojourns(ds)
    if (ds["status"] == 1).any():
        raise ValueError("paths that stop at an exit are no fair sample of later times: run without FirstExit")
    names = well_names(ds["transitions"])
    left = np.bincount(stays.well[stays.to >= 0], minlength=stays.n_wells)
    if left.max(initial=0) < FEW:
        raise ValueError(f"no well was left {FEW} times, at most {left.max(initial=0)}: run longer or take more paths")
    units = cut(stays, -(-UNITS // max(len(np.unique(stays.path)), 1)))
    times = _lags(units) if lags is None else _given(lags, units)
    # An equal part of the false alarms for each question, and an equal part of that for each number.
    share = (1 - level) / (4 if cores else 3)
    law = _chapman_kolmogorov(units, times, share, ds)
    holding, before = holding_times(stays, share, ds["well"]), memory(stays, share, ds["well"])
    other = _cores(ds, cores, share) if cores else None
    marks = _marks(law, holding, before, other, names)
    verdict, reasons = _judged(marks, np.asarray(holding["n"]), names, tolerance)
    return Fairness(verdict, reasons, law, holding, before, other, level, tolerance)


def _lags(units: Sojourns) -> list[float]:
    moves, time = counted(units)
    left, spent = moves.sum(axis=(0, 2)), time.sum(axis=0)
    shortest = (spent[left > 0] / left[left > 0]).min()
    record = np.quantile(time.sum(axis=1), 0.5)
    found = [f * shortest for f in (0.5, 1.0, 2.0, 4.0) if f * shortest <= record / 4]
    return found or [record / 4]


def _given(lags: Sequence[float], units: Sojourns) -> list[float]:
    _, time = counted(units)
    longest = float(time.sum(axis=1).max())
    times = [float(x) for x in np.atleast_1d(np.asarray(lags, dtype=float))]
    bad = [x for x in times if not 0 < x <= longest]
    if bad or not times:
        raise ValueError(f"lags must be in (0, {longest:.4g}], the longest piece of the record, got {list(times)}")
    return times


def _chapman_kolmogorov(s: Sojourns, lags: Sequence[float], share: float, ds: xr.Dataset) -> xr.Dataset:
    """Observed and predicted transition probabilities and simultaneous intervals of their differences."""
    from scipy.special import stdtrit

    m = s.n_wells
    seen = [pairs(s, lag) for lag in lags]
    numbers = int(sum((p.sum(axis=(0, 2)) >= FEW).sum() for p in seen)) * (m if m > 2 else 1)
    found = [_differences(s, p, lag) for p, lag in zip(seen, lags, strict=True)]
    n = len(seen[0])
    t = float(stdtrit(n - 1, 1 - share / (2 * max(numbers, 1))))
    observed, predicted, error = (np.array([f[i] for f in found]) for i in range(3))
    difference = observed - predicted
    dims = ("lag", "well", "to_well")
    variables = {
        "observed": observed, "predicted": predicted, "difference": difference,
        "low": difference - t * error, "high": difference + t * error,
    }  # fmt: skip
    coords = {"lag": ("lag", list(lags), {"units": "time"}), "well": ds["well"], "to_well": ds["to_well"]}
    return xr.Dataset({k: (dims, v, {"units": "1"}) for k, v in variables.items()}, coords)


def _differences(s: Sojourns, windows: np.ndarray, lag: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observed law, predicted law and standard error of their difference, each (well, to_well)."""
    from scipy.linalg import expm, expm_frechet

    moves, time = counted(s)
    m = s.n_wells
    visits, spent = windows.sum(axis=(0, 2)), time.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = np.where(spent[:, None] > 0, moves.sum(axis=0) / spent[:, None], 0.0)
        observed = windows.sum(axis=0) / visits[:, None]
        of_rates = np.where(spent[:, None] > 0, (moves - rates * time[..., None]) / spent[:, None], 0.0)
        of_windows = (windows - observed * windows.sum(axis=2)[..., None]) / visits[:, None]
    q = rates - np.diag(rates.sum(axis=1))
    moved = np.zeros_like(windows)
    for k in range(m):
        for j in range(m):
            if j != k and of_rates[:, k, j].any():
                direction = np.zeros((m, m))
                direction[k, j], direction[k, k] = lag, -lag
                slope = expm_frechet(q * lag, direction, compute_expm=False)
                moved += of_rates[:, k, j, None, None] * slope
    n = len(windows)
    error = np.sqrt(n / (n - 1) * ((of_windows - moved) ** 2).sum(axis=0))
    few = visits[:, None] < FEW
    return np.where(few, np.nan, observed), expm(q * lag), np.where(few, np.nan, error)


def _cores(ds: xr.Dataset, others: Mapping[float, xr.Dataset], share: float) -> xr.Dataset:
    """Exit rate of each well with other cores, relative to the one examined."""
    m = ds.sizes["well"]
    level = 1 - share / (len(others) * m)
    base = generator(ds, level=level, holding="exponential")
    sizes = sorted(others)
    out = np.full((3, len(sizes), m), np.nan)
    for c, size in enumerate(sizes):
        if others[size].sizes.get("well") != m:
            raise ValueError(f"the run with core {size:g} has other wells than the one examined")
        chain = generator(others[size], level=level, seed=c + 1)
        rate, known = (-np.einsum("...ii->...i", np.asarray(x.matrix)) for x in (chain, base))
        assert chain.draws is not None and base.draws is not None
        ratio = np.einsum("kii->ki", chain.draws) / np.einsum("kii->ki", base.draws)
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = np.log(ratio).std(axis=0)
            out[0, c] = rate / known
        out[1, c], out[2, c] = (out[0, c] * np.exp(sign * _normal(level) * spread) for sign in (-1, 1))
    names = ("ratio", "low", "high")
    variables = {name: (("core", "well"), x, {"units": "1"}) for name, x in zip(names, out, strict=True)}
    return xr.Dataset(variables, {"core": ("core", sizes), "well": ds["well"]})


def _normal(level: float) -> float:
    from scipy.special import ndtri

    return float(ndtri((1 + level) / 2))


class _Mark(NamedTuple):
    """A deviation, the ends of its interval, and the two numbers in words."""

    deviation: float
    low: float
    high: float
    text: str


def _marks(
    law: xr.Dataset, holding: xr.Dataset, before: xr.Dataset, cores: xr.Dataset | None, names: list[str]
) -> list[_Mark]:
    """Every deviation that has an interval."""
    marks: list[_Mark] = []
    for i, j, k in np.ndindex(*law["difference"].shape):
        one = law.isel(lag=i, well=j, to_well=k)
        text = (
            f"{float(one['lag']):.3g} later, {names[j]} leads to {names[k]} with probability "
            f"{float(one['observed']):.3g}, the chain says {float(one['predicted']):.3g}"
        )
        marks.append(_Mark(float(one["difference"]), float(one["low"]), float(one["high"]), text))
    for i, name in enumerate(names):
        shape, low, high = (float(holding[v][i]) for v in ("shape", "low", "high"))
        text = f"holding times of {name} have Weibull shape {shape:.3g}, exponential ones 1"
        marks.append(_Mark(shape - 1, low - 1, high - 1, text))
    for i, j, k in np.ndindex(*before["difference"].shape):
        one = before.isel(before=i, well=j, to_well=k)
        text = (
            f"after {names[i]} and {names[j]} comes {names[k]} with probability {float(one['given_both']):.3g}, "
            f"after {names[j]} alone {float(one['given_one']):.3g}"
        )
        marks.append(_Mark(float(one["difference"]), float(one["low"]), float(one["high"]), text))
    if cores is not None:
        for i, k in np.ndindex(*cores["ratio"].shape):
            ratio, low, high = (float(cores[v][i, k]) for v in ("ratio", "low", "high"))
            core = float(cores["core"][i])
            text = f"with core {core:g} the exit rate of {names[k]} is {ratio:.3g} times as large"
            marks.append(_Mark(ratio - 1, low - 1, high - 1, text))
    return [m for m in marks if np.isfinite(m.low) and np.isfinite(m.high)]


def _judged(marks: list[_Mark], n: np.ndarray, names: list[str], tolerance: float) -> tuple[str, tuple[str, ...]]:
    """The verdict and its reasons, the worst first."""
    outside = sorted((m for m in marks if m.low > tolerance or m.high < -tolerance), key=lambda m: -abs(m.deviation))
    open_ones = sorted((m for m in marks if max(-m.low, m.high) > tolerance), key=lambda m: -max(-m.low, m.high))
    unheard = [name for name, c in zip(names, n, strict=True) if c < FEW]
    few = (f"{' and '.join(unheard)}: left fewer than {FEW} times, nothing is said of it",) if unheard else ()
    if outside:
        return "unfair", (*(m.text for m in outside[:3]), *few)
    if open_ones or unheard:
        texts = (f"{m.text}, interval of the difference [{m.low:+.2g}, {m.high:+.2g}]" for m in open_ones[:3])
        return "undecided", (*texts, *few)
    worst = max(marks, key=lambda m: max(-m.low, m.high))
    return "fair", (f"no deviation beyond {tolerance:g}; at worst: {worst.text}",)
