"""The chain of wells that theory predicts: Kramers' for Gaussian noise, large jumps for heavy-tailed noise."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from sdesim.analysis.estimate import Reference
from sdesim.analysis.limits.asymptotic import Asymptotic
from sdesim.analysis.limits.eyring_kramers import kramers_generator
from sdesim.analysis.limits.stable_exit import stable_jump_rate
from sdesim.analysis.limits.truncated_hierarchy import truncated_hierarchy
from sdesim.analysis.recursion.kernel import ChainKernel
from sdesim.analysis.region_ends import refuse_time
from sdesim.analysis.wells.chain import AXES, WellChain
from sdesim.analysis.wells.jumps import downhill, jump_rates
from sdesim.analysis.wells.matrix import with_diagonal
from sdesim.analysis.wells.names import well_name
from sdesim.core.ops import NUMPY
from sdesim.problems.laws import Pareto, Stable, StudentT

NEAR = 1e-6  # of the width of a well: where a descent starts that must come back
STEPS = 2000


def known(rates: Any, wells: Any = None, time_units: str = "time") -> WellChain:
    """A chain whose rates were calculated.

    Parameters
    ----------
    rates : Reference, array of shape (well, well), or what `theory.chain_generator` gives
        The generator, per time; its diagonal is not read. An array has no error.
    wells : array, optional
        The minimum of each well, shape (well,); their places by default, and where minima have several components.
    time_units : str

    Returns
    -------
    WellChain

    Raises
    ------
    ValueError
        If the matrix is not square, a rate is negative or not finite, or wells do not fit it.
    """
    rates = getattr(rates, "generator", rates)
    reference = rates if isinstance(rates, Reference) else Reference(np.asarray(rates, dtype=float), 0.0, "given")
    raw = np.asarray(reference.value, dtype=float)
    if raw.ndim != 2 or raw.shape[0] != raw.shape[1] or len(raw) < 2:
        raise ValueError(f"a generator has shape (well, well) with at least two wells, got {raw.shape}")
    if not np.isfinite(raw).all() or (raw[~np.eye(len(raw), dtype=bool)] < 0).any():
        raise ValueError("the rates off the diagonal of a generator must be finite and not negative")
    places = np.arange(len(raw)) if wells is None or np.ndim(wells) > 1 else np.asarray(wells)
    if len(places) != len(raw) or (wells is not None and len(wells) != len(raw)):
        raise ValueError(f"the generator has {len(raw)} wells, the minima given are {np.asarray(wells).tolist()}")
    coords = {a: (a, places, {"units": "state", "long_name": "minimum of the well"}) for a in AXES}
    attrs = {"long_name": "rate", "units": f"1/{time_units}"}
    error = np.broadcast_to(np.asarray(reference.error, dtype=float), raw.shape)
    parts = [xr.DataArray(v, dims=AXES, coords=coords, attrs=attrs) for v in (with_diagonal(raw), error)]
    if isinstance(reference, Asymptotic):
        return WellChain(Asymptotic(parts[0], parts[1], reference.method, reference.limit))
    return WellChain(Reference(parts[0], parts[1], reference.method))


def kramers(landscape: Any, diffusion: float) -> WellChain:
    """The chain of wells of dX = -∇f dt + σ dW for small σ, by Eyring and Kramers.

    Parameters
    ----------
    landscape : Landscape
    diffusion : float
        σ, the factor in front of dW.

    Raises
    ------
    ValueError
        See `theory.kramers_generator`.
    """
    return known(kramers_generator(landscape, diffusion), landscape.minima)


def jumps(dynamics: Any, landscape: Any = None) -> WellChain:
    """The chain of wells under heavy-tailed noise, to leading order in its size.

    A well is left by the fewest large jumps that lead outside: one, or l* = ⌈r/b⌉ where steps are truncated at b. For
    an SDE with stable noise the rate into the basin (u, v) is the mass of the Lévy measure, c σ^α |d_u^-α - d_v^-α|,
    d the distances from the minimum; for a recursion the rate per step is taken with the exact law of its noise and
    its own steps downhill, over the clock (see `well_jumps` for the formula). Zero rates are ways that need more jumps
    than the fewest. In the limit of small noise only the wells with the largest l* count:
    `chain.watched_on(theory.truncated_hierarchy(f, b, α).widest)`.

    Parameters
    ----------
    dynamics : SGD or EulerMaruyama, possibly inside Truncated and Projected, or an SDE
        One component; noise Pareto, StudentT or Stable with α < 2. States beyond the domain of the landscape belong to
        the outermost wells.
    landscape : Landscape, optional
        The loss whose wells are meant; by default that of the SGD.

    Returns
    -------
    WellChain
        Per time. The error is the numerical one and the order of what is left out (see `well_jumps`), an order of
        magnitude and no bound; it falls as slowly as η^(1 - 1/α).

    Raises
    ------
    ValueError
        If there are several components, the noise has no heavy tail, truncated noise has no mean (α ≤ 1), r/b is a
        whole number, there is one well only, or a well is none of the recursion (by its name): the noiseless steps lead
        out of it.

    References
    ----------
    Imkeller and Pavlyukevich, Stoch. Proc. Appl. 116 (2006); Wang and Rhee, arXiv 2307.03479.
    """
    f = landscape if landscape is not None else _landscape(dynamics)
    if dynamics.dim != 1 or f.dim != 1:
        d = max(dynamics.dim, f.dim)
        raise ValueError(f"jumps between wells are known in one dimension, got {d}: simulate with run")
    minima = np.asarray(f.minima, dtype=float)
    if len(minima) < 2:
        raise ValueError(f"a chain needs at least two wells, {f.expr} has {len(minima)}")
    basins = _basins(f)
    alpha = _heavy(dynamics.noise)
    if hasattr(dynamics, "drift"):
        return known(_levy(dynamics, minima, basins, alpha), minima)
    kernel = ChainKernel(dynamics)
    needed = _needed(kernel, f, alpha)
    _check_wells(kernel, minima, basins)
    found = [jump_rates(kernel, m, i, basins, n) for i, (m, n) in enumerate(zip(minima, needed, strict=True))]
    rates, numerical = (np.array([x[k] for x in found]) / kernel.clock for k in (0, 1))
    left_out = _left_out(kernel, minima, basins, np.array(needed), alpha)
    method = f"{'/'.join(map(str, needed))} jumps from the wells, in order"
    return known(Asymptotic(rates, numerical[:, None] + left_out[:, None] * rates, method, LIMIT), minima)


LIMIT = "spread of a path at rest small against the jumps that lead out"


def _left_out(
    kernel: ChainKernel, minima: np.ndarray, basins: Sequence[tuple[float, float]], needed: np.ndarray, alpha: float
) -> np.ndarray:
    """Order of the share of each rate that smaller noise changes, at most 1."""
    h = NEAR * _widths(minima, basins)
    kept = np.abs(downhill(kernel, minima + h) - downhill(kernel, minima - h)) / (2 * h)
    steps = 1 / np.maximum(1 - kept, 1e-3 * kernel.clock)
    spread = kernel.at(minima).scale * np.maximum(steps, 1.0) ** (1 / min(alpha, 2.0))
    b = min(kernel.truncations, default=0.0)
    shortest = _widths(minima, basins) - (needed - 1) * b
    return np.asarray(np.minimum(needed * alpha * spread / shortest, 1.0))


def _widths(minima: np.ndarray, basins: Sequence[tuple[float, float]]) -> np.ndarray:
    """Distance from each minimum to the nearest end of its basin."""
    return np.array([min(m - low, high - m) for m, (low, high) in zip(minima, basins, strict=True)])


def _landscape(dynamics: Any) -> Any:
    inner = dynamics
    while hasattr(inner, "dynamics"):
        inner = inner.dynamics
    if not hasattr(inner, "landscape") or getattr(inner, "random", None):
        raise ValueError(f"the wells of {inner} are not known: give landscape=")
    return inner.landscape if not getattr(inner, "params", None) else inner.landscape.with_params(**inner.params)


def _basins(f: Any) -> list[tuple[float, float]]:
    """The basins, the outermost without an end where they end with the domain."""
    basins = [(float(a), float(b)) for a, b in f.basins]
    if f.domain:
        low, high = f.domain[0]
        basins[0] = (-math.inf if basins[0][0] <= low else basins[0][0], basins[0][1])
        basins[-1] = (basins[-1][0], math.inf if basins[-1][1] >= high else basins[-1][1])
    return basins


def _heavy(noise: Any) -> float:
    """Tail index of the noise."""
    if isinstance(noise, Pareto | StudentT) or (isinstance(noise, Stable) and noise.alpha < 2):
        return float(noise.df if isinstance(noise, StudentT) else noise.alpha)
    raise ValueError(f"{noise!r} has no heavy tail, single jumps leave no well: use kramers(landscape, diffusion)")


def _levy(sde: Any, minima: np.ndarray, basins: Sequence[tuple[float, float]], alpha: float) -> Asymptotic:
    """Mass of the Lévy measure of the jumps from each minimum into each basin."""
    refuse_time(sde)
    if not isinstance(sde.noise, Stable):
        raise ValueError(f"an SDE with jumps needs Stable noise, got {sde.noise!r}")
    _, factors = sde.coefficients(NUMPY, minima[:, None], 0.0)
    scale = np.array([[np.broadcast_to(np.abs(b), minima.shape) for b in row] for row in factors], dtype=float)[0]
    size = float(sde.noise.scale) ** alpha * (scale**alpha).sum(axis=0)
    if sde.noise_dim > 1 and sde.noise.isotropic:
        size = float(sde.noise.scale) ** alpha * (scale**2).sum(axis=0) ** (alpha / 2)
    one_sided = stable_jump_rate(alpha) / 2
    rates = np.zeros((len(minima), len(minima)))
    for i, j in np.ndindex(*rates.shape):
        if i != j:
            near, far = sorted(abs(end - minima[i]) for end in basins[j])
            rates[i, j] = size[i] * one_sided * (near**-alpha - (far**-alpha if math.isfinite(far) else 0.0))
    h = NEAR * _widths(minima, basins)
    ends = [sde.coefficients(NUMPY, (minima + sign * h)[:, None], 0.0)[0][0] for sign in (1, -1)]
    forgets = 1 / np.maximum(-(ends[0] - ends[1]) / (2 * h), 1e-300)
    share = alpha * (size * forgets) ** (1 / alpha) / _widths(minima, basins)
    error = rates * np.minimum(share, 1.0)[:, None]
    return Asymptotic(rates, error, "Lévy measure of the jumps from each minimum", LIMIT)


def _needed(kernel: ChainKernel, f: Any, alpha: float) -> list[int]:
    """Fewest jumps that lead out of each well."""
    if not kernel.truncations:
        return [1] * len(f.minima)
    return [int(n) for n in truncated_hierarchy(f, min(kernel.truncations), alpha).jumps]


def _check_wells(kernel: ChainKernel, minima: np.ndarray, basins: Sequence[tuple[float, float]]) -> None:
    """Refuse minima from whose neighbourhood the noiseless recursion leaves the basin; say which it circles."""
    inner = np.array(basins)
    start = minima + NEAR * _widths(minima, basins)
    x = start.copy()
    for _ in range(STEPS):
        x = downhill(kernel, x)
        out = np.flatnonzero((x <= inner[:, 0]) | (x >= inner[:, 1]))
        if out.size:
            i = int(out[0])
            raise ValueError(
                f"{well_name(i, minima[i])} is no basin of the recursion: without noise its steps lead from the "
                f"minimum to x = {x[i]:.4g}; take a smaller learning rate"
            )
        if (np.abs(x - minima) < 0.5 * np.abs(start - minima)).all():
            return
    for k in np.flatnonzero(np.abs(x - minima) > np.abs(start - minima)):
        name = well_name(int(k), minima[k])
        note = f"descent circles the minimum of {name}: its rates are those of a path resting there"
        warnings.warn(note, stacklevel=4)
