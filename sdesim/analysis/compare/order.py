"""Weak error order: how the difference of means between two dynamics falls with the learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from sdesim.analysis.compare.distances import AT_ONCE
from sdesim.analysis.compare.looks import SAME_TIME, Looks, cells, ensembles, looks, step_times
from sdesim.analysis.estimate import Estimate
from sdesim.analysis.exit_times.scaling import scaling_exponent
from sdesim.core.checks import is_number, near

# A difference stands out of the noise beyond this many standard errors: below, its logarithm has no normal law.
STANDS_OUT = 4.0
RESAMPLES = 999


@dataclass(frozen=True, repr=False)
class WeakOrder(Estimate):
    """Slope of log|difference of means| against log learning rate; `n` counts the learning rates.

    Attributes
    ----------
    differences : Estimate
        Differences of means, other - reference, over the learning rate.
    warning : str
        What to doubt about the number; empty if nothing.
    """

    differences: Estimate
    warning: str


def weak_order(
    data: Any,
    over: str = "lr",
    *,
    observable: str | None = None,
    component: str = "",
    time: float | None = None,
    reference: str | None = None,
    other: str | None = None,
    paired: Any = "auto",
    level: float = 0.95,
    seed: int = 0,
) -> WeakOrder:
    r"""Order p of the weak error, |E f(X_other) - E f(X_reference)| ~ η^p at a fixed time.

    The differences d_i at the learning rates η_i, with standard errors s_i over the paths, are fitted by weighted
    regression of log|d| on log η with the weights (d/s)² (see `exits.scaling_exponent`). The paths are also
    resampled, those of one number together at all learning rates, which counts that runs of one seed depend on each
    other; the interval is the hull of both. Where a difference is not beyond four standard errors, or signs differ,
    there is no slope to speak of: the value is NaN, the interval infinite, and `warning` says how many paths to take.
    Euler steps must be much shorter than η, or the error of the steps is measured as well.

    Parameters
    ----------
    data : Dataset with the dimensions `dynamics` and `over`, or mapping of learning rates to such ensembles
        As for `compare`, at each learning rate.
    over : str
        Name of the swept parameter.
    observable, component : str
        What is averaged; default: the first recorded, its first component.
    time : float, optional
        Default: the last recorded time that all have.
    reference, other : str, optional
        Names of the two; default: the first two.
    paired : "auto", True or False
        See `compare`.
    level : float
    seed : int
        Of the resampling.

    Returns
    -------
    WeakOrder

    Raises
    ------
    ValueError
        As `compare`; if there are fewer than two learning rates, or they are not positive.
    """
    points = _points(data, over, reference, other)
    chosen = [looks(a, b, observable if observable is None else [observable], None, paired) for _, a, b in points]
    columns = _same_look(chosen, component, time)
    rates = np.array([rate for rate, _, _ in points])
    found = [_difference(c, column) for c, column in zip(chosen, columns, strict=True)]
    d, s = (np.array(v) for v in zip(*found, strict=True))
    differences = _estimate(over, rates, d, s, level, chosen[0])
    doubt = _off_steps(over, points, chosen, columns) or _doubt(over, rates, d, s, chosen[0])
    if doubt:
        return WeakOrder(np.nan, -np.inf, np.inf, level, len(rates), "no slope", differences, doubt)
    sizes = Estimate(
        abs(differences.value), *_reflected(differences, d[0] < 0), level, differences.n, differences.method
    )
    fit = scaling_exponent(sizes, over=over, level=level)
    slopes = _resampled(chosen, columns, rates, s, seed)
    low, high = np.quantile(slopes, [(1 - level) / 2, (1 + level) / 2])
    method = f"{fit.method}; hull with resampled paths"
    return WeakOrder(
        fit.value, min(fit.low, float(low)), max(fit.high, float(high)), level, fit.n, method, differences, fit.warning
    )


def _points(
    data: Any, over: str, reference: str | None, other: str | None
) -> list[tuple[float, xr.Dataset, xr.Dataset]]:
    """Both ensembles at every learning rate, ascending."""
    if isinstance(data, Mapping) and not isinstance(data, xr.Dataset):
        if not all(is_number(rate) for rate in data):
            raise TypeError(f"the keys must be values of {over}, numbers, got {', '.join(map(repr, data))}")
        runs: dict[float | None, dict[str, xr.Dataset]] = {float(k): ensembles(v, None) for k, v in data.items()}
    else:
        runs = {None: ensembles(data, None)}
    found = []
    for rate, named in runs.items():
        pair = []
        for i, name in enumerate((reference, other)):
            rest = [n for n in named if n != reference] if i and reference is not None else list(named)
            label = rest[0 if reference is not None else i] if name is None else str(name)
            if label not in named:
                raise ValueError(f"no dynamics {label!r}: {near(label, named)}")
            pair.append(named[label])
        for where, a, b in cells(pair[0], pair[1]):
            if rate is None and set(where) != {over}:
                raise ValueError(f"the order over {over!r} needs that sweep alone, swept: {', '.join(where) or 'none'}")
            if rate is not None and where:
                raise ValueError(f"the ensembles sweep {', '.join(where)} themselves: select values by ds.sel(...)")
            found.append((float(where[over]) if rate is None else rate, a, b))
    if len(found) < 2 or min(p[0] for p in found) <= 0:
        raise ValueError(f"an order needs at least two positive values of {over}, got {[p[0] for p in found]}")
    return sorted(found, key=lambda p: p[0])


def _same_look(chosen: list[Looks], component: str, time: float | None) -> list[int]:
    """The column of one observable, component and time in each; the last time that all have by default."""
    name = chosen[0].observable[0]
    part = component or chosen[0].component[0]
    columns: list[dict[float, int]] = []
    for c in chosen:
        at = [i for i, (o, p) in enumerate(zip(c.observable, c.component, strict=True)) if (o, p) == (name, part)]
        if not at:
            raise ValueError(f"{name} has no component {part!r}: {near(part, dict.fromkeys(c.component))}")
        columns.append({float(f"{c.time[i]:.9g}"): i for i in at})
    if time is None and any(np.isnan(t) for c in columns for t in c):
        return [next(iter(c.values())) for c in columns]
    common = set.intersection(*(set(c) for c in columns))
    wanted = max(common, default=None) if time is None else float(f"{time:.9g}")
    if wanted not in common:
        raise ValueError(f"time {wanted} is not common to all values: there are {sorted(common) or 'none'}")
    return [c[wanted] for c in columns]


def _difference(seen: Looks, column: int) -> tuple[float, float]:
    """Difference of means and its standard error."""
    a, b = seen.reference[:, column], seen.other[:, column]
    if seen.paired:
        d = (b - a)[np.isfinite(a - b)]
        return float(d.mean()), float(d.std(ddof=1) / np.sqrt(d.size))
    a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    return float(b.mean() - a.mean()), float(np.hypot(a.std(ddof=1) / a.size**0.5, b.std(ddof=1) / b.size**0.5))


def _estimate(over: str, rates: np.ndarray, d: np.ndarray, s: np.ndarray, level: float, seen: Looks) -> Estimate:
    from scipy.special import ndtri

    half = ndtri(0.5 * (1 + level)) * s
    value, low, high = (xr.DataArray(v, dims=over, coords={over: rates}) for v in (d, d - half, d + half))
    return Estimate(value, low, high, level, len(seen.reference), "difference of means, normal interval")


def _reflected(e: Estimate, negative: bool) -> tuple[Any, Any]:
    return (-e.high, -e.low) if negative else (e.low, e.high)


def _doubt(over: str, rates: np.ndarray, d: np.ndarray, s: np.ndarray, seen: Looks) -> str:
    """Why there is no slope, empty if there is."""
    lost = np.abs(d) < STANDS_OUT * s
    if np.any(~np.isfinite(d) | ~np.isfinite(s)):
        return "some differences are no numbers: too few paths have values there"
    if np.any((d == 0) & (s == 0)):
        return "the means are equal to the last digit at some values: there is no difference to follow"
    if lost.any():
        at = ", ".join(f"{r:.4g}" for r in rates[lost])
        most = float(np.max((STANDS_OUT * s[lost] / np.maximum(np.abs(d[lost]), s[lost])) ** 2))
        need = int(np.ceil(most * len(seen.reference)))
        return (
            f"differences do not stand out of the noise at {over} = {at} (beyond {STANDS_OUT:g} standard errors): "
            f"take about {need} paths there or more"
        )
    return "" if (np.sign(d) == np.sign(d[0])).all() else "the differences change sign: no power law describes them"


def _off_steps(
    over: str, points: list[tuple[float, xr.Dataset, xr.Dataset]], chosen: list[Looks], columns: list[int]
) -> str:
    """Says so where the two states of a learning rate are of different times, which no order is of."""
    for (rate, a, b), seen, column in zip(points, chosen, columns, strict=True):
        t = seen.time[[column]]
        (one,), (two,) = step_times(a, t), step_times(b, t)
        if seen.observable[column] != "final_state" and abs(one - two) > SAME_TIME * max(float(t[0]), 1.0):
            return (
                f"at {over} = {rate:.4g} the states of time {t[0]:g} are of {one:g} and {two:g}, the last steps "
                "before: take a time that is a multiple of all steps"
            )
    return ""


def _resampled(chosen: list[Looks], columns: list[int], rates: np.ndarray, s: np.ndarray, seed: int) -> np.ndarray:
    """Slopes of the fit to resampled paths, those of one number together at all learning rates."""
    samples = []
    for seen, column in zip(chosen, columns, strict=True):
        a, b = seen.reference[:, column], seen.other[:, column]
        samples.append({"both": b - a} if seen.paired else {"other": b, "reference": -a})
    rng = np.random.default_rng(seed)
    d = np.zeros((RESAMPLES, len(rates)))
    rows = max(AT_ONCE // max(x.size for sides in samples for x in sides.values()), 1)
    for k in range(0, RESAMPLES, rows):
        drawn: dict[tuple[str, int], np.ndarray] = {}
        for i, sides in enumerate(samples):
            for side, x in sides.items():
                if (side, x.size) not in drawn:
                    drawn[side, x.size] = rng.integers(x.size, size=(min(rows, RESAMPLES - k), x.size))
                d[k : k + rows, i] += np.nanmean(x[drawn[side, x.size]], axis=1)
    with np.errstate(all="ignore"):
        logs = np.log(np.abs(d))
    x, weight = np.log(rates), np.exp(2 * np.mean(logs, axis=0)) / s**2
    off = weight * (x - np.average(x, weights=weight))
    slopes: np.ndarray = logs @ off / (off @ x)
    return slopes
