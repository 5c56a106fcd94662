"""A birth-death chain with the exit times of a 1-D diffusion, and its modes (Feller 1959; Krein's string with beads).

Between neighbouring states x_i < x_{i+1} the chain has the conductance 1/S(x_i, x_{i+1}) of the scale measure, and
at x_i the mass ∫ h_i dm, h_i the hat that is linear in the scale: mean exit times from every state are those of the
diffusion, whatever the states. Its generator is symmetric, DᵀKD against the masses, and the Cholesky factor of that
is an explicit bidiagonal matrix,

    r_i² = (K_i + 1/S(a, x_i)) / m_i,    r_{i,i+1} = -K_i / (r_i √(m_i m_{i+1})),

without a subtraction. So all rates, the slowest included, have full relative accuracy for that chain.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdesim.analysis.diffusion.bidiagonal import bidiagonal_svd
from sdesim.analysis.diffusion.panels import Panels
from sdesim.analysis.diffusion.setup import Passage

MAX_CELLS = 3000


@dataclass(frozen=True)
class Modes:
    """P(τ > t) = Σ weights exp(-rates t), slowest first; `rounding` bounds the rounding error of the weights."""

    rates: np.ndarray
    weights: np.ndarray
    rounding: float


def cell_edges(passage: Passage, n_cells: int) -> np.ndarray:
    """About `n_cells` cells with an edge at every edge of the adaptive panels, so at the starting point.

    Half of the cells are spread evenly over the panels, on which Φ changes little; half by ∫ p dx/σ, p the
    probability to come by before the exit.

    Raises
    ------
    ValueError
        If the panels alone are more than MAX_CELLS.
    """
    panels = passage.panels()
    count = panels.edges.size - 1
    if count > MAX_CELLS:
        raise ValueError(
            f"the law of the exit time needs {count} cells, more than {MAX_CELLS}: the drift is too large for the "
            "diffusion; mean_exit_time and exit_time_variance still hold"
        )
    spread = panels.half_width[:, 0] * np.sqrt(panels.weight).mean(axis=1) * _reached(panels, passage)
    share = 0.5 / count + 0.5 * spread / spread.sum()
    parts = np.maximum(np.round(n_cells * share), 1).astype(int)
    first = np.repeat(panels.edges[:-1], parts)
    width = np.repeat(np.diff(panels.edges) / parts, parts)
    number = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    return np.append(first + number * width, panels.edges[-1])


def _reached(panels: Panels, passage: Passage) -> np.ndarray:
    """Probability to come by each panel before the exit."""
    at = int(np.searchsorted(panels.edges, passage.points[0]))
    _, phi = panels.potential()
    to_end = panels.log_from_right(-phi)[0]
    with np.errstate(over="ignore", invalid="ignore"):
        before = np.exp(to_end[at] - to_end[1 : at + 1])
        behind = np.ones(panels.edges.size - 1 - at)
        if passage.left.absorbs:
            from_low = panels.log_from_left(-phi)[0]
            behind = np.exp(from_low[at] - from_low[at:-1])
    return np.concatenate([before, behind])


def modes(passage: Passage, edges: np.ndarray) -> Modes:
    """Modes of the chain whose states are the edges, started from the only starting point of the passage."""
    panels = Panels.on(passage.coefficients, edges)
    _, phi = panels.potential()
    log_scale = panels.log_integral(-phi)
    log_mass = _log_masses(panels, phi, log_scale)
    free = slice(int(passage.left.absorbs), edges.size - 1)
    log_below = np.concatenate([[-np.inf], np.logaddexp.accumulate(log_scale)])
    to_low = -log_below[free] if passage.left.absorbs else np.full(edges.size - 1, -np.inf)
    log_pivot = np.logaddexp(-log_scale[free], to_low)
    mass = log_mass[free]
    diagonal = np.exp(0.5 * (log_pivot - mass))
    above = -np.exp(-log_scale[free][:-1] - 0.5 * (log_pivot[:-1] + mass[1:]))
    start = int(np.searchsorted(edges[free], passage.points[0]))
    columns = np.zeros((mass.size, 2))
    columns[start, 0] = 1.0
    columns[:, 1] = np.exp(0.5 * (mass - mass[start]))
    values, turned = bidiagonal_svd(diagonal, above, columns)
    rounding = 8 * np.finfo(float).eps * float(np.linalg.norm(columns[:, 1]))
    return Modes(values[::-1] ** 2, (turned[:, 0] * turned[:, 1])[::-1], rounding)


def _log_masses(panels: Panels, phi: np.ndarray, log_scale: np.ndarray) -> np.ndarray:
    """Logarithms of the speed measure of each hat; outside of the interval there is nothing."""
    log_speed = phi + np.log(panels.weight) - log_scale[:, None]
    rising = panels.log_integral(panels.log_up_to_node(-phi) + log_speed)
    falling = panels.log_integral(panels.log_up_to_node(-phi[:, ::-1])[:, ::-1] + log_speed)
    return np.logaddexp(np.append(falling, -np.inf), np.insert(rising, 0, -np.inf))
