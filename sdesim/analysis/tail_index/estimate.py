"""Tail indices of samples along a named axis, with intervals and a Gaussian null."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import stdtrit

from sdesim.analysis.estimate import Estimate
from sdesim.analysis.tail_index.estimators import METHODS, STABLE, default_number
from sdesim.core.checks import count, near

AXES = ("coordinate", "pooled", "norm")
BLOCKS = 20
LEAST = 100  # samples
UNEQUAL = 1.5  # ratio of scales beyond which pooling mixes different laws
ROOM = 2**22  # numbers drawn at once for the null


class AnisotropyWarning(UserWarning):
    """Coordinates of different scales were pooled: such a mixture looks heavy-tailed where no coordinate is."""


@dataclass(frozen=True, repr=False)
class TailIndex(Estimate):
    """A tail index with its interval and its place in the law of the estimator under Gaussian data.

    Parameters
    ----------
    value, low, high, level, n, method :
        As for `Estimate`; value infinite where the estimator finds no power law. The interval is that of the
        estimator's own mean: it holds sampling error, not the bias of Hill's method far from the tail, say.
    axis : str
        What was taken for one sample.
    p_value : float or DataArray
        Share of Gaussian data sets of this shape whose index came out as small or smaller: at least 1/(repeats + 1).
    null : array, shape (repeats,)
        The index of each Gaussian data set.
    """

    axis: str
    p_value: Any
    null: np.ndarray


def estimate(
    samples: Any,
    method: str = "hill",
    axis: str = "coordinate",
    number: int | None = None,
    standardise: bool = False,
    level: float = 0.95,
    repeats: int = 200,
    seed: int = 0,
) -> TailIndex:
    """The tail index α of samples, by one estimator along one axis.

    Parameters
    ----------
    samples : array or tensor, shape (n,) or (n, d)
        n independent draws of a number or a vector; for gradient noise: gradients less their mean.
    method : "hill", "moment", "mohammadi", "characteristic" or "quantile"
        See `sdesim.analysis.tail_index.estimators`. The last three assume symmetric stable samples, α in (0, 2].
    axis : "coordinate", "pooled" or "norm"
        An index for each of the d coordinates; one for all n d numbers in one heap; or one for the n lengths. Pooled
        coordinates of different scales look heavy-tailed even if all are normal: a warning, unless standardised.
    number : int, optional
        Largest values (hill, moment: n^0.65), samples a sum (mohammadi: √n), points (characteristic: 10).
    standardise : bool
        Pooled: divide each coordinate by its interquartile range first.
    level : float
        Of the interval: delete-a-block jackknife over the n draws, 20 blocks, Student, on 1/α.
    repeats : int
        Gaussian data sets of the same shape (and, pooled, of the same scales) for the null.
    seed : int
        Of the null.

    Returns
    -------
    TailIndex

    Raises
    ------
    ValueError
        If names are unknown, samples are few, not finite or constant, a method for symmetric samples is given norms, or
        "mohammadi" zeros.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = estimate(rng.pareto(1.5, 20_000), method="hill")
    >>> found.low < 1.5 < found.high, found.p_value < 0.01
    (True, True)
    """
    x = _checked(samples, method, axis, level)
    count("repeats", repeats, least=20)
    n, d = x.shape
    rows = _arranged(x, axis, standardise)
    size = rows.shape[0] * (rows.shape[1] if axis == "pooled" else 1)
    number = default_number(method, size) if number is None else count("number", number, least=2)
    most = size - size // BLOCKS - 1 if method in ("hill", "moment") else size // (2 * BLOCKS)
    if method in ("hill", "moment", "mohammadi") and number > most:
        raise ValueError(f"number={number} of {size} samples leaves too few; give at most {most}")
    gamma, error = _jackknife(rows, method, number, axis)
    half = stdtrit(BLOCKS - 1, (1 + level) / 2) * error
    scales = _scales(x) if axis == "pooled" and not standardise else np.ones(d)
    null = _null(method, number, axis, n, scales, repeats, seed, standardise)
    value, low, high = (_index(g) for g in (gamma, gamma + half, gamma - half))
    p = (1 + (null[None] <= value[:, None]).sum(1)) / (repeats + 1)
    text = f"{method} over {_SAID[axis]}, jackknife interval"
    value, low, high, p = (_shaped(v, axis, samples) for v in (value, low, high, p))
    return TailIndex(value, low, high, level, n, text, axis, p, null)


_SAID = {"coordinate": "each coordinate's draws", "pooled": "all coordinates pooled", "norm": "the norms"}


def estimates(samples: Any, methods: Sequence[str] = tuple(METHODS), **options: Any) -> dict[str, TailIndex]:
    """The tail index by several methods, by name; `options` are those of `estimate`."""
    return {method: estimate(samples, method, **options) for method in methods}


def _checked(samples: Any, method: str, axis: str, level: float) -> np.ndarray:
    """The samples as rows (n, d), or one clear error."""
    if method not in METHODS:
        raise ValueError(f"method {method!r} is unknown; {near(str(method), METHODS)}")
    if axis not in AXES:
        raise ValueError(f"axis {axis!r} is unknown; {near(str(axis), AXES)}")
    if axis == "norm" and method in STABLE:
        raise ValueError(f"{method} needs symmetric samples, norms are positive: use 'hill' or 'moment'")
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}")
    given = samples.detach().cpu() if hasattr(samples, "detach") else samples
    x = np.asarray(given, dtype=float)
    if x.ndim not in (1, 2) or len(x) < LEAST:
        raise ValueError(f"samples have shape {x.shape}: give (n,) or (n, coordinates) with n at least {LEAST}")
    x = x[:, None] if x.ndim == 1 else x
    none = int((x == 0).sum()) if method == "mohammadi" else 0
    if none:
        raise ValueError(
            f"{none} of {x.size} samples are 0, which has no logarithm: leave them out, or take another method than "
            "mohammadi"
        )
    lost = int((~np.isfinite(x)).sum())
    if lost:
        raise ValueError(f"{lost} of {x.size} samples are not finite: select the draws that count first")
    still = np.flatnonzero(_scales(x) == 0)
    if len(still) and axis != "norm":
        raise ValueError(f"coordinate {still[0]} is the same number in half of the draws or more: leave it out")
    return x


def _scales(x: np.ndarray) -> np.ndarray:
    low, high = np.quantile(x, [0.25, 0.75], axis=0)
    return np.asarray(high - low)


def _arranged(x: np.ndarray, axis: str, standardise: bool) -> np.ndarray:
    """Draws by what is estimated together."""
    if axis == "norm":
        return np.asarray(np.linalg.norm(x, axis=1, keepdims=True))
    if axis != "pooled":
        return x
    scales = _scales(x)
    if standardise:
        return x / scales
    if scales.max() > UNEQUAL * scales.min():
        warnings.warn(
            f"coordinates with interquartile ranges from {scales.min():.3g} to {scales.max():.3g} are pooled: such a "
            "mixture looks heavy-tailed even if every coordinate is normal; use axis='coordinate' or standardise=True",
            AnisotropyWarning,
            stacklevel=3,
        )
    return x


def _gammas(rows: np.ndarray, method: str, number: int, axis: str) -> np.ndarray:
    """1/α of each column, or of all in one heap."""
    heap = rows.reshape(-1, 1) if axis == "pooled" else rows
    with np.errstate(divide="ignore", invalid="ignore"):
        return METHODS[method](heap, number)


def _jackknife(rows: np.ndarray, method: str, number: int, axis: str) -> tuple[np.ndarray, np.ndarray]:
    """1/α and its standard error by leaving out one block of draws after the other; too wide for pooled sums."""
    whole = _gammas(rows, method, number, axis)
    grain = number if method == "mohammadi" and axis != "pooled" else 1  # whole groups, or the sums would change
    edges = np.linspace(0, len(rows) // grain, BLOCKS + 1).astype(int) * grain
    fewer = number if method not in ("hill", "moment") else max(2, round(number * (1 - 1 / BLOCKS)))
    left = [_gammas(np.delete(rows, slice(a, b), axis=0), method, fewer, axis) for a, b in pairwise(edges)]
    spread = np.stack(left) - np.mean(left, axis=0)
    return whole, np.sqrt((BLOCKS - 1) / BLOCKS * (spread**2).sum(0))


def _index(gamma: np.ndarray) -> np.ndarray:
    """α = 1/γ, infinite where γ is not positive."""
    with np.errstate(divide="ignore"):
        return np.where(gamma > 0, 1 / np.where(gamma > 0, gamma, 1.0), np.where(np.isnan(gamma), np.nan, np.inf))


def _null(
    method: str, number: int, axis: str, n: int, scales: np.ndarray, repeats: int, seed: int, standardise: bool
) -> np.ndarray:
    """The index of Gaussian data sets of this shape."""
    rng, d = np.random.default_rng(seed), len(scales)
    if axis == "coordinate":
        at_once = max(1, ROOM // n)
        sizes = [min(at_once, repeats - done) for done in range(0, repeats, at_once)]
        return np.concatenate([_index(_gammas(rng.standard_normal((n, s)), method, number, axis)) for s in sizes])
    found = []
    for _ in range(repeats):
        z = rng.standard_normal((n, d)) * scales
        z = np.linalg.norm(z, axis=1, keepdims=True) if axis == "norm" else z / _scales(z) if standardise else z
        found.append(_index(_gammas(z, method, number, axis))[0])
    return np.array(found)


def _shaped(values: np.ndarray, axis: str, samples: Any) -> Any:
    """A number, or an array over coordinates if samples had them."""
    if axis == "coordinate" and np.ndim(samples) == 2:
        return xr.DataArray(values, dims="coordinate")
    return float(values[0])
