"""Full law of the exit time of a 1-D diffusion: P(τ > t) as a sum of exponentials."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sdesim.analysis.diffusion.chain import Modes, cell_edges, modes
from sdesim.analysis.diffusion.exit import exit_time_variance, mean_exit_time
from sdesim.analysis.diffusion.setup import Passage
from sdesim.analysis.estimate import Reference

N_CELLS = 1000
N_RATES = 8
BLOCK = 2_000_000


@dataclass(frozen=True, repr=False)
class ExitLaw:
    """Law of the exit time τ of a 1-D diffusion from one starting point, made by `exit_law`.

    Attributes
    ----------
    mean, std : Reference
        By quadrature, so without the error of the modes.
    rates : Reference
        Decay rates of the slowest modes, increasing, per time.
    method : str
    """

    mean: Reference
    std: Reference
    rates: Reference
    method: str
    _coarse: Modes = field(repr=False)
    _fine: Modes = field(repr=False)

    def __repr__(self) -> str:
        return f"<ExitLaw: mean {self.mean.value:.8g}, std {self.std.value:.8g} ({self.method})>"

    def survival(self, t: Any) -> Reference:
        """P(τ > t), of the shape of t; the error is absolute and holds at all times, however short.

        At times so short that hardly a path has left, 1 - P(τ > t) may be smaller than that error: its relative
        accuracy is lost there, not the absolute one.
        """
        found = self._extrapolated(_times(t), lambda m: m.weights)
        return Reference(np.clip(found.value, 0.0, 1.0)[()], found.error, self.method)

    def density(self, t: Any) -> Reference:
        """Density of τ at t, per time, of the shape of t.

        Where the stated error is as large as the value, t is too short for the number of modes.
        """
        found = self._extrapolated(_times(t), lambda m: m.weights * m.rates)
        return Reference(np.maximum(found.value, 0.0)[()], found.error, self.method)

    def quantile(self, p: Any) -> Reference:
        """The time before which a share p of the paths has left, of the shape of p.

        Raises
        ------
        ValueError
            If p is not in (0, 1).
        """
        from scipy.optimize import brentq

        shares = np.asarray(p, dtype=float)
        if not np.all((shares > 0) & (shares < 1)):
            raise ValueError(f"p must be in (0, 1), got {p}: a quantile is a time before which a share p has left")
        value, error = np.empty(shares.shape), np.empty(shares.shape)
        for i, share in np.ndenumerate(shares):

            def excess(log_t: float, wanted: float = 1 - float(share)) -> float:
                return float(self.survival(np.exp(log_t)).value) - wanted

            low = high = float(np.log(self.mean.value))
            while excess(high) >= 0:
                high += 1.0
            while excess(low) <= 0:
                low -= 1.0
            t = float(np.exp(brentq(excess, low, high, xtol=1e-13, rtol=1e-14)))
            with np.errstate(divide="ignore"):
                value[i], error[i] = t, np.divide(self.survival(t).error, self.density(t).value)
        return Reference(value[()], error[()], self.method)

    def _extrapolated(self, t: np.ndarray, factors: Callable[[Modes], np.ndarray]) -> Reference:
        """Σ factors exp(-rates t) on both grids, extrapolated in the square of the cell width."""
        coarse, fine = (_sum(m.rates, factors(m), t) for m in (self._coarse, self._fine))
        scale = np.abs(factors(self._fine)).max() / np.abs(self._fine.weights).max()
        error = np.abs(fine - coarse) / 3 + self._fine.rounding * scale
        return Reference(fine + (fine - coarse) / 3, error[()], self.method)


def exit_law(
    sde: Any, x0: float, region: Any, *, reflecting: float | None = None, n_cells: int = N_CELLS
) -> ExitLaw:
    """Law of the first exit time of dX = μ(X) dt + σ(X) dW from an interval: survival, density, quantiles, rates.

    The eigenfunction expansion P_x(τ > t) = Σ_k c_k(x) exp(-λ_k t) of a birth-death chain with the diffusion's mean
    exit times, on `n_cells` cells and on twice as many, extrapolated; the error is the difference of the two divided by
    three. All modes are kept, so that the sum is right at short times as well. Rates far apart (a well left after
    1e12 among relaxations of order one) do not disturb each other: each has full relative accuracy.

    Parameters
    ----------
    sde : SDE
        One component, Gaussian noise, in either calculus; σ may depend on the state and must not vanish inside.
    x0 : float
        Start inside the region.
    region : Interval
        One end may be infinite, or one the path never reaches.
    reflecting : float, optional
        A wall the path is reflected at, in place of the end of the region on its side of x0.
    n_cells : int
        Cells of the coarse chain.

    Returns
    -------
    ExitLaw
        `mean`, `std`, `rates`, `survival(t)`, `density(t)`, `quantile(p)`, each value ± error.

    Raises
    ------
    ValueError
        As `mean_exit_time`, and if x0 is not one number.

    References
    ----------
    S. Karlin and H. M. Taylor 1981, A Second Course in Stochastic Processes, sections 15.3 and 15.13.

    Examples
    --------
    Half of the Brownian paths have left (-1, 1) by the time 0.7575::

        theory.exit_law(SDE(drift=0, diffusion=1), 0.0, Interval(-1, 1)).quantile(0.5).value
    """
    if np.ndim(x0) or np.size(x0) != 1:
        raise ValueError(f"exit_law is the law from one start, got x0={x0}: give one number, or call it for each")
    if n_cells < 10:
        raise ValueError(f"n_cells must be at least 10, got {n_cells}")
    mean = mean_exit_time(sde, x0, region, reflecting=reflecting)
    variance = exit_time_variance(sde, x0, region, reflecting=reflecting)
    std = np.sqrt(variance.value)
    passage = Passage.out_of(sde, x0, region, reflecting, asked="exit_law")
    edges = cell_edges(passage, n_cells)
    middles = 0.5 * (edges[1:] + edges[:-1])
    coarse, fine = modes(passage, edges), modes(passage, np.sort(np.concatenate([edges, middles])))
    few = min(N_RATES, coarse.rates.size)
    change = (fine.rates[:few] - coarse.rates[:few]) / 3
    return ExitLaw(
        mean,
        Reference(std, variance.error / (2 * std), variance.method),
        Reference(fine.rates[:few] + change, np.abs(change) + 1e-13 * fine.rates[:few], "modes of the generator"),
        f"modes of a birth-death chain with {fine.rates.size} states",
        coarse,
        fine,
    )


def _times(t: Any) -> np.ndarray:
    """Times as an array, refused if one is negative."""
    times = np.asarray(t, dtype=float)
    if not np.all(times >= 0):
        raise ValueError(f"times must be 0 or more, got {t}")
    return times


def _sum(rates: np.ndarray, factors: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Σ factors exp(-rates t) at every time, in blocks of bounded memory."""
    flat, out = t.ravel(), np.empty(t.size)
    size = max(BLOCK // rates.size, 1)
    for i in range(0, flat.size, size):
        with np.errstate(under="ignore"):
            out[i : i + size] = np.exp(-np.outer(flat[i : i + size], rates)) @ factors
    return out.reshape(t.shape)
