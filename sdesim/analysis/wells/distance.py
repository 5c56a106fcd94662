"""How far apart two chains of wells are: estimated and predicted, or at two values of a parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from sdesim.analysis.estimate import Estimate, Reference
from sdesim.analysis.limits.asymptotic import Asymptotic
from sdesim.analysis.wells import matrix
from sdesim.analysis.wells.chain import AXES, WellChain, reducible

SAME = 1e-6  # of the span of the minima: wells of two chains that are one


@dataclass(frozen=True, repr=False)
class ChainDistance(Estimate):
    """Distance of two chains, in [0, 1]; `lag` is the time after which their laws are compared."""

    lag: float


@dataclass(frozen=True, repr=False)
class KnownDistance(Reference):
    """Distance of two calculated chains, in [0, 1]; `lag` is the time after which their laws are compared."""

    lag: float


def distance(
    a: WellChain, b: WellChain, lag: float | None = None, *, scaled: bool = False, level: float = 0.95
) -> ChainDistance | KnownDistance:
    """Largest distance in total variation between the laws of two chains a time `lag` after a common start.

        D = max_i ½ Σ_j |exp(A lag)_ij - exp(B lag)_ij|

    D is the largest difference of the probabilities that the chains give to any event at that time: 0 if they are the
    same, and 1 if they never agree.

    Parameters
    ----------
    a, b : WellChain
        On the same wells, without swept dims.
    lag : float, optional
        By default the longest relaxation time of b; in units of it if `scaled`, and then 1.
    scaled : bool
        Measure the time of each chain in its own longest relaxation time, to compare chains of different speed (two
        learning rates) in what is left: where they go.
    level : float
        Of the interval.

    Returns
    -------
    ChainDistance
        The interval is [D - ε, D + ε] within [0, 1], ε the `level` quantile of the distance that sampling alone makes,
        from the draws of both chains: by the triangle inequality it covers the true distance at least that often, and
        holds 0 if they are the same. D itself is never 0 with estimated chains. Two calculated chains give a
        KnownDistance with an error. A chain that theory predicts in a limit is taken as it is predicted: D says how
        far off the limit is, and the order of what it leaves out widens no interval.

    Raises
    ------
    ValueError
        If the chains have different wells or sweep parameters, or one does not go from every well to every other where
        its relaxation time is needed.
    """
    _check_same(a, b)
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level!r}: write 0.95")
    if lag is not None and not (np.isfinite(lag) and lag > 0):
        raise ValueError(f"lag must be a positive time, got {lag!r}")
    unit = _slowest(b) if lag is None and not scaled else 1.0
    time = unit if lag is None else float(lag)
    values = [_law(np.asarray(c.matrix), time, scaled, c) for c in (a, b)]
    value = _variation(values[0] - values[1])
    error = sum(_numerical(c, v, time, scaled) for c, v in zip((a, b), values, strict=True))
    drawn = [_law(c.draws, time, scaled, c) - v for c, v in zip((a, b), values, strict=True) if c.draws is not None]
    what = f"total variation after {time:.4g}" + (" relaxation times" if scaled else "")
    if not drawn:
        return KnownDistance(float(value), error, what, time)
    k = min(len(d) for d in drawn)
    noise = drawn[0][:k] - (drawn[1][:k] if len(drawn) > 1 else 0.0)
    spread = float(np.quantile(_variation(noise), level)) + error
    n = sum(int(c.counts.sum()) for c in (a, b) if c.counts is not None)
    method = f"{what}, triangle inequality with the draws of the rates"
    return ChainDistance(
        float(value), max(float(value) - spread, 0.0), min(float(value) + spread, 1.0), level, n, method, time
    )  # fmt: skip


def rate_ratios(a: WellChain, b: WellChain, level: float = 0.95) -> Any:
    """Ratio of the rates of two chains, a over b, for each pair of wells; exit rates on the diagonal.

    Parameters
    ----------
    a, b : WellChain
        On the same wells, without swept dims.

    Returns
    -------
    Estimate or Reference
        Over well and to_well; NaN where b has rate 0 (never seen, or impossible). The interval is that of the sampled
        ratios, wide where a was never seen; Reference if both chains were calculated. Chains predicted in a limit are
        taken as they are predicted.
    """
    _check_same(a, b)

    def ratio(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(y != 0, x / y, np.nan)

    x, y = np.asarray(a.matrix), np.asarray(b.matrix)
    value = a.matrix.copy(data=ratio(x, y))
    value.attrs = {"long_name": "ratio of the rates", "units": "1"}
    errors = [np.asarray(c.rates.error) if _numbers(c) else np.zeros_like(x) for c in (a, b)]
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.abs(np.asarray(value)) * (errors[0] / np.abs(x) + errors[1] / np.abs(y))
    error = np.nan_to_num(error)
    if a.draws is None and b.draws is None:
        return Reference(value, value.copy(data=error), "ratio of calculated rates")
    sampled = ratio(a.draws if a.draws is not None else x, b.draws if b.draws is not None else y)
    sampled = np.where(np.isfinite(np.asarray(value)), sampled, np.nan)
    low, high = np.quantile(sampled, [(1 - level) / 2, (1 + level) / 2], axis=0)
    seen = [c.counts for c in (a, b) if c.counts is not None]
    n: xr.DataArray | int = xr.concat(seen, "chain", join="override").min("chain") if len(seen) > 1 else seen[0]
    parts = (value.copy(data=np.maximum(low - error, 0.0)), value.copy(data=high + error))
    return Estimate(value, parts[0], parts[1], level, n, "ratio of the rates, interval of the sampled ratios")


def _check_same(a: WellChain, b: WellChain) -> None:
    for c in (a, b):
        swept = [str(d) for d in c.matrix.dims if d not in AXES]
        if swept:
            raise ValueError(f"a distance is that of two chains: select values of {', '.join(swept)} in the dataset")
    if a.n_wells != b.n_wells:
        raise ValueError(f"the chains have {a.n_wells} and {b.n_wells} wells: use only() or watched_on() on one")
    x, y = a.wells, b.wells
    if x.dtype.kind == y.dtype.kind == "f" and np.abs(x - y).max() > SAME * np.ptp(x):
        raise ValueError(f"the chains have different wells, {x.tolist()} and {y.tolist()}")


def _slowest(chain: WellChain) -> float:
    fault = reducible(chain)
    if fault:
        raise ValueError(f"a relaxation time needs a chain from every well to every other: {fault}; give lag=")
    return float(matrix.relaxation(np.asarray(chain.matrix))[0])


def _law(q: Any, time: float, scaled: bool, chain: WellChain) -> np.ndarray:
    """exp(Q time), time in relaxation times of each Q if scaled."""
    if not np.isfinite(np.asarray(chain.matrix)).all():
        raise ValueError(f"the chain has unknown rates: {reducible(chain)}")
    if scaled:
        _slowest(chain)
        q = q * matrix.relaxation(q)[..., 0][..., None, None]
    return matrix.propagator(np.asarray(q), time)


def _variation(difference: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * np.abs(difference).sum(axis=-1).max(axis=-1))


def _numbers(chain: WellChain) -> bool:
    """Whether the error of the rates is one of calculation."""
    return isinstance(chain.rates, Reference) and not isinstance(chain.rates, Asymptotic)


def _numerical(chain: WellChain, value: np.ndarray, time: float, scaled: bool) -> float:
    """What the numerical errors of calculated rates change in the law, in total variation."""
    if not _numbers(chain):
        return 0.0
    q, error = np.asarray(chain.matrix), np.asarray(chain.rates.error)
    total = 0.0
    for i, j in np.argwhere(~np.eye(len(q), dtype=bool)):
        other = q.copy()
        other[i, j] += error[i, j]
        moved = _law(matrix.with_diagonal(other), time, scaled, chain) - value
        total += float(_variation(moved))
    return total
