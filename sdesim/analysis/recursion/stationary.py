"""Stationary law of a 1-D recursion, from the transfer operator of the chain that is never killed.

The masses π_j of the hat functions solve π P = π. For a function f with stationary mean π(f), the solution g
of (1 - P) g = f - π(f) says how much an interpolation error somewhere changes π(f); it steers the grid,
corrects the masses and gives their error, as for exit times.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sdesim.analysis.estimate import Reference
from sdesim.analysis.recursion.grid import Span, fixed_points, initial_nodes, refined
from sdesim.analysis.recursion.kernel import ChainKernel
from sdesim.analysis.recursion.operator import MIDDLE, ROUNDS, ChainOperator, corrected_error
from sdesim.analysis.recursion.span import bounded_span

# Masses smaller than this are held to this absolute accuracy.
SMALLEST = 1e-4
# Reciprocal condition below which 1 - P has, to rounding, more than one stationary law.
SINGULAR = 1e-14


@dataclass(frozen=True)
class StationaryLaw:
    """Stationary law of a chain.

    Attributes
    ----------
    nodes, node_mass : ndarray, shape (node,)
        States of the grid and the masses of their hat functions; they sum to one.
    intervals : ndarray, shape (interval, 2)
        The intervals asked for, by default the wells: the states between the points the noiseless step runs
        away from.
    interval_mass : Reference
        Mass of each interval, shape (interval,).
    mean, variance : Reference
        Moments of the state.
    leak : float
        Probability per step of being held at an end of the domain that is no projection: zero if the domain
        is wide enough.
    """

    nodes: np.ndarray
    node_mass: np.ndarray
    intervals: np.ndarray
    interval_mass: Reference
    mean: Reference
    variance: Reference
    leak: float
    operator: ChainOperator = field(repr=False)

    def mass(self, low: Any, high: Any) -> Any:
        """Mass of the closed interval [low, high], by one exact step from the law on the grid."""
        kernel = self.operator.kernel
        law = kernel.at(self.nodes)
        pairs = np.broadcast_arrays(np.asarray(low, dtype=float), np.asarray(high, dtype=float))
        out = [
            float(self.node_mass @ (self._below(kernel, law, b, True) - self._below(kernel, law, a, False)))
            for a, b in zip(*(np.ravel(p) for p in pairs), strict=True)
        ]
        return np.array(out).reshape(pairs[0].shape)[()]

    def _below(self, kernel: ChainKernel, law: Any, y: float, closed: bool) -> np.ndarray:
        """Distribution function of one step of the chain that is held in the domain."""
        if y < self.nodes[0] or (y == self.nodes[0] and not closed):
            return np.zeros(self.nodes.size)
        if y > self.nodes[-1] or (y == self.nodes[-1] and closed):
            return np.ones(self.nodes.size)
        return kernel.below(law, y, closed=closed)

    def cell_mass(self) -> np.ndarray:
        """Mass between neighbouring nodes, shape (node - 1,); an atom at an end is in the last cell."""
        return self.operator.cell_masses(self.node_mass)

    def density(self, x: Any) -> np.ndarray:
        """Density at `x`, interpolated between the nodes; atoms at the ends are left out."""
        low, high = self.atoms()
        mass = self.node_mass.copy()
        mass[0] -= low
        mass[-1] -= high
        padded = np.concatenate([[0.0], np.diff(self.nodes), [0.0]])
        values = np.maximum(mass, 0.0) / (0.5 * (padded[1:] + padded[:-1]))
        return np.interp(x, self.nodes, values, left=0.0, right=0.0)

    def atoms(self) -> tuple[float, float]:
        """Probability of sitting exactly at the low and at the high end, where the chain is held."""
        low, high = self.mass(self.nodes[[0, -1]], self.nodes[[0, -1]])
        return float(low), float(high)


def chain_stationary_law(
    dynamics: Any,
    domain: tuple[float, float] | Any = None,
    intervals: Sequence[tuple[float, float]] | None = None,
    *,
    rtol: float = 1e-3,
    max_nodes: int = 3000,
) -> StationaryLaw:
    """Stationary law of a recursion in one dimension.

    Parameters
    ----------
    dynamics : EulerMaruyama or SGD, possibly inside Truncated and Projected in any order
        Noise with a symmetric law that has a density.
    domain : (low, high) or Interval, optional
        States the chain is held in; needed unless the dynamics is projected on a bounded region.
    intervals : list of (low, high), optional
        Intervals whose masses are wanted, by default the wells.
    rtol : float
        Relative error of masses and moments at which refining the grid stops.
    max_nodes : int
        Largest grid.

    Raises
    ------
    ValueError
        If the recursion is not one-dimensional, no bounded domain is given, an interval is empty, or the chain does not
        come from every well to every other, so that there is more than one law.
    """
    kernel = ChainKernel(dynamics)
    span, projected = bounded_span(kernel, domain)
    wells = _intervals(kernel, span, intervals)
    cuts = np.unique(wells[(wells > span.low) & (wells < span.high)])
    operator, law, values, errors = _adapt(kernel, span, wells, cuts, rtol, max_nodes)
    method = f"transfer operator, {operator.states.size} nodes"
    step = kernel.at(operator.states)
    leak = 0.0 if projected else float(
        law @ (kernel.below(step, span.low, closed=False) + 1 - kernel.below(step, span.high))
    )
    m = len(wells)
    return StationaryLaw(
        nodes=operator.states,
        node_mass=law,
        intervals=wells,
        interval_mass=Reference(values[:m], errors[:m], method),
        mean=Reference(values[m], errors[m], method),
        variance=Reference(values[m + 1], errors[m + 1], method),
        leak=leak,
        operator=operator,
    )


def _intervals(
    kernel: ChainKernel, span: Span, intervals: Sequence[tuple[float, float]] | None
) -> np.ndarray:
    """The intervals as an array, by default the wells of the noiseless step."""
    if intervals is None:
        edges = np.concatenate([[span.low], fixed_points(kernel, span)[0], [span.high]])
        return np.column_stack([edges[:-1], edges[1:]])
    wells = np.asarray(intervals, dtype=float)
    if wells.ndim != 2 or wells.shape[1] != 2 or np.any(wells[:, 0] >= wells[:, 1]):
        raise ValueError(f"intervals must be pairs (low, high) with low < high, got {intervals!r}")
    return wells


def _functions(x: np.ndarray, wells: np.ndarray, centre: float) -> np.ndarray:
    """Indicators of the wells, then the state and its square about `centre`; shape (state, function)."""
    indicators = [((x > a) & (x < b)).astype(float) for a, b in wells]
    return np.column_stack([*indicators, x, (x - centre) ** 2])


def _adapt(
    kernel: ChainKernel, span: Span, wells: np.ndarray, cuts: np.ndarray, rtol: float, max_nodes: int
) -> tuple[ChainOperator, np.ndarray, np.ndarray, np.ndarray]:
    """Operator on a grid fine enough, masses of its hats, corrected means of the functions, errors."""
    nodes, before, growth = initial_nodes(kernel, span, cuts), None, 1.0
    ends, beyond = np.array([span.low, span.high]), np.array([-np.inf, np.inf])
    closed = np.where(wells == ends, beyond, wells)
    for _ in range(ROUNDS):
        operator = ChainOperator(kernel, span, nodes)
        law, means, corrections = _solve(operator, closed)
        spread = np.sqrt(max(means[-1], 0.0))
        size = np.concatenate([np.maximum(means[:-2], SMALLEST), [spread, spread**2]])
        corrected = means + corrections.sum(axis=0)
        error = corrected_error(corrected, before, corrections, size, growth)
        if (error / size).max() <= rtol:
            break
        worst = (np.abs(corrections) / size).max(axis=1)
        finer = refined(nodes, worst, rtol, max(max_nodes - nodes.size, 0))
        if finer.size == nodes.size:
            break
        nodes, before, growth = finer, corrected, finer.size / nodes.size
    return operator, law, corrected, error


def _factors(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """LU factors; singular, to rounding, where the chain has more than one long run."""
    from scipy.linalg import lapack

    lu, pivots, _ = lapack.dgetrf(matrix)
    rcond, _ = lapack.dgecon(lu, np.abs(matrix).sum(axis=0).max())
    if rcond < SINGULAR:
        raise ValueError(
            "the chain does not come from every well to every other (not in 1e13 steps): it has no single stationary "
            "law; take more noise, or a domain around one well"
        )
    return lu, pivots


def _solve(operator: ChainOperator, wells: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masses of the hats, means of the functions, and the correction of each mean from each cell."""
    from scipy.linalg import lu_solve

    n = operator.states.size
    uniform = np.full(n, 1.0 / n)
    factors = _factors(np.eye(n) - operator.matrix + uniform)
    law = lu_solve(factors, uniform, trans=1)
    law = law / law.sum()
    centre = float(law @ operator.states)
    values = _functions(operator.states, wells, centre)
    means = law @ values
    g = lu_solve(factors, values - means)
    middles = operator.middles()
    exact = _functions(middles, wells, centre) - means + operator.rows(middles)[0] @ g
    residual = exact - operator.middle_values(g)
    return law, means, operator.cell_masses(law)[:, None] * (MIDDLE * residual)
