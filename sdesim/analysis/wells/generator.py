"""The generator of the chain of wells, estimated from passages."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from sdesim.analysis.estimate import Estimate
from sdesim.analysis.wells.chain import AXES, WellChain
from sdesim.analysis.wells.matrix import with_diagonal
from sdesim.analysis.wells.names import well_names

DRAWS = 2000
DIVERGED = 3
HOLDING = ("exponential", "any")
NEEDED = ("transitions", "occupancy_time", "status")


def generator(
    ds: xr.Dataset, level: float = 0.95, holding: str = "exponential", allowed: Any = None, seed: int = 0
) -> WellChain:
    """The generator of the chain of wells: q_ij = N_ij / T_i, passages over the time spent in well i.

    Parameters
    ----------
    ds : Dataset
        Result of `run` with `Passages(landscape)`; swept dimensions are kept. All passages count, also those beyond
        `capacity`. Paths that diverged are left out.
    level : float
        Of the intervals.
    holding : "exponential" or "any"
        What is assumed of the time spent in a well. "exponential": given T_i, N_ij is a Poisson count; the interval
        of a rate is the exact one of that count (Garwood 1936), and the draws for what follows from the rates are
        those of the Gamma law with shape N_ij + 1/2 (Jeffreys' prior). "any": nothing; paths are independent, the
        error of log q_ij is linearised path by path (a sandwich), with Student's quantile, and draws have that
        covariance. Passages never seen have Poisson's upper bound in both.
    allowed : "neighbours" or boolean array (well, well), optional
        Passages that are possible at all; the rates of the others are zero and known. In one dimension "neighbours"
        is right for a diffusion, wrong for jumps.
    seed : int
        Of the draws.

    Returns
    -------
    WellChain
        Its half count of prior for what was never seen is shared among the possible passages of a well that were
        never seen.

    Raises
    ------
    ValueError
        If no passages were recorded, no path counts, or a passage that is not allowed was seen.

    References
    ----------
    Metzner, Horenko and Schütte, Generator estimation of Markov jump processes, Phys. Rev. E 76, 066702 (2007);
    Garwood, Fiducial limits for the Poisson distribution, Biometrika 28 (1936).
    """
    _check(ds, level, holding)
    counts, exposure = _by_path(ds)
    names = well_names(counts)
    possible = _possible(allowed, counts.sizes["well"])
    cells = [d for d in counts.dims if d not in ("path", *AXES)]
    n, t = (np.asarray(a.transpose(*cells, "path", ...)) for a in (counts, exposure))
    _refuse_impossible(n, possible, names)
    rng = np.random.default_rng(seed)
    shape = n.shape[: len(cells)]
    found = [_cell(n[i], t[i], level, holding, possible, rng) for i in np.ndindex(*shape)]

    total, spent = counts.sum("path").transpose(*cells, *AXES), exposure.sum("path").transpose(*cells, "well")

    def labelled(arrays: list[np.ndarray], name: str) -> xr.DataArray:
        attrs = {"long_name": name, "units": _per(exposure.attrs.get("units", "time"))}
        data = np.array(arrays).reshape(*shape, *arrays[0].shape)
        return xr.DataArray(data, dims=total.dims, coords=total.coords, attrs=attrs)

    method = "passages / time in the well, " + (
        "exact interval of a Poisson count" if holding == "exponential" else "sandwich over paths, Student interval"
    )
    rates = Estimate(
        labelled([c.value for c in found], "rate"), labelled([c.low for c in found], "lower end of the rate"),
        labelled([c.high for c in found], "upper end of the rate"), level, total, method,
    )  # fmt: skip
    draws = np.stack([c.draws for c in found], axis=1).reshape(DRAWS, *shape, *possible.shape)
    notes = _notes(ds, np.asarray(total), np.asarray(spent), names)
    for note in notes:
        warnings.warn(note, stacklevel=2)
    kind = "posterior draws" if holding == "exponential" else "draws of the rates with their sandwich error"
    return WellChain(rates, draws, total, spent, kind, tuple(notes))


class _Cell(NamedTuple):
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    draws: np.ndarray


def _cell(
    n: np.ndarray, t: np.ndarray, level: float, holding: str, possible: np.ndarray, rng: np.random.Generator
) -> _Cell:
    """Rates of one cell from its passages (path, well, to_well) and times (path, well)."""
    from scipy.special import gammaincinv

    total, spent = n.sum(axis=0).astype(float), t.sum(axis=0)
    leaving = total.copy()
    np.fill_diagonal(leaving, total.sum(axis=1))  # the exit rate is a rate like the others
    with np.errstate(divide="ignore", invalid="ignore"):
        value = leaving / spent[:, None]
        low = np.where(leaving > 0, gammaincinv(np.maximum(leaving, 1), (1 - level) / 2), 0.0) / spent[:, None]
        high = gammaincinv(leaving + 1, (1 + level) / 2) / spent[:, None]
    draws = _posterior(total, spent, possible, rng)
    if holding == "any":
        error, sampled, freedom = _sandwich(n, t, value, rng)
        from scipy.special import stdtrit

        seen = leaving > 0
        wide = np.exp(stdtrit(freedom, (1 + level) / 2) * np.where(seen, error, 0.0))
        low, high = np.where(seen, value / wide, low), np.where(seen, value * wide, high)
        draws = with_diagonal(np.where(total > 0, value * np.exp(sampled), draws))
    off = ~(possible | np.eye(len(possible), dtype=bool))
    value, low, high = (np.where(off, 0.0, x) for x in (value, low, high))
    i = np.arange(len(spent))
    low[i, i], high[i, i], value[i, i] = -high[i, i], -low[i, i], -value[i, i]
    value, low, high = (np.where(spent[:, None] > 0, x, np.nan) for x in (value, low, high))
    return _Cell(value, low, high, draws)


def _posterior(total: np.ndarray, spent: np.ndarray, possible: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws of the generator from its posterior law, shape (draw, well, well)."""
    unseen = possible & (total == 0)
    shape = np.where(possible, total + 0.5, 0.0)
    shape = np.where(unseen, 0.5 / np.maximum(unseen.sum(axis=1), 1)[:, None], shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = rng.gamma(shape, size=(DRAWS, *shape.shape)) / spent[:, None]
    return with_diagonal(np.where(spent[:, None] > 0, rates, np.nan))


def _sandwich(
    n: np.ndarray, t: np.ndarray, value: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, int]:
    """Standard errors of the log rates, draws of their errors, and degrees of freedom, from independent paths.

    The error of log q_ij is Σ_p (N_ijp - q_ij T_ip) / N_ij to first order.
    """
    m = t.shape[1]
    present = int((t > 0).sum(axis=0)[t.sum(axis=0) > 0].min(initial=len(t)))
    if present < 2:
        raise ValueError('holding="any" takes its error from independent paths, and some well was entered by one only')
    moves = n.astype(float)
    i = np.arange(m)
    moves[:, i, i] = n.sum(axis=2)
    total = moves.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        u = (moves - value * t[:, :, None]) / total
    u = np.where(total > 0, u, 0.0).reshape(len(t), m * m) * np.sqrt(present / (present - 1))
    covariance = u.T @ u
    size, axes = np.linalg.eigh(covariance)
    root = axes * np.sqrt(np.clip(size, 0, None))
    freedom = present - 1
    stretch = np.sqrt(freedom / rng.chisquare(freedom, size=(DRAWS, 1)))
    sampled = (rng.standard_normal((DRAWS, m * m)) @ root.T) * stretch
    return np.sqrt(np.diag(covariance)).reshape(m, m), sampled.reshape(DRAWS, m, m), freedom


def _check(ds: xr.Dataset, level: float, holding: str) -> None:
    missing = [name for name in NEEDED if name not in ds]
    if missing:
        raise ValueError(f"the dataset has no {', '.join(missing)}: run with observers=[Passages(landscape)]")
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level!r}: write 0.95")
    if holding not in HOLDING:
        raise ValueError(f"holding must be one of {', '.join(map(repr, HOLDING))}, got {holding!r}")


def _by_path(ds: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Passages and times of the paths that did not diverge."""
    counts_for = ds["status"] != DIVERGED
    if not counts_for.any():
        raise ValueError(f"all {counts_for.size} paths diverged, none says anything of wells: take a smaller step")
    exposure = ds["occupancy_time"].where(counts_for, 0.0)
    if not float(exposure.sum()) > 0:
        raise ValueError("no path ever entered the core of a well: start in one, run longer, or take a larger core")
    return ds["transitions"].where(counts_for, 0), exposure


def _possible(allowed: Any, m: int) -> np.ndarray:
    """Pairs of wells between which passages are possible."""
    if allowed is None:
        return ~np.eye(m, dtype=bool)
    if isinstance(allowed, str):
        if allowed != "neighbours":
            raise ValueError(f'allowed must be "neighbours" or a boolean array ({m}, {m}), got {allowed!r}')
        return np.abs(np.subtract.outer(np.arange(m), np.arange(m))) == 1
    mask = np.asarray(allowed)
    if mask.shape != (m, m) or mask.dtype != bool:
        raise ValueError(f'allowed must be "neighbours" or a boolean array ({m}, {m}), got {allowed!r}')
    return mask & ~np.eye(m, dtype=bool)


def _refuse_impossible(n: np.ndarray, possible: np.ndarray, names: list[str]) -> None:
    seen = n.reshape(-1, *possible.shape).sum(axis=0)
    for i, j in np.argwhere((seen > 0) & ~possible):
        raise ValueError(f"{int(seen[i, j])} passages from {names[i]} to {names[j]} were seen, which allowed= excludes")


def _notes(ds: xr.Dataset, total: np.ndarray, spent: np.ndarray, names: list[str]) -> list[str]:
    """What to doubt: wells never entered or never left, paths left out."""
    swept = total.ndim > 2
    notes = []
    for i, name in enumerate(names):
        time, left = spent[..., i], total[..., i, :].sum(axis=-1)
        for what, cells in (("entered", time == 0), ("left", (time > 0) & (left == 0))):
            if cells.any():
                where = f" in {int(cells.sum())} of {cells.size} cells" if swept else ""
                since = f" in a time of {float(np.max(time[cells])):.4g}" if what == "left" and not swept else ""
                notes.append(f"{name} was never {what}{where}{since}")
    lost = int((ds["status"] == DIVERGED).sum())
    return notes + ([f"{lost} diverged paths left out"] if lost else [])


def _per(units: str) -> str:
    return f"1/{units}" if units and units != "1" else "1"
